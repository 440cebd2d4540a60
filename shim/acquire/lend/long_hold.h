/* SPDX-License-Identifier: PostgreSQL */
/*
 * What lasts too long while the program runs: leases that were held, and not used, for longer
 * than PQPOOL_LONG_HOLD, and pools near their limit for NEAR_LIMIT_NS. Each is named once in
 * the log; a long hold is no leak, and when it ends that is told, too.
 *
 * There is no thread for it: it is noticed at the next connect or finish of the process, or by
 * whoever waits for a session. So a lease that is released before anybody looked is never
 * named; the log of its release says how long it was held.
 *
 * Locks: none of its own. A look costs one comparison until something may be due.
 */
#ifndef PQPOOL_ACQUIRE_LEND_LONG_HOLD_H
#define PQPOOL_ACQUIRE_LEND_LONG_HOLD_H

#include <stdint.h>

#include "base/clock.h"
#include "pool/registry.h"
#include "trace/lease/lease.h"

/* How long a pool is near its limit before it is named. */
#define NEAR_LIMIT_NS (10 * NS_PER_SEC)

/* A lease that was not used for longer is a long hold; 0 = none is. Called once, before the
 * others. */
void long_hold_configure(uint64_t long_hold_ns);

/* A lease began. */
void long_hold_note_begin(uint64_t began_ns);

/* It ended: `ended` is a copy from before. */
void long_hold_note_end(const struct lease *ended, uint64_t now_ns);

/* Names the leases that have become long holds. */
void long_hold_look(uint64_t now_ns);

/* Names the pool if it is near its limit. */
void long_hold_look_at(struct lender *lender, uint64_t now_ns);

#endif
