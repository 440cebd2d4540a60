/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which of the leases that are open at the program's end are leaks, and which it keeps.
 *
 * A program that connects once and uses that connection for the rest of its life is healthy,
 * even if it leaves the finish to its end. So a lease is kept, and no leak, if
 *
 *   - this process gave back no other lease of the same place (stack_place), except at its end,
 * or because the connection was broken: else it forgot this one;
 *   - its thread ran until the process ended, or another thread used it since;
 *   - it is the only one that its thread holds of that place; or it is one of several of which
 *     each was used after the last one was taken, as in a set of connections: of forgotten ones
 *     only the last is used.
 *
 * A connect that was never finished is always a leak. The tools apply the same rule to what
 * they read (tools/common/leases/kept_rule.h). Locks: none.
 */
#ifndef PQPOOL_TRACE_LEASE_KEPT_H
#define PQPOOL_TRACE_LEASE_KEPT_H

#include <stddef.h>

#include "trace/lease/lease_entry.h"

/* Sets `kept` in each of the leases, copies as from lease_leaks; sorts them in place. */
void kept_judge(struct lease *leases, size_t count);

#endif
