/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells beforehand whether a shared library can be preloaded into a program.
 *
 * If not, nothing else says so: a statically linked program has no dynamic linker, and that
 * of a setuid program ignores LD_PRELOAD.
 */
#ifndef PQPOOL_TOOLS_COMMON_PRELOADABLE_H
#define PQPOOL_TOOLS_COMMON_PRELOADABLE_H

#include <stddef.h>

/*
 * 0 if `library` can be preloaded into the program file `path`, or if that is unknown (the
 * file does not exist or may not be read: then execve(2) says why, or runs it).
 * Otherwise `why` gets the reason, a line without its newline, and the exit status is
 * returned: 125 where the library would have no effect, 126 or 127 where the program
 * cannot be run.
 * A script is judged by its interpreter.
 */
int preloadable_check(const char *path, const char *library, char *why, size_t size);

#endif
