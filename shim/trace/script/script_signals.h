/* SPDX-License-Identifier: PostgreSQL */
/*
 * Runs signal handlers that are written in a script, during a wait.
 *
 * What an interpreter gives to the kernel as a handler only notes the signal; the script's own
 * handler runs between two of its instructions. libpq's connect ends soon, a wait for a session
 * does not: so after a signal a waiting thread lets the interpreter run the pending handlers,
 * as the interpreter's own long functions do (PyErr_CheckSignals() of CPython from 3.5 on,
 * Perl_despatch_signals() of Perl from 5.8 on). Not if the caller has kept the interpreter's
 * lock, and only in the thread that runs handlers.
 *
 * Locks: the interpreter's. Called with none of ours, and where a thread may leave the call for
 * good, as Perl's die does.
 */
#ifndef PQPOOL_TRACE_SCRIPT_SCRIPT_SIGNALS_H
#define PQPOOL_TRACE_SCRIPT_SCRIPT_SIGNALS_H

#include <stdbool.h>

/*
 * Runs pending handlers. True: one has raised an exception, which the script gets when the
 * libpq call has returned; the wait should end.
 */
bool script_signals_run(void);

#endif
