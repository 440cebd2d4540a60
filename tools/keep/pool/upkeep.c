/* SPDX-License-Identifier: PostgreSQL */
/* What is done by the clock, without any program calling; and draining. */
#include "keep/pool/upkeep.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "keep/log.h"
#include "keep/pool/holding.h"
#include "keep/pool/pool.h"
#include "keep/pool/show.h"
#include "keep/settings.h"

#define ROUND_NS NS_PER_SEC

/* ---- the line ---- */

static void refuse(struct ask *ask, uint64_t now_ns)
{
	struct pool *pool = ask->pool;
	char *text = show_holders(pool, now_ns);
	struct keeper_refuse refused = {.text_len = (uint32_t)strlen(text)};
	struct iovec parts[] = {
		{NULL, 0}, {&refused, sizeof(refused)}, {text, refused.text_len}};
	struct strbuf *line = log_line(LEVEL_WARNING, "timeout");

	if (line != NULL) {
		pair_str(line, "pool", pool->label);
		log_u64(line, "in_use", pool->used);
		log_u64(line, "waiting", pool->waiting);
		if (settings.total != UINT_MAX) {
			log_u64(line, "limit", settings.total);
		}
		log_u64(line, "wait_us", (now_ns - ask->asked_ns) / NS_PER_US);
		log_end();
	}
	pool_leave(ask);
	message_send(ask->socket, KEEPER_REFUSE, parts, 3, -1);
	pool_ring(ask);
	free(text);
}

static void look_at_line(struct pool *pool, uint64_t now_ns)
{
	struct ask *ask;
	struct ask *next;

	DL_FOREACH_SAFE (pool->line, ask, next) {
		/* One whose session is being asked for a sign of life has not gone short. */
		bool wants = ask->session == NULL;

		if (wants && now_ns >= ask->refused_ns) {
			refuse(ask, now_ns);
			continue;
		}
		if (now_ns >= ask->told_ns) {
			pool_tell_to_wait(ask);
		}
		loop_call_at(wants && ask->refused_ns < ask->told_ns ? ask->refused_ns
		                                                     : ask->told_ns);
	}
}

/* ---- sessions ---- */

/* Answers that did not come. */
static void look_at_answers(struct pool *pool, uint64_t now_ns)
{
	struct session *session = pool->sessions;

	while (session != NULL) {
		struct session *next = session->next;

		if (session->watch.fd >= 0 && reply_is_due(&session->reply)) {
			if (now_ns >= session->patience_ns) {
				pool_found_bad(session, "ping_failed", true, now_ns);
				/* That serves the line, and may close others. */
				next = pool->sessions;
			} else {
				loop_call_at(session->patience_ns);
			}
		}
		session = next;
	}
}

/* Closes a session that a member has if it is still idle. */
static bool close_idle(struct session *session, const char *why)
{
	uint32_t answers;

	if (!holding_claim(session, &answers)) {
		return false;
	}
	holding_close(session, SESSION_TERMINATE, why);
	return true;
}

/* What is too old, too long idle, or closed by its server. */
static void sweep_session(struct session *session, uint64_t now_ns)
{
	const char *why;
	uint32_t word;

	if (session->member == NULL) {
		why = holding_expired(session, session->held_ns, now_ns);
		if (why != NULL && session->ask == NULL) {
			holding_close(session, SESSION_TERMINATE, why);
		}
		return;
	}
	word = member_word(session->member, session->word);
	if (word != session->seen) {
		session->seen = word;
		session->seen_ns = now_ns;
	}
	if (KEEPER_WORD_STATE(word) != KEEPER_WORD_IDLE || session->fd < 0) {
		return;
	}
	why = holding_expired(session, session->seen_ns, now_ns);
	if (why == NULL && session_is_ended(session)) {
		why = "broken";
	}
	if (why != NULL) {
		close_idle(session, why);
	}
}

