/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program's operator has ordered through the status page: `pqpool drain`, `pause` and
 * `resume` (status_format.h).
 *
 * There is no thread for it: each connect and each finish looks, and so does who waits in a
 * line. Drained: sessions whose connect began before are not lent again. Paused: all pools of
 * the process let new connects wait, up to their timeouts.
 *
 * Locks: none is held by a caller of anything here. Fork: the child has no orders.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_ORDERS_H
#define PQPOOL_ACQUIRE_UPKEEP_ORDERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/cold.h"
#include "trace/status/status.h"

/* How often a connect that waits while paused looks whether it still is. */
#define ORDERS_LOOK_NS (100 * NS_PER_MS)

/* orders.c's */
extern atomic_uint_fast64_t orders_seen; /* the last status_order() */
extern atomic_bool orders_paused;
COLD void orders_obey(void);

/* At every pool call. */
static inline void orders_look(void)
{
	if (status_order() != atomic_load_explicit(&orders_seen, memory_order_relaxed) ||
	    atomic_load_explicit(&orders_paused, memory_order_relaxed)) {
		orders_obey();
	}
}

/* True if new connects wait. */
static inline bool orders_are_paused(void)
{
	return atomic_load_explicit(&orders_paused, memory_order_relaxed);
}

COLD void orders_fork_child(void);

#endif
