/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells where the stack lies that the C library gave a thread, and whether calls made on it are
 * over. Signal handlers may run on another stack, and coroutines do.
 *
 * Locks: the linker's, for a moment. Not for the hot path: the main thread's stack is read from
 * /proc.
 */
#ifndef PQPOOL_BASE_UNWIND_THREAD_STACK_H
#define PQPOOL_BASE_UNWIND_THREAD_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* An address near the top of a thread's stack; `self` is its descriptor (pthread_self). */
uintptr_t thread_stack_top(pid_t tid, uintptr_t self);

/* From `*low` up to `*high`; empty where the C library does not say. */
void thread_stack(uintptr_t *low, uintptr_t *high);

/*
 * True if another thread of this process, `tid`, by its descriptor `self` (pthread_self), has
 * ended, or sleeps in the kernel with a stack pointer above `address`: what was called there is
 * over. Only where both lie on the stack that the C library gave it, as far as can be told.
 */
bool thread_stack_was_left(pid_t tid, uintptr_t self, uintptr_t address);

/*
 * True if greenlet is loaded, which runs all its coroutines on this stack and copies what lies
 * on it away and back: an address says nothing then.
 */
bool thread_stack_is_copied(void);

#endif
