/* SPDX-License-Identifier: PostgreSQL */
/* The moves of a session between members and the keeper. */
#include "keep/pool/holding.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/pool/copies.h"
#include "keep/settings.h"

/* How long a server may take to end a session. */
#define CLOSE_NS NS_PER_SEC

struct session *holding_add(struct pool *pool)
{
	struct session *session = xalloc_new(1, sizeof(*session));

	session->fd = -1;
	session->watch.fd = -1;
	session->pool = pool;
	DL_APPEND(pool->sessions, session);
	pool->used++;
	return session;
}

void holding_attach(struct session *session, struct member *member, unsigned word,
                    uint32_t granted, const char *place, uint64_t now_ns)
{
	session->member = member;
	session->word = word;
	session->granted = granted;
	session->granted_ns = now_ns;
	session->place = place != NULL ? xalloc_copy(place, strlen(place)) : NULL;
	session->seen = granted;
	session->seen_ns = now_ns;
	member->sessions[word] = session;
	member->page->labels[word] = session->pool->label_hash;
}

void holding_detach(struct session *session)
{
	struct member *member = session->member;

	if (session->attended) {
		member_attend(member, false);
		session->attended = false;
	}
	member->sessions[session->word] = NULL;
	session->member = NULL;
	free(session->place);
	session->place = NULL;
}

bool holding_claim(struct session *session, uint32_t *answers)
{
	uint32_t word = member_word(session->member, session->word);

	if (KEEPER_WORD_STATE(word) != KEEPER_WORD_IDLE || session->fd < 0 ||
	    !member_change(session->member, session->word, word, KEEPER_WORD_CLAIMED, NULL)) {
		return false;
	}
	*answers = KEEPER_WORD_ANSWERS(word);
	session->member->claimed[session->word] = session->inode;
	holding_detach(session);
	return true;
}

static struct session *owner(struct watch *watch)
{
	return (struct session *)((char *)watch - offsetof(struct session, watch));
}

static void came(struct watch *watch)
{
	struct session *session = owner(watch);
	uint64_t now_ns = clock_monotonic_ns();
	const char *why;
	bool suspect;

	if (!session_read(session, now_ns, &why, &suspect)) {
		pool_found_bad(session, why, suspect, now_ns);
	} else if (session->ask != NULL && !reply_is_due(&session->reply)) {
		pool_serve(session->pool, now_ns);
	}
}

bool holding_keep(struct session *session, unsigned answers, uint64_t now_ns)
{
	const char *why = "not_watched";
	bool suspect = false;

	if (!session_hold(session, answers, now_ns, came) ||
	    !session_read(session, now_ns, &why, &suspect)) {
		if (suspect) {
			session->pool->suspect_ns = now_ns;
		}
		holding_close(session, SESSION_TERMINATE, why);
		return false;
	}
	return true;
}

/* ---- closing ---- */

static void end(struct session *session, enum session_end how)
{
	struct pool *pool = session->pool;

	DL_DELETE(pool->closing, session);
	pool->ending--;
	copies_forget(&session->look);
	session_free(session, how);
	/* A command may wait for that (server/command.h). */
	loop_call_at(0);
}

static void look_again_at(struct session *session, uint64_t ns)
{
	session->patience_ns = ns;
	loop_call_at(ns);
}

/* It has no room of its own, and is not used, but not ended yet. */
static void begin_to_end(struct session *session, uint64_t again_ns)
{
	struct pool *pool = session->pool;

	if (session->member != NULL) {
		holding_detach(session);
	}
	DL_DELETE(pool->sessions, session);
	pool->used--;
	DL_APPEND(pool->closing, session);
	pool->ending++;
	look_again_at(session, again_ns);
}

/* Ends an abandoned session if it is clear by now how. */
static void look_at_copies(struct session *session, uint64_t now_ns)
{
	switch (copies_look(&session->look, session->inode)) {
	case COPIES_NONE:
		end(session, SESSION_FORGET);
		break;
	case COPIES_STALE:
		end(session, SESSION_CUT);
		break;
	case COPIES_IN_USE:
		look_again_at(session, now_ns + CLOSE_NS);
		break;
	case COPIES_UNKNOWN:
		look_again_at(session, now_ns + NS_PER_MS);
		break;
	}
}

static void closing_came(struct watch *watch)
{
	struct session *session = owner(watch);
	struct pool *pool = session->pool;

	if (session_has_ended(session)) {
		end(session, SESSION_TERMINATE);
		pool_serve(pool, clock_monotonic_ns());
	}
}

void holding_due(struct pool *pool, uint64_t now_ns)
{
	struct session *session;
	struct session *next;

	DL_FOREACH_SAFE (pool->closing, session, next) {
		if (now_ns < session->patience_ns) {
			loop_call_at(session->patience_ns);
		} else if (session->doubted) {
			look_at_copies(session, now_ns);
		} else {
			end(session, SESSION_TERMINATE);
		}
	}
}

static void log_close(const struct session *session, const char *why)
{
	struct strbuf *line = session->fd >= 0 ? log_line(LEVEL_INFO, "session_close") : NULL;

	if (line != NULL) {
		log_u64(line, "backend", (uint64_t)session->record.backend_pid);
		pair_str(line, "pool", session->pool->label);
		pair_str(line, "reason", why);
		log_end();
	}
}

void holding_close(struct session *session, enum session_end how, const char *why)
{
	log_close(session, why);
	begin_to_end(session, clock_monotonic_ns() + CLOSE_NS);
	if (how == SESSION_CUT || how == SESSION_FORGET) {
		end(session, how);
		return;
	}
	if (how == SESSION_TERMINATE) {
		session_terminate(session);
	}
	if (!loop_watch(&session->watch, session->fd, closing_came)) {
		end(session, how);
	}
}

void holding_abandon(struct session *session, uint64_t now_ns)
{
	log_close(session, "member_ended");
	begin_to_end(session, now_ns);
	session->doubted = true;
	look_at_copies(session, now_ns);
}

const char *holding_expired(const struct session *session, uint64_t idle_since_ns,
                            uint64_t now_ns)
{
	if (session->drained) {
		return "drained";
	}
	if (settings.recycle_ns != UINT64_MAX && now_ns > session->record.opened_ns &&
	    now_ns - session->record.opened_ns >= settings.recycle_ns) {
		return "aged";
	}
	if (settings.idle_timeout_ns != UINT64_MAX && now_ns > idle_since_ns &&
	    now_ns - idle_since_ns >= settings.idle_timeout_ns) {
		return "idle_timeout";
	}
	return NULL;
}
