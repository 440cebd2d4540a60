/* SPDX-License-Identifier: PostgreSQL */
/*
 * Printing names and texts from a server, for a terminal and a monitoring system.
 */
#ifndef PQPOOL_TOOLS_COMMON_TERMINAL_PRINT_H
#define PQPOOL_TOOLS_COMMON_TERMINAL_PRINT_H

#include <stdint.h>
#include <stdio.h>

/*
 * Prints `s` as printable() has it, and '|', which begins a plugin's figures for the
 * monitoring system, as \x7c.
 */
void shown_text(FILE *to, const char *s);

/* A span of time: "850 ms", "45 s", "6 min 3 s", "2 h 5 min", "3 d 4 h". */
void shown_span(FILE *to, int64_t ms);

#endif
