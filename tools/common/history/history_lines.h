/* SPDX-License-Identifier: PostgreSQL */
/* From the log's lines to the history. */
#ifndef PQPOOL_TOOLS_COMMON_HISTORY_HISTORY_LINES_H
#define PQPOOL_TOOLS_COMMON_HISTORY_HISTORY_LINES_H

#include "common/history/history.h"
#include "common/log/log_line.h"

/* Takes over what a line of the log `family` says. False: it is no line of ours. */
bool history_lines_take(struct history *history, unsigned family, const struct log_line *line);

/* The record of a lease that is held; NULL: no line told of it. */
struct history_lease *history_lines_find(struct history *history, size_t process,
                                         uint64_t lease);

/* After the last line: what is held has its end, and restarts are marked. */
void history_settle(struct history *history);

/* Frees what only further lines would need. */
void history_lines_end(struct history *history);

#endif
