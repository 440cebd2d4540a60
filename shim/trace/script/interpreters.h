/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interpreters in this process: Python, Perl, PHP and Ruby, as programs or embedded.
 *
 * One is recognised by the symbols that its module exports, wherever it was loaded from. They
 * are looked for again when the loader's counts have changed: `changes` is dl_changes(), as of
 * now; 0: they are taken as they were found last.
 *
 * Locks: LOCK_LOADER, for the search. Fork: nothing to do. Not for a signal handler that
 * interrupted malloc.
 */
#ifndef PQPOOL_TRACE_SCRIPT_INTERPRETERS_H
#define PQPOOL_TRACE_SCRIPT_INTERPRETERS_H

#include <stdbool.h>
#include <stdint.h>

struct script_interpreter;

/* True if one is of a version whose frames can be read: stacks should be searched for them. */
bool interpreters_readable(unsigned long long changes);

/*
 * The readable one whose code holds `address`, a frame of the calling thread's stack; NULL if
 * none does.
 */
struct script_interpreter *interpreters_at(uintptr_t address);

/*
 * The readable one that may run without its module on the calling thread's stack, in code that
 * it made itself; NULL if there is none. Any other may have ended or be unloaded meanwhile.
 */
struct script_interpreter *interpreters_with_jit(void);

/*
 * True if what the calling thread does now is an interpreter's clean-up after its script: the
 * script's exit handlers, destruction of objects after its last statement.
 */
bool interpreters_ending(unsigned long long changes);

#endif
