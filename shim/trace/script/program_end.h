/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a call of the program's is part of its end: made by an exit handler, by the
 * destructor of a static object or of a library, or by an interpreter that tidies up after
 * its script.
 *
 * What a connection is finished by then is not the code that opened it.
 *
 * That exit(3) is under way a thread notes itself: an exit handler of ours, which is always the
 * newest, runs before any of the program's (hooks/exit_handlers.c). The other threads go on
 * with their work meanwhile, and theirs is none of the end.
 *
 * Tried and dropped: looking for exit(3) on the call's own stack costs a walk for each call,
 * and a coroutine's stack does not lead there; a memory of the heights that a walk was made at
 * takes an exit handler for the work that was done from the same height. exit() can be
 * interposed, but main's return and the C library itself call it directly; wrapping main by way
 * of __libc_start_main puts a frame of ours into every program; a destructor of a
 * thread-local object runs before all exit handlers, but only that of the thread which
 * registered it, and that need not be one that ever connects.
 *
 * Locks: none.
 */
#ifndef PQPOOL_TRACE_SCRIPT_PROGRAM_END_H
#define PQPOOL_TRACE_SCRIPT_PROGRAM_END_H

#include <stdbool.h>

/* The calling thread is in exit(3) from now on. */
void program_end_begin(void);

/*
 * True if the calling thread is about to end the process. `caller` is the return address of
 * the program's call.
 */
bool program_end_now(const void *caller);

#endif
