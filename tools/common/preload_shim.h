/* SPDX-License-Identifier: PostgreSQL */
/* Finds libpqpool.so and has the dynamic linker load it into the next program. */
#ifndef PQPOOL_TOOLS_COMMON_PRELOAD_SHIM_H
#define PQPOOL_TOOLS_COMMON_PRELOAD_SHIM_H

#include <stdbool.h>

/*
 * The absolute path of the libpqpool.so that belongs to this tool: in its directory,
 * in ../lib from there, or where the installation put it (PQPOOL_LIBDIR, if compiled
 * in). NULL, after one line on stderr, if it is nowhere or its path cannot stand in
 * LD_PRELOAD. Owner: the caller.
 */
char *preload_shim_find(void);

/*
 * Puts `library` in front of what LD_PRELOAD has already, unless it is in there.
 * False if memory ran out.
 */
bool preload_shim_set(const char *library);

#endif
