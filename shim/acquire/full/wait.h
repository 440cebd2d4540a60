/* SPDX-License-Identifier: PostgreSQL */
/*
 * Waiting in a full pool's line, for connects that block: until a session is granted, the time
 * is up, or it is proven that no release can come. There is no thread of ours, so each waiter
 * checks meanwhile whether the holders wait themselves, and which leases are held for long.
 */
#ifndef PQPOOL_ACQUIRE_FULL_WAIT_H
#define PQPOOL_ACQUIRE_FULL_WAIT_H

#include <stdbool.h>

#include "acquire/lend/acquisition.h"
#include "pool/pool.h"

/*
 * How often a waiter checks that, and how long it waits before it suspects a deadlock. The end
 * of a thread may complete one, and wakes no waiter.
 */
#define WAIT_LOOK_NS NS_PER_SEC

/* When to check next. */
uint64_t wait_next_look(uint64_t deadline_ns, uint64_t now_ns);

/*
 * Waits for the waiter of the acquisition's ticket, which pool_acquire has put in line, and
 * notes in `a` for how long. POOL_FULL: in vain; it is out of the line, and `*doomed` says that
 * no release can come. Blocks, with no lock held, where a thread can be cancelled and a signal
 * handler may leave for good; one that a script has (trace/script/script_signals.h) runs at
 * once, and what it raises ends the wait.
 */
enum pool_grant wait_for_turn(struct acquisition *a, bool *doomed);

/*
 * True if other coroutines of the thread run during a wait: if poll(2) is not the C library's,
 * as libraries of coroutines interpose it.
 */
bool wait_yields(void);

#endif
