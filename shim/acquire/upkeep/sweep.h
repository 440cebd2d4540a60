/* SPDX-License-Identifier: PostgreSQL */
/*
 * Closes idle sessions: those past their time, or all of them.
 *
 * There is no thread for it: each connect sweeps its own pool, and now and then all others,
 * because idle sessions age in pools that the program no longer uses, too.
 *
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_SWEEP_H
#define PQPOOL_ACQUIRE_UPKEEP_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/cold.h"
#include "pool/registry.h"
#include "session/session.h"

/* How long an acquire waits for the server to let go of a session it replaces. */
#define END_WAIT_NS NS_PER_SEC

/* Closes what is past its time: in one pool; in all, if that is due; in all. */
void sweep_pool(struct lender *lender, uint64_t now_ns);
void sweep_others(uint64_t now_ns);
COLD void sweep_all(uint64_t now_ns);

/*
 * Closes every idle session of this process, and with `await_end` sees the end of each, until
 * `deadline_ns`. True if there was one.
 */
bool sweep_idle(enum drop_reason why, uint64_t deadline_ns, bool await_end);

/* Closes all of them, and the keeper's, to make room; true if that may help. */
COLD bool sweep_make_room(uint64_t deadline_ns);

/*
 * A statement of the program's altered what sessions are made of: none that exists now will be
 * lent again, nor one that the keeper has. sweep_alterations() counts the calls,
 * sweep_altered_ns() is the time of the last one; 0 = there was none.
 */
COLD void sweep_invalidate_all(void);
unsigned sweep_alterations(void);
uint64_t sweep_altered_ns(void);

/*
 * True if the connect failed because the server or this process has no place left: closing idle
 * sessions may help.
 */
bool sweep_may_help(const struct session *session);

#endif
