/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether an interpreter of a version that script.c does not know tidies up after its script.
 *
 * An interpreter does that before it calls exit(3): exit handlers of the script, destruction
 * of what the script still holds. It is told by functions that every version exports, and that
 * are among the thread's callers then, or are not.
 *
 * Locks: none. Fork: nothing is kept but where the interpreters are.
 */
#ifndef PQPOOL_TRACE_SCRIPT_TEARDOWN_H
#define PQPOOL_TRACE_SCRIPT_TEARDOWN_H

#include <stdbool.h>

/*
 * True if the calling thread is in the end of such an interpreter. `changes` is dl_changes(),
 * as of now. It costs a walk up the stack if there is one.
 */
bool teardown_of_unknown(unsigned long long changes);

#endif
