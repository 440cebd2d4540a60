/* SPDX-License-Identifier: PostgreSQL */
/* Finds libpqpool.so and has the dynamic linker load it into the next program. */
#ifndef PQPOOL_TOOLS_COMMON_PRELOAD_SHIM_H
#define PQPOOL_TOOLS_COMMON_PRELOAD_SHIM_H

#include <stdbool.h>

/*
 * The absolute path of the libpqpool.so that belongs to this tool: in its directory, or where
 * `make install` puts it, seen from there (PQPOOL_LIBDIR). NULL, after one line on stderr, if
 * it is nowhere or its path cannot stand in LD_PRELOAD. Owner: the caller.
 */
char *preload_shim_find(void);

/*
 * Puts `library` in front of what LD_PRELOAD has already, unless it is in there.
 * False if memory ran out.
 */
bool preload_shim_set(const char *library);

/*
 * The version that the file `library` says it is of; NULL if it says none, as those before
 * 0.1.0 do, or cannot be read. It is not loaded. Owner: the caller.
 */
char *preload_shim_version(const char *library);

#endif
