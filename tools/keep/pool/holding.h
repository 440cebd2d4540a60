/* SPDX-License-Identifier: PostgreSQL */
/*
 * The moves of a session between members and the keeper (session.h has their picture). Each
 * changes the word, the counts and the log as well.
 */
#ifndef PQPOOL_TOOLS_KEEP_POOL_HOLDING_H
#define PQPOOL_TOOLS_KEEP_POOL_HOLDING_H

#include <stdbool.h>
#include <stdint.h>

#include "keep/pool/pool.h"

/* A room in this pool. It has no session yet, and no member. */
struct session *holding_add(struct pool *pool);

/* Gives it to a member, whose word was set to `granted`; `place` may be NULL, and is copied. */
void holding_attach(struct session *session, struct member *member, unsigned word,
                    uint32_t granted, const char *place, uint64_t now_ns);

/* Its member has it no more. */
void holding_detach(struct session *session);

/* Takes an idle session from its member, to be held or closed; false: it is in use by now. */
bool holding_claim(struct session *session, uint32_t *answers);

/*
 * Holds a session that no member has, of which `answers` are due, and reads what there is.
 * False: it was no good, and is closed.
 */
bool holding_keep(struct session *session, unsigned answers, uint64_t now_ns);

/*
 * Closes it; `why` is for the log. Its room is free: at once, or with SESSION_TERMINATE and
 * SESSION_CLOSED when the server's process has ended, as that counts for the server's limits
 * until then.
 */
void holding_close(struct session *session, enum session_end how, const char *why);

/*
 * Gives up the session of a member that has ended. A child of that may go on with it, so it is
 * not shut down, unless only useless copies of its socket (copies.h) keep it alive; its room is
 * free when that is clear.
 */
void holding_abandon(struct session *session, uint64_t now_ns);

/* Gives up on servers that do not end the sessions that were closed. */
void holding_due(struct pool *pool, uint64_t now_ns);

/* Why an idle session is not to be lent any more, by age and idle time; NULL: it may be. */
const char *holding_expired(const struct session *session, uint64_t idle_since_ns,
                            uint64_t now_ns);

#endif
