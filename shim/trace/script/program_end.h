/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells whether a call of the program's is part of its end. A connection that is finished by
 * then was not finished by the code that opened it.
 *
 * A thread ends the program in two ways:
 *
 * 1. It is in exit(3), and runs exit handlers or destructors of static objects and libraries.
 *    An exit handler of ours, always the newest one registered, runs before any of the
 * program's (hooks/exit_handlers.c) and calls program_end_begin(). Other threads go on with
 * their work meanwhile, which is not part of the end.
 * 2. It is in an interpreter's clean-up after its script, which comes before exit(3): the
 *    script's exit handlers, destruction of what it still holds (interpreters_ending()).
 *    a. If the version is known the interpreter's memory says so: Python's finalizing flag,
 *       Perl's phase, PHP's shutdown flag.
 *    b. Ruby always, and unknown versions, by the functions among the thread's callers: Perl
 * and PHP clean up in a function that they export, Ruby between two of them; Python runs the
 *       script by PyEval_EvalCode(), which Py_RunMain() calls, and what Py_RunMain() does
 *       without it is the end. Seen with CPython 3.13, Perl 5.40, PHP 8.4 and Ruby 3.3.
 *
 * Tried and dropped: looking for exit(3) on the call's own stack costs a walk for each call,
 * and a coroutine's stack does not lead there. Interposing exit(): main's return and the C
 * library itself call it directly. Wrapping main by way of __libc_start_main puts a frame of
 * ours into every program. A destructor of a thread-local object runs before all exit handlers,
 * but only for the thread that registered it.
 *
 * Locks: see interpreters.h.
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
