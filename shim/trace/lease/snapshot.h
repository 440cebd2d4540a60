/* SPDX-License-Identifier: PostgreSQL */
/*
 * Copies of leases for reports and warnings, and the leases that only the program's end
 * released.
 *
 * No function here calls malloc: a report may be made where the program was interrupted inside
 * of it. Locks: LOCK_LEASE, all shards; copies are sorted after the locks were dropped.
 */
#ifndef PQPOOL_TRACE_LEASE_SNAPSHOT_H
#define PQPOOL_TRACE_LEASE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/cold.h"
#include "trace/lease/lease_entry.h"

/*
 * Copies the leases that this process began and that hold a session, open or pending (those
 * have no number), oldest first, into an array for lease_snapshot_free; `*count` gets their
 * number. NULL if there are none or memory is short (then `*count` still is their number).
 */
struct lease *lease_holders(size_t *count, struct lease_totals *totals);

/*
 * The same for all that are open or pending, which get their numbers here, and behind them
 * those that lease_keep_late kept: everything that a report is about.
 */
struct lease *lease_leaks(size_t *count, struct lease_totals *totals);

void lease_snapshot_free(struct lease *snapshot, size_t count);

/* Copies an entry without its links into the table. With the shard's lock held. */
void lease_copy(struct lease *to, const struct lease *from);

/*
 * Fills in what a copy says of the activity. While it is known that the lease is open, for
 * its activity may belong to the next lease later.
 */
COLD void lease_read_activity(struct lease *copy);

/* The same for its times alone. */
void lease_read_times(struct lease *copy);

/*
 * Of a copy: how long, until `now_ns` or its end, a statement was running, and how long it was
 * idle in a transaction; what is left of the lease it was idle. False: not known, for the
 * connection is not watched, or a fork had two processes use it.
 *
 * A statement runs from the call that sends it to the call by which the program has read the
 * end of its answer, or in which libpq tells that the connection is broken. What a call beneath
 * our notice sends (from a signal handler that interrupted a lock's holder, query_call_unseen)
 * counts from the next call on.
 */
bool lease_times(const struct lease *copy, uint64_t now_ns, uint64_t *query_ns,
                 uint64_t *transaction_ns);

/* Up to `max` entries that are not open into `out`; returns how many. */
size_t lease_idle(struct lease **out, size_t max);

/* No lease; as a time, never. */
#define LEASE_NONE UINT64_MAX

/*
 * Copies up to `max` open leases of this process that were last used, or else begun, at
 * `before_ns` or earlier into `out`, each once in its life; returns how many. If that is fewer
 * than `max`, no other is due; `*oldest_ns` gets the last use of the one that is due next,
 * LEASE_NONE if there is none.
 */
COLD size_t lease_name_overdue(uint64_t before_ns, struct lease *out, size_t max,
                               uint64_t *oldest_ns);

/*
 * Keeps `ended`, the copy of a lease that only the program's end released, for the report; its
 * label must last until then. At most LEASE_LATE_MAX are kept.
 */
#define LEASE_LATE_MAX 4096
COLD void lease_keep_late(const struct lease *ended);

/*
 * The calling thread takes another lease while it does not end: what it released at its
 * interpreter's end was released in time (Apache restarts mod_perl like that). Forgets those.
 */
void lease_forget_late(void);

/* In a forked child, which has one thread: they are its parent's. */
void lease_late_fork_child(void);

#endif
