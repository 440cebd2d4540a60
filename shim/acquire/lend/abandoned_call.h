/* SPDX-License-Identifier: PostgreSQL */
/*
 * Gives back to the pools what blocking calls had that were left for good (blocked_call.h).
 *
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_LEND_ABANDONED_CALL_H
#define PQPOOL_ACQUIRE_LEND_ABANDONED_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/blocked_call.h"
#include "base/cold.h"

/*
 * What calls of this thread had, as far as this frame proves that they are over. At every
 * connect and finish: a look at the thread's memory.
 */
void abandoned_call_tend(void);

/* True if another call of this thread has not returned, and is not known to be over. */
bool abandoned_call_others(const struct blocked_call *ticket);

/* What calls of any thread had that are overdue or seem left. Reads /proc. */
COLD void abandoned_call_tend_overdue(uint64_t now_ns);

/* The thread ends. */
void abandoned_call_thread_end(void);

/* The child has none of the parent's other threads. */
void abandoned_call_fork_child(void);

#endif
