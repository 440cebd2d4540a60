/* SPDX-License-Identifier: PostgreSQL */
/* The sessions of one identity over all processes, and the line of connects that ask for one.
 */
#include "keep/pool/pool.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/pool/holding.h"
#include "keep/settings.h"

/* A session at hand is proven within this: then its process need not be told to wait. */
#define PROOF_NS (10 * NS_PER_MS)

/* What a member has not taken again for this long others may have, who wait
 * (PQPOOL_SHARE_LINGER). */
#define UNUSED_NS NS_PER_MS

bool pools_are_paused;

static struct pool *pools;

struct pool *pool_get(const uint8_t digest[KEEPER_DIGEST_LEN], const char *label)
{
	struct pool *pool;

	HASH_FIND(hh, pools, digest, KEEPER_DIGEST_LEN, pool);
	if (pool == NULL) {
		pool = xalloc_new(1, sizeof(*pool));
		memcpy(pool->digest, digest, KEEPER_DIGEST_LEN);
		pool->label = xalloc_copy(label, strlen(label));
		pool->label_hash = (uint32_t)hash_bytes(0, label, strlen(label));
		pool->again_ns = DEADLINE_NEVER;
		HASH_ADD(hh, pools, digest, KEEPER_DIGEST_LEN, pool);
		xalloc_added(pool->hh.tbl);
	}
	return pool;
}

struct pool *pools_all(void)
{
	return pools;
}

void pool_free(struct pool *pool)
{
	HASH_DEL(pools, pool);
	free(pool->label);
	free(pool);
}

/* ---- answers ---- */

void pool_leave(struct ask *ask)
{
	if (ask->session != NULL) {
		ask->session->ask = NULL;
		ask->session = NULL;
	}
	if (ask->pool != NULL) {
		DL_DELETE(ask->pool->line, ask);
		ask->pool->waiting--;
		ask->pool = NULL;
	}
}

void pool_ring(struct ask *ask)
{
	if (ask->bell >= 0) {
		shutdown(ask->bell, SHUT_RD);
		close(ask->bell);
		ask->bell = -1;
	}
}

void pool_bell(struct ask *ask, int bell)
{
	if (ask->bell >= 0) {
		close(ask->bell);
	}
	ask->bell = bell;
	if (ask->pool == NULL) {
		pool_ring(ask);
	}
}

static void fail(struct ask *ask)
{
	pool_leave(ask);
	ask->failed(ask);
}

/* Sets the word that the question names, which must be free; false: it is not. */
static bool grant(struct ask *ask, enum keeper_word_state state, struct member **member)
{
	struct member *of = member_find(ask->member);
	uint32_t word;

	if (of == NULL || of->sessions[ask->word] != NULL) {
		return false;
	}
	word = member_word(of, ask->word);
	*member = of;
	return KEEPER_WORD_STATE(word) == KEEPER_WORD_FREE &&
	       member_change(of, ask->word, word, state, &ask->offered);
}

static void log_granted(const char *event, const struct ask *ask, const struct session *session)
{
	struct strbuf *line = log_line(LEVEL_DEBUG, event);

	if (line != NULL) {
		if (session->fd >= 0) {
			log_u64(line, "backend", (uint64_t)session->record.backend_pid);
		}
		pair_str(line, "pool", session->pool->label);
		log_u64(line, "to", (uint64_t)session->member->pid);
		log_u64(line, "wait_us", (clock_monotonic_ns() - ask->asked_ns) / NS_PER_US);
		log_end();
	}
}

/* Hands a proven session out. If that fails, the question is over, and the session stays. */
static void lend(struct session *session, struct ask *ask, uint64_t now_ns)
{
	struct keeper_lend lent = {.record = session->record};
	struct iovec parts[] = {{NULL, 0},
	                        {&lent, sizeof(lent)},
	                        {session->bytes, session_record_length(&session->record)}};
	struct member *member;

	if (!grant(ask, KEEPER_WORD_OFFERED, &member)) {
		fail(ask);
		return;
	}
	session_let_go(session);
	pool_leave(ask);
	holding_attach(session, member, ask->word, ask->offered, ask->place, now_ns);
	if (!message_send(ask->socket, KEEPER_LEND, parts, 3, session->fd)) {
		member_change(member, ask->word, ask->offered, KEEPER_WORD_FREE, NULL);
		holding_detach(session);
		holding_keep(session, 0, now_ns);
		fail(ask);
		return;
	}
	pool_ring(ask);
	log_granted("lend", ask, session);
}

