/* SPDX-License-Identifier: PostgreSQL */
/*
 * Signal handlers that are written in a script.
 *
 * What an interpreter gives to the kernel as a handler only notes the signal; the script's own
 * handler runs between two of its instructions. libpq's connect is over soon, a wait for a
 * session is not: after a signal a thread that waits lets the interpreter run what is due, as
 * each of its own functions does that can last (PyErr_CheckSignals() of CPython from 3.5 on,
 * Perl_despatch_signals() of Perl from 5.8 on). So it is not done where the caller has kept the
 * interpreter's lock, and only by the thread that runs handlers.
 *
 * Locks: the interpreter's. Called with none of ours, and where a thread may be left for good:
 * Perl's die does so.
 */
#ifndef PQPOOL_TRACE_SCRIPT_SCRIPT_SIGNALS_H
#define PQPOOL_TRACE_SCRIPT_SCRIPT_SIGNALS_H

#include <stdbool.h>

/*
 * Runs what is due. True: a handler has raised an exception, which the script gets when the
 * call of libpq's is over: that had better be soon.
 */
bool script_signals_run(void);

#endif
