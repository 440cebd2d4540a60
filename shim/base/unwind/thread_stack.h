/* SPDX-License-Identifier: PostgreSQL */
/*
 * The stack that the C library gave the calling thread. Signal handlers may run on another one,
 * and coroutines do.
 *
 * Locks: the linker's, for a moment. Not on the way of an ordinary call: the main thread's is
 * read from /proc.
 */
#ifndef PQPOOL_BASE_UNWIND_THREAD_STACK_H
#define PQPOOL_BASE_UNWIND_THREAD_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* From `*low` up to `*high`; empty where the C library does not say. */
void thread_stack(uintptr_t *low, uintptr_t *high);

/*
 * True if another thread of this process, `tid`, by its descriptor `self` (pthread_self), has
 * ended, or sleeps in the kernel with a stack pointer above `address`: what was called there is
 * over. Only where both lie on the stack that the C library gave it, as far as can be told.
 */
bool thread_stack_was_left(pid_t tid, uintptr_t self, uintptr_t address);

/*
 * True where somebody copies what lies on it away and back: greenlet, which runs all its
 * coroutines on it. An address says nothing then.
 */
bool thread_stack_is_copied(void);

#endif