static void grant_room(struct pool *pool, struct ask *ask, uint64_t now_ns)
{
	struct iovec head[] = {{NULL, 0}};
	struct session *session;
	struct member *member;

	if (!grant(ask, KEEPER_WORD_ROOM, &member)) {
		fail(ask);
		return;
	}
	session = holding_add(pool);
	pool_leave(ask);
	holding_attach(session, member, ask->word, ask->offered, ask->place, now_ns);
	if (!message_send(ask->socket, KEEPER_ROOM, head, 1, -1)) {
		member_change(member, ask->word, ask->offered, KEEPER_WORD_FREE, NULL);
		holding_close(session, SESSION_FORGET, "");
		fail(ask);
		return;
	}
	pool_ring(ask);
	log_granted("room", ask, session);
}

/* ---- the line ---- */

/* Whether the last answer of its server says enough. */
static bool is_proven(const struct session *session, const struct ask *ask)
{
	return !reply_is_due(&session->reply) &&
	       session->proved_ns >= session->pool->suspect_ns &&
	       (!ask->pings || session->proved_ns >= ask->asked_ns);
}

/*
 * Goes on with a question that has a session: lends it, or asks the server for the sign of life
 * that is missing. False: that could not be sent, and the session is closed.
 */
static bool advance(struct ask *ask, uint64_t now_ns)
{
	struct session *session = ask->session;

	if (is_proven(session, ask)) {
		lend(session, ask, now_ns);
	} else if (!reply_is_due(&session->reply) && !session_ping(session, now_ns)) {
		ask->session = NULL;
		session->pool->suspect_ns = now_ns;
		holding_close(session, SESSION_TERMINATE, "ping_failed");
		return false;
	}
	return true;
}

/* The one that is held and nobody's, by PQPOOL_ORDER; those that are too old are closed. */
static struct session *find_held(struct pool *pool, uint64_t now_ns)
{
	struct session *best = NULL;
	struct session *session;
	struct session *next;

	DL_FOREACH_SAFE (pool->sessions, session, next) {
		const char *why;

		if (session->member != NULL || session->ask != NULL) {
			continue;
		}
		why = holding_expired(session, session->held_ns, now_ns);
		if (why != NULL) {
			holding_close(session, SESSION_TERMINATE, why);
		} else if (best == NULL ||
		           (session->held_ns < best->held_ns) == settings.oldest_first) {
			best = session;
		}
	}
	return best;
}

/* Whether its member has had it for as long as it may while others wait. */
static bool has_lingered(const struct session *session, uint64_t now_ns)
{
	return now_ns >= session->granted_ns + settings.linger_ns;
}

static bool is_unused(struct session *session, uint64_t now_ns)
{
	uint32_t word = member_word(session->member, session->word);

	if (word != session->seen) {
		session->seen = word;
		session->seen_ns = now_ns;
	}
	return KEEPER_WORD_STATE(word) == KEEPER_WORD_IDLE &&
	       now_ns - session->seen_ns >= UNUSED_NS;
}

/* One that lies idle in a member; `all`: also those that the member may take again. */
static struct session *claim_idle(struct pool *pool, const struct ask *ask, bool all,
                                  uint64_t now_ns)
{
	struct session *session;
	struct session *next;

	DL_FOREACH_SAFE (pool->sessions, session, next) {
		uint32_t answers;
		const char *why;

		if (session->member == NULL) {
			continue;
		}
		if (!all && !has_lingered(session, now_ns) &&
		    session->member->id != ask->member && !is_unused(session, now_ns)) {
			pool->again_ns = now_ns + UNUSED_NS;
			loop_call_at(pool->again_ns);
			continue;
		}
		if (!holding_claim(session, &answers)) {
			continue;
		}
		why = holding_expired(session, UINT64_MAX, now_ns);
		if (why != NULL) {
			holding_close(session, SESSION_TERMINATE, why);
		} else if (holding_keep(session, answers, now_ns)) {
			return session;
		}
	}
	return NULL;
}

/* Drops what members have closed, and what is to be closed as soon as it lies idle. */
static void collect(struct pool *pool)
{
	struct session *session;
	struct session *next;

	DL_FOREACH_SAFE (pool->sessions, session, next) {
		uint32_t word;
		uint32_t answers;

		if (session->member == NULL) {
			continue;
		}
		word = member_word(session->member, session->word);
		if (KEEPER_WORD_STATE(word) == KEEPER_WORD_GONE &&
		    (session->fd >= 0 || session->failed || session->member->socket < 0)) {
			member_change(session->member, session->word, word, KEEPER_WORD_FREE,
			              NULL);
			holding_close(session,
			              session->fd >= 0 ? SESSION_CLOSED : SESSION_FORGET,
			              "gone");
		} else if (session->drained && holding_claim(session, &answers)) {
			holding_close(session, SESSION_TERMINATE, "drained");
		}
	}
}

static bool has_room(const struct pool *pool)
{
	return settings.total == UINT_MAX ||
	       pool->used + pool->ending + members_left_with(pool->label_hash) < settings.total;
}

