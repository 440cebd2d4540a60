/* SPDX-License-Identifier: PostgreSQL */
/*
 * Untrusted text, made safe for a terminal: what is no printable UTF-8 is written as \n, \t or
 * \xNN, so that it neither moves the cursor nor looks like another line.
 */
#ifndef PQPOOL_TOOLS_COMMON_TERMINAL_TEXT_H
#define PQPOOL_TOOLS_COMMON_TERMINAL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A copy. Owner: the caller. */
char *terminal_text(const char *s);

/* Prints it; '|', which begins a monitoring plugin's figures, is printed as \x7c. */
void terminal_text_put(FILE *to, const char *s);

/* Prints a span of time: "850 ms", "45 s", "6 min 3 s", "2 h 5 min", "3 d 4 h". */
void terminal_text_put_span(FILE *to, int64_t ms);

/*
 * The length of the UTF-8 character that `s` begins with; 0 if it is none. Only well-formed
 * ones of Unicode count. `*code` gets its number.
 */
size_t terminal_text_utf8(const char *s, unsigned *code);

#endif
