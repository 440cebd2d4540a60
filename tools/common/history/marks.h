/* SPDX-License-Identifier: PostgreSQL */
/* What a reader of the history is to be shown at its time: timeouts, misuse, restarts. */
#ifndef PQPOOL_TOOLS_COMMON_HISTORY_MARKS_H
#define PQPOOL_TOOLS_COMMON_HISTORY_MARKS_H

#include "common/history/history.h"
#include "common/log/log_line.h"

/* Notes the line if it is one to be marked. */
void marks_take(struct history *history, size_t pool, const char *event, uint64_t now_us,
                const struct log_line *line);

/*
 * A server restarted where all idle sessions of a pool, two at least, were found dead within
 * two seconds. When all is read.
 */
void marks_find_restarts(struct history *history);

/* The word of the kind, as in reports. */
const char *mark_name(enum history_mark_kind kind);

#endif
