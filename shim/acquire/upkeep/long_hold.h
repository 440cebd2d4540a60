/* SPDX-License-Identifier: PostgreSQL */
/*
 * Warns of leases that were held, and not used, for longer than PQPOOL_LONG_HOLD, and of pools
 * near their limit for NEAR_LIMIT_NS. Each is logged once; a long hold is no leak, and its end
 * is logged, too.
 *
 * There is no thread for it: it is checked at each connect and finish of the process, and while
 * a connect waits. A lease that is released before the next check is not warned of; the log of
 * its release says how long it was held.
 *
 * Locks: none of its own. A check costs one comparison until something may be due.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_LONG_HOLD_H
#define PQPOOL_ACQUIRE_UPKEEP_LONG_HOLD_H

#include <stdint.h>

#include "base/clock.h"
#include "pool/registry.h"
#include "trace/lease/lease.h"

/* How long a pool is near its limit before that is logged. */
#define NEAR_LIMIT_NS (10 * NS_PER_SEC)

/* A lease that was not used for longer is a long hold; 0 = none is. Called once, before the
 * others. */
void long_hold_configure(uint64_t long_hold_ns);

/* A lease began. */
void long_hold_note_begin(uint64_t began_ns);

/* It ended: `ended` is a copy from before. */
void long_hold_note_end(const struct lease *ended, uint64_t now_ns);

/* Logs the leases that have become long holds. */
void long_hold_look(uint64_t now_ns);

/* Logs the pool if it is near its limit. */
void long_hold_look_at(struct lender *lender, uint64_t now_ns);

#endif
