/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which of the connections that a program holds to its end are leaks, and which it keeps.
 *
 * A program that connects once and works with that connection for the rest of its life is
 * healthy, though it may leave the finish to its end. So a lease is kept, and no leak, if
 *
 *   - this process gave back nothing that it took at the same place (stack_place), but at its
 *     end, or because it was broken: else it forgot this one;
 *   - its thread did not end while the process went on, or another one used it since;
 *   - it is the only one that the thread holds of that place; or of all of them each was used
 *     after the last one was taken, as sets of connections are: of a trail of forgotten ones
 * only the last is.
 *
 * A connect that was never finished is always a leak.
 *
 * Not here: what is told of either (report.h). The tools judge by the same rule what they read
 * (tools/leaks/kept_rule.h), as far as they know. Locks: none.
 */
#ifndef PQPOOL_TRACE_LEASE_KEPT_H
#define PQPOOL_TRACE_LEASE_KEPT_H

#include <stddef.h>

#include "trace/lease/lease_entry.h"

/* Sets `kept` in each of the leases, copies as from lease_leaks; sorts them in place. */
void kept_judge(struct lease *leases, size_t count);

#endif
