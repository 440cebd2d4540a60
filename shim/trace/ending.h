/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a call of the program's is part of its end: made by an exit handler, by the
 * destructor of a static object or of a library, or by an interpreter that tidies up after
 * its script.
 *
 * What a connection is finished by then is not the code that opened it. Whether it was so
 * is seen from the call's own stack: exit(3) is on it. That is right in every thread, for
 * those that go on with their work while another one is in exit(3), too, and nothing of
 * libc's has to be interposed for it.
 *
 * Tried and dropped: a flag set by an exit handler of ours comes too late for handlers that
 * were registered after it, which run first, and is wrong for the other threads; exit() can
 * be interposed, but a return from main calls it within libc, and wrapping main by way of
 * __libc_start_main puts a frame of ours into every program; a thread-local destructor runs
 * before all exit handlers, but registering one ends the process when memory is short.
 *
 * Locks: none.
 */
#ifndef PQPOOL_TRACE_ENDING_H
#define PQPOOL_TRACE_ENDING_H

#include <stdbool.h>

/*
 * True if the calling thread is about to end the process. `caller` is the return address of
 * the program's call. It costs a walk up the stack, some 100 ns a frame.
 */
bool ending_now(const void *caller);

#endif
