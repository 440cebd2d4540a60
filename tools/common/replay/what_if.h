/* SPDX-License-Identifier: PostgreSQL */
/* How a pool would have gone with other settings, and which of them would do. */
#ifndef PQPOOL_TOOLS_COMMON_REPLAY_WHAT_IF_H
#define PQPOOL_TOOLS_COMMON_REPLAY_WHAT_IF_H

#include "common/replay/pool_trace.h"

#define WHAT_IF_ROWS 6

/* Of all processes together; the wait is the time in line, 0 where there was none. */
struct what_if {
	uint64_t limit; /* 0 = none */
	uint64_t size;  /* 0 = no limit */
	uint64_t overflow;
	uint64_t peak; /* of the process that had most in use at once */
	size_t worst;  /* that process, a number of the history's */
	uint64_t waited;
	uint64_t p50_us;
	uint64_t p99_us;
	uint64_t max_us;
	uint64_t timeouts;
};

/* Runs the trace with these settings. */
void what_if_run(struct pool_trace *trace, const struct history_settings *settings,
                 struct what_if *row);

/* The settings for so many sessions in all, divided as the present ones are. */
struct history_settings what_if_settings(const struct pool_trace *trace, uint64_t limit);

/*
 * Runs the trace with six limits, the smallest first: the present one, and those around it
 * where waiting begins and ends.
 */
void what_if_around(struct pool_trace *trace, struct what_if rows[WHAT_IF_ROWS]);

/*
 * The smallest limit with which 99 of 100 connects stand in line for at most `wait_us`, and
 * none times out.
 */
uint64_t what_if_smallest(struct pool_trace *trace, uint64_t wait_us);

/* What a connect may wait if nobody says: as long as opening a session takes. */
uint64_t what_if_wait(const struct pool_trace *trace);

#endif