/* At rest not more than PQPOOL_SIZE are kept: those idle longest go. */
static void close_surplus(struct pool *pool)
{
	while (pool->line == NULL && pool->used > settings.size) {
		struct session *oldest = NULL;
		struct session *session;

		DL_FOREACH (pool->sessions, session) {
			if (session->member == NULL &&
			    (oldest == NULL || session->held_ns < oldest->held_ns)) {
				oldest = session;
			}
		}
		if (oldest != NULL) {
			holding_close(oldest, SESSION_TERMINATE, "surplus");
			continue;
		}
		DL_FOREACH (pool->sessions, session) {
			if (close_idle(session, "surplus")) {
				break;
			}
		}
		if (session == NULL) {
			return;
		}
	}
}

static void sweep(struct pool *pool, uint64_t now_ns)
{
	struct session *session;
	struct session *next;

	DL_FOREACH_SAFE (pool->sessions, session, next) {
		sweep_session(session, now_ns);
	}
	pool_serve(pool, now_ns);
	close_surplus(pool);
	if (pool->sessions == NULL && pool->closing == NULL && pool->line == NULL) {
		pool_free(pool);
	}
}

void upkeep_due(uint64_t now_ns)
{
	static uint64_t round_ns;
	struct pool *pool = pools_all();

	while (pool != NULL) {
		struct pool *next = pool->hh.next;

		look_at_line(pool, now_ns);
		look_at_answers(pool, now_ns);
		if (pool->closing != NULL) {
			holding_due(pool, now_ns);
			pool_serve(pool, now_ns);
		}
		if (now_ns >= round_ns) {
			sweep(pool, now_ns);
		} else if (now_ns >= pool->again_ns) {
			pool_serve(pool, now_ns);
		} else if (pool->again_ns != DEADLINE_NEVER) {
			loop_call_at(pool->again_ns);
		}
		pool = next;
	}
	if (now_ns >= round_ns) {
		round_ns = now_ns + ROUND_NS;
	}
	if (pools_all() != NULL) {
		loop_call_at(round_ns);
	}
}

/* ---- draining ---- */

static bool is_meant(const struct session *session, const char *label, pid_t pid)
{
	return (label == NULL || strcmp(session->pool->label, label) == 0) &&
	       (pid < 0 || (session->member != NULL && session->member->pid == pid));
}

unsigned upkeep_drain(const char *label, pid_t pid, uint64_t now_ns)
{
	unsigned count = 0;

	for (struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		struct session *session;
		struct session *next;

		DL_FOREACH_SAFE (pool->sessions, session, next) {
			if (!is_meant(session, label, pid)) {
				continue;
			}
			count++;
			session->drained = true;
			if (session->member == NULL) {
				if (session->ask != NULL) {
					session->ask->session = NULL;
				}
				holding_close(session, SESSION_TERMINATE, "drained");
			}
		}
		pool_serve(pool, now_ns);
	}
	return count;
}

bool upkeep_is_drained(void)
{
	for (const struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		const struct session *session;

		if (pool->closing != NULL) {
			return false;
		}
		DL_FOREACH (pool->sessions, session) {
			if (session->drained ||
			    (pools_are_paused && session->member != NULL &&
			     KEEPER_WORD_STATE(member_word(session->member, session->word)) !=
			             KEEPER_WORD_IDLE)) {
				return false;
			}
		}
	}
	return true;
}

unsigned upkeep_make_room(uint64_t now_ns)
{
	unsigned count = 0;

	for (struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		struct session *session;
		struct session *next;

		DL_FOREACH_SAFE (pool->sessions, session, next) {
			if (session->member != NULL) {
				count += close_idle(session, "make_room");
			} else if (session->ask == NULL) {
				holding_close(session, SESSION_TERMINATE, "make_room");
				count++;
			}
		}
		pool_serve(pool, now_ns);
	}
	return count;
}

bool upkeep_has_ended(void)
{
	for (const struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		if (pool->closing != NULL) {
			return false;
		}
	}
	return true;
}

void upkeep_end(void)
{
	for (struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		struct session *session;
		struct session *next;

		DL_FOREACH_SAFE (pool->sessions, session, next) {
			if (session->member != NULL) {
				close_idle(session, "exit");
			} else {
				holding_close(session, SESSION_TERMINATE, "exit");
			}
		}
	}
}
