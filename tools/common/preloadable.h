/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells beforehand whether a shared library can be preloaded into a program.
 *
 * The dynamic linker does not say so when it cannot: a statically linked program has
 * none, a setuid one ignores LD_PRELOAD. Whoever asked for a pool would look for it
 * in vain.
 */
#ifndef PQPOOL_TOOLS_COMMON_PRELOADABLE_H
#define PQPOOL_TOOLS_COMMON_PRELOADABLE_H

#include <stddef.h>

/*
 * 0 if `library` can be preloaded into the program file `path`, or if that cannot be
 * told (it does not exist, may not be read: then execve(2) says why, or runs it).
 * Otherwise `why` gets the reason, a line without its newline, and the exit status is
 * returned: 125 where the library would have no effect, 126 or 127 where the program
 * cannot be run.
 * A script is judged by its interpreter.
 */
int preloadable_check(const char *path, const char *library, char *why, size_t size);

#endif
