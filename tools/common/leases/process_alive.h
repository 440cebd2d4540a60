/* SPDX-License-Identifier: PostgreSQL */
/* Whether the process that wrote a log is still there. */
#ifndef PQPOOL_TOOLS_COMMON_LEASES_PROCESS_ALIVE_H
#define PQPOOL_TOOLS_COMMON_LEASES_PROCESS_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True if process `pid` of this machine existed by `first_us` (wall clock), and has the
 * shim in its memory or, where that may not be seen, the name `program`. A pid alone
 * proves nothing: it may have been used again, or be another machine's.
 */
bool process_alive(int64_t pid, const char *program, uint64_t first_us);

#endif
