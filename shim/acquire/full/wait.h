/* SPDX-License-Identifier: PostgreSQL */
/*
 * Waiting in a full pool's line: for connects that block, until it is one's turn, the time
 * is up, or it is proven that no release can come. Every waiter looks around meanwhile, at
 * whether the holders wait themselves and at leases held for long, since nobody else may
 * call us then.
 */
#ifndef PQPOOL_ACQUIRE_FULL_WAIT_H
#define PQPOOL_ACQUIRE_FULL_WAIT_H

#include <stdbool.h>

#include "acquire/lend/lending.h"
#include "pool/pool.h"

/*
 * How often a waiter looks around, and how long it waits before it suspects anything. A
 * thread that ends wakes nobody, though its end may be what completes a deadlock.
 */
#define WAIT_LOOK_NS NS_PER_SEC

/* When to do it next. */
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
 * Does a wait let others go on that are on the same thread? So it does where somebody else than
 * the C library answers for poll(2), as a library of coroutines may.
 */
bool wait_yields(void);

#endif