/* There is nothing for these. Who wants no proof cannot wait long for a first answer. */
static void hurry(struct ask *ask, uint64_t now_ns)
{
	for (; ask != NULL; ask = ask->next) {
		if (!ask->pings && ask->told_ns != DEADLINE_NEVER) {
			ask->told_ns = now_ns;
			loop_call_at(now_ns);
		}
	}
}

/* Gives the line what there is; true: somebody is left for whom there is nothing. */
static bool serve_line(struct pool *pool, uint64_t now_ns)
{
	struct ask *ask = pool->line;

	pool->again_ns = DEADLINE_NEVER;
	while (ask != NULL) {
		struct ask *next = ask->next;

		if (ask->session == NULL) {
			struct session *session = find_held(pool, now_ns);

			bool room = session == NULL && has_room(pool);

			if (session == NULL) {
				session = claim_idle(pool, ask, room, now_ns);
			}
			if (session == NULL) {
				if (!room) {
					hurry(ask, now_ns);
					return true;
				}
				grant_room(pool, ask, now_ns);
				ask = next;
				continue;
			}
			ask->session = session;
			session->ask = ask;
		}
		if (advance(ask, now_ns)) {
			ask = next;
		}
	}
	return false;
}

/* Tells members whether somebody is to have sessions of theirs; true: one did not know. */
static bool tell_members(struct pool *pool, bool waited_for, uint64_t now_ns)
{
	struct session *session;
	bool told = false;

	DL_FOREACH (pool->sessions, session) {
		bool wanted = (waited_for && has_lingered(session, now_ns)) ||
		              session->drained || pools_are_paused;

		if (session->member != NULL && session->attended != wanted) {
			session->attended = wanted;
			told |= member_attend(session->member, wanted);
		}
	}
	return told;
}

void pool_tell_to_wait(struct ask *ask)
{
	struct iovec head[] = {{NULL, 0}};
	struct strbuf *line;

	ask->told_ns = DEADLINE_NEVER;
	if (!message_send(ask->socket, KEEPER_WAIT, head, 1, -1)) {
		return; /* its end of the connection is closed, which will be seen */
	}
	line = log_line(LEVEL_DEBUG, "wait");
	if (line != NULL) {
		pair_str(line, "pool", ask->pool->label);
		log_u64(line, "in_use", ask->pool->used);
		log_u64(line, "waiting", ask->pool->waiting);
		log_end();
	}
}

/* Those for whom there is nothing: a process gives a keeper up that says nothing for long. */
static void tell_line(struct pool *pool)
{
	struct ask *ask;

	DL_FOREACH (pool->line, ask) {
		if (ask->session == NULL && ask->told_ns != DEADLINE_NEVER &&
		    ask->refused_ns > ask->asked_ns) {
			pool_tell_to_wait(ask);
		}
	}
}

void pool_serve(struct pool *pool, uint64_t now_ns)
{
	bool waited_for;

	do {
		collect(pool);
		waited_for = !pools_are_paused && serve_line(pool, now_ns);
	} while (tell_members(pool, waited_for, now_ns));
	if (waited_for || pools_are_paused) {
		tell_line(pool);
	}
}

void pools_serve(uint64_t now_ns)
{
	for (struct pool *pool = pools; pool != NULL; pool = pool->hh.next) {
		pool_serve(pool, now_ns);
	}
}

void pool_ask(struct pool *pool, struct ask *ask, uint64_t now_ns)
{
	ask->pool = pool;
	ask->asked_ns = now_ns;
	ask->told_ns = now_ns + PROOF_NS;
	DL_APPEND(pool->line, ask);
	pool->waiting++;
	loop_call_at(ask->refused_ns < ask->told_ns ? ask->refused_ns : ask->told_ns);
	pool_serve(pool, now_ns);
}

void pool_withdraw(struct ask *ask, uint64_t now_ns)
{
	struct pool *pool = ask->pool;
	struct member *member;
	struct session *session;

	if (pool != NULL) {
		pool_leave(ask);
		pool_serve(pool, now_ns);
		return;
	}
	member = member_find(ask->member);
	session = member != NULL ? member->sessions[ask->word] : NULL;
	if (session != NULL && KEEPER_WORD_STATE(ask->offered) == KEEPER_WORD_OFFERED &&
	    session->granted == ask->offered &&
	    member_change(member, ask->word, ask->offered, KEEPER_WORD_FREE, NULL)) {
		pool = session->pool;
		holding_detach(session);
		holding_keep(session, 0, now_ns);
		pool_serve(pool, now_ns);
	}
}

void pool_found_bad(struct session *session, const char *why, bool suspect, uint64_t now_ns)
{
	struct pool *pool = session->pool;

	if (session->ask != NULL) {
		session->ask->session = NULL;
		loop_call_at(session->ask->refused_ns);
	}
	if (suspect) {
		pool->suspect_ns = now_ns;
	}
	holding_close(session, SESSION_TERMINATE, why);
	pool_serve(pool, now_ns);
}
