/* SPDX-License-Identifier: PostgreSQL */
/* What `pqpool keep show` says, taken apart. */
#ifndef PQPOOL_TOOLS_COMMON_KEEPER_SHOW_LINES_H
#define PQPOOL_TOOLS_COMMON_KEEPER_SHOW_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log/log_line.h"

struct show_lines {
	char *text; /* that the lines point into */
	struct log_line *all;
	size_t count;
};

/* Takes over `text`, the answer to show; NULL: no lines. */
void show_lines_parse(struct show_lines *lines, char *text);
void show_lines_free(struct show_lines *lines);

/* True if the line is of this kind. */
bool show_lines_is(const struct log_line *line, const char *kind);

/*
 * The sum of a number over all lines of the kind and pool of line `i`, which differ in what no
 * label tells; false: it has none, or an earlier line has the same kind and pool.
 */
bool show_lines_sum(const struct show_lines *lines, size_t i, const char *key, uint64_t *sum);

#endif
