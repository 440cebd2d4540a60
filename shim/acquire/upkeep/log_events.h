/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log lines about pools, sessions and leases: one function for each event, which also
 * counts it (trace/lease/counters.h, the status page), whatever the level of the log.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_LOG_EVENTS_H
#define PQPOOL_ACQUIRE_UPKEEP_LOG_EVENTS_H

#include <stdint.h>

#include "base/cold.h"
#include "pool/drop_reason.h"
#include "pool/registry.h"
#include "session/session.h"
#include "trace/lease/lease.h"

void log_event_pool_open(const struct lender *lender);
void log_event_session_open(const struct session *session, uint64_t took_ns);
/* One that another process opened, from the keeper. */
COLD void log_event_session_borrow(const struct session *session);
void log_event_session_close(const struct session *session, enum drop_reason why);
void log_event_open_failed(const struct lender *lender, const char *error, uint64_t took_ns);
/* `queued_ns`: the part of its wait that it was in line; 0 = it was not. */
void log_event_acquire(const struct session *session, uint64_t queued_ns);

/*
 * `ended` is the lease as it was while open; `why` is DROP_NONE if the session is kept.
 * `stack` is where it was given back.
 */
void log_event_release(const struct lease *ended, enum drop_reason why, uint32_t stack);

/* A session that was to be lent did not pass its check. */
COLD void log_event_check_failed(const struct session *session, enum drop_reason why);

/* A warning that sessions are closed for a lasting reason, and whether `why` has one. */
COLD bool log_event_can_explain(enum drop_reason why);
COLD void log_event_not_kept(const struct session *session, enum drop_reason why);

void log_event_wait(struct lender *lender);

/* A connect was refused; and one of the leases, or connects, that had a session. */
void log_event_timeout(const struct lender *lender, struct pool_counts counts,
                       uint64_t waited_ns, const char *verdict, bool proven);
void log_event_holder(const struct lease *lease, const char *thread_state, uint64_t now_ns);
void log_event_suspected_deadlock(const struct lender *lender, struct pool_counts counts,
                                  uint64_t waited_ns);

/* An asynchronous connect, begun by that thread at `stack`, lost its turn (turns.h). */
struct log_event_turn {
	pid_t tid;
	uint64_t begun_ns;
	uint32_t stack;
};
COLD void log_event_turn_lost(struct lender *lender, const struct log_event_turn *turn,
                              uint64_t now_ns);

/* See long_hold.h. */
COLD void log_event_long_hold(const struct lease *lease, uint64_t now_ns);
void log_event_long_hold_ended(const struct lease *ended, uint64_t now_ns);
COLD void log_event_near_limit(const struct lender *lender, struct pool_counts counts,
                               uint64_t since_ns);

/* A call of `function` at `stack` on a connection whose last lease, `last`, has ended. */
void log_event_misuse(const struct lease *last, const char *function, uint32_t stack);

#endif
