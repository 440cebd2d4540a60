/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the log says of lending: one function per event, each one line. Here the events are
 * counted as well (trace/lease/counters.h, and the status page), whatever is logged of them.
 *
 * Not here: how a line is written (trace/record), and what is worth reporting at exit
 * (trace/report).
 */
#ifndef PQPOOL_ACQUIRE_LEND_LOG_EVENTS_H
#define PQPOOL_ACQUIRE_LEND_LOG_EVENTS_H

#include <stdint.h>

#include "base/cold.h"
#include "pool/drop_reason.h"
#include "pool/exhaustion_cause.h"
#include "pool/registry.h"
#include "session/session.h"
#include "trace/lease/lease.h"

void log_event_pool_open(const struct lender *lender);
void log_event_session_open(const struct session *session, uint64_t took_ns);
void log_event_session_close(const struct session *session, enum drop_reason why);
void log_event_open_failed(const struct lender *lender, const char *error, uint64_t took_ns);
/* `queued_ns`: of its wait, what it stood in line; 0 = it did not have to. */
void log_event_acquire(const struct session *session, uint64_t queued_ns);

/*
 * `ended` is the lease as it was while open; `why` is DROP_NONE if the session is kept.
 * `stack` is where it was given back.
 */
void log_event_release(const struct lease *ended, enum drop_reason why, uint32_t stack);

/* A session that was to be lent did not pass its check. */
COLD void log_event_check_failed(const struct session *session, enum drop_reason why);

/*
 * Sessions are closed instead of kept for a reason that is likely to stay, and that there is
 * a text for.
 */
COLD bool log_event_can_explain(enum drop_reason why);
COLD void log_event_not_kept(const struct session *session, enum drop_reason why);

void log_event_wait(const struct lender *lender, struct pool_counts counts);

/* A connect was refused, with all that is known of why; and one of those who had a session. */
void log_event_timeout(const struct lender *lender, struct pool_counts counts,
                       const struct exhaustion *known, enum verdict verdict);
void log_event_holder(const struct lease *lease, enum holder_thread thread, uint64_t now_ns);

/* A connect in steps, begun at `stack` by that thread, did not take what it was given. */
COLD void log_event_turn_lost(struct lender *lender, pid_t tid, uint64_t begun_ns,
                              uint64_t now_ns, uint32_t stack);

/* Every session is on the lease of a thread that waits itself, though not every thread waits.
 */
void log_event_suspected_deadlock(const struct lender *lender, struct pool_counts counts,
                                  uint64_t waited_ns);

/* What lasts long, see long_hold.h. */
COLD void log_event_long_hold(const struct lease *lease, uint64_t now_ns);
void log_event_long_hold_ended(const struct lease *ended, uint64_t now_ns);
COLD void log_event_near_limit(const struct lender *lender, struct pool_counts counts,
                               uint64_t since_ns);

/*
 * A call of `function` at `stack` on a connection that was given back before: `last` is
 * the lease that was on it, and knows where it ended.
 */
void log_event_misuse(const struct lease *last, const char *function, uint32_t stack);

#endif
