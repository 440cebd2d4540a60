/* SPDX-License-Identifier: PostgreSQL */
/*
 * Closes sessions that are not lent again: the connection, its room in the pool, its memory.
 *
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_DISCARD_H
#define PQPOOL_ACQUIRE_UPKEEP_DISCARD_H

#include <stdint.h>

#include "base/cold.h"
#include "pool/registry.h"
#include "session/session.h"

/*
 * Closes the connection of a session that is on no lease. With a deadline a reset on its way
 * is settled first; 0 = do not. At the exit, and if the keeper has claimed it, it is left to
 * the keeper instead.
 */
COLD void discard_close(struct session *session, enum drop_reason why, uint64_t deadline_ns);

/*
 * Gives up the room of a session whose PGconn is finished. The session must not be used after
 * that: it is freed, or belongs to the waiter that was given the room.
 */
COLD void discard_drop(struct session *session);

/* Leaves one to the keeper that has claimed it, or is to have it: only its PGconn is closed. */
COLD void discard_leave(struct session *session);

/* Frees a closed session and its count of the lender. */
COLD void discard_free(struct session *session);

/* Closes it, unless that was done, and gives up its room. */
COLD void discard_session(struct session *session, enum drop_reason why);

/* What a waiter was granted, and does not take, goes to the next in line. */
COLD void discard_grant(struct pool *pool, enum pool_grant grant, struct pool_waiter *waiter);

/*
 * A session that was to be lent failed its check: logs that, and lends no other that may fail
 * likewise. The caller closes it.
 */
COLD void discard_unfit(struct session *session, enum drop_reason why);

/*
 * DROP_LOGIN_TRIGGER until a minute after login event triggers were found in the database;
 * DROP_NONE: the pool keeps its sessions.
 */
enum drop_reason discard_keeps_none(struct lender *lender, uint64_t now_ns);

/* Warns, once per pool and reason, if a session is closed for a reason that will last. */
COLD void discard_explain(const struct session *session, enum drop_reason why);

#endif
