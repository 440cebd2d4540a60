/* SPDX-License-Identifier: PostgreSQL */
/* Prints what a replay tells of one pool. */
#ifndef PQPOOL_TOOLS_REPLAY_REPLAY_TABLE_H
#define PQPOOL_TOOLS_REPLAY_REPLAY_TABLE_H

#include "common/replay/what_if.h"

/* Whose pool it is, how many connects were recorded, and with which settings. */
void replay_table_head(const struct history *history, size_t pool,
                       const struct pool_trace *trace);

/* A line for each setting, the one with the recorded limit marked, and who had most sessions in
 * use. */
void replay_table_rows(const struct history *history, const struct pool_trace *trace,
                       const struct what_if *rows, size_t count, uint64_t recorded);

/* The smallest limit, with which no more than `wait_us` is waited. */
void replay_table_smallest(const struct pool_trace *trace, uint64_t limit, uint64_t wait_us);

/* What a replay cannot know. */
void replay_table_caveat(void);

#endif
