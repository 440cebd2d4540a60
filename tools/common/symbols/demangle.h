/* SPDX-License-Identifier: PostgreSQL */
/*
 * C++ names as a person reads them, by the C++ library, if there is one: `_Z4openPKc` becomes
 * `open(char const*)`.
 *
 * The report that a program itself prints at its end shows them as they are: there the C++
 * library would be the program's, and would allocate.
 */
#ifndef PQPOOL_TOOLS_COMMON_SYMBOLS_DEMANGLE_H
#define PQPOOL_TOOLS_COMMON_SYMBOLS_DEMANGLE_H

/*
 * The name, or a copy of `name` if it is none of C++, very long, or there is no C++ library.
 * Owner: the caller. Not for names that another user wrote: the library reads them.
 */
char *demangle(const char *name);

#endif
