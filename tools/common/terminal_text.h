/* SPDX-License-Identifier: PostgreSQL */
/*
 * Text from somewhere else, made fit for a terminal: what is no printable UTF-8 stands as
 * \n, \t or \xNN, so that it neither moves the cursor nor pretends to be another line.
 */
#ifndef PQPOOL_TOOLS_COMMON_TERMINAL_TEXT_H
#define PQPOOL_TOOLS_COMMON_TERMINAL_TEXT_H

#include <stddef.h>

/* A copy. Owner: the caller. */
char *printable(const char *s);

/*
 * The length of the UTF-8 character that `s` begins with; 0 if it is none. Only well-formed
 * ones of Unicode count. `*code` gets its number.
 */
size_t printable_utf8(const char *s, unsigned *code);

#endif
