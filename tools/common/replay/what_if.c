/* SPDX-License-Identifier: PostgreSQL */
/* How a pool would have gone with other settings, and which of them would do. */
#include "common/replay/what_if.h"

#include "common/percentile.h"

/* Where no session was opened while the log was written. */
#define OPEN_USUALLY_US 10000

uint64_t what_if_wait(const struct pool_trace *trace)
{
	return trace->open_us > 0 ? trace->open_us : OPEN_USUALLY_US;
}

void what_if_run(struct pool_trace *trace, const struct history_settings *settings,
                 struct what_if *row)
{
	struct sim_settings sim = {.size = settings->size,
	                           .limit = settings_limit(settings),
	                           .timeout_us = settings->timeout_us,
	                           .open_us = trace->open_us,
	                           .check_us = trace->check_us};
	size_t served = 0;

	*row = (struct what_if){
		.limit = sim.limit,
		.size = settings->size,
		.overflow = settings->max_overflow > 0 ? (uint64_t)settings->max_overflow : 0};
	for (size_t i = 0; i < trace->group_count; i++) {
		const struct trace_group *group = &trace->groups[i];
		struct sim_result result;

		simulation_run(&trace->connects[group->begin], group->count, &sim, &result,
		               &trace->waits[served]);
		served += result.served;
		row->waited += result.waited;
		row->timeouts += result.timeouts;
		if (i == 0 || result.peak > row->peak) {
			row->peak = result.peak;
			row->worst = group->process;
		}
	}
	percentile_sort(trace->waits, served);
	row->p50_us = percentile_of(trace->waits, served, 50);
	row->p99_us = percentile_of(trace->waits, served, 99);
	row->max_us = percentile_of(trace->waits, served, 100);
}

struct history_settings what_if_settings(const struct pool_trace *trace, uint64_t limit)
{
	uint64_t present = settings_limit(&trace->present);
	struct history_settings settings = {
		.known = true, .size = limit, .timeout_us = trace->present.timeout_us};

	if (present > 0) {
		settings.size = (limit * trace->present.size + present / 2) / present;
		settings.size = settings.size > 0 ? settings.size : 1;
	}
	settings.max_overflow = (int64_t)(limit - settings.size);
	return settings;
}

/* The most that are in use at once if nobody has to wait. */
static uint64_t demand(struct pool_trace *trace)
{
	struct history_settings none = {.known = true, .max_overflow = -1};
	struct what_if row;

	what_if_run(trace, &none, &row);
	return row.peak > 0 ? row.peak : 1;
}

/* Adds `limit` to the ascending ones, unless it is there. */
static void add_limit(uint64_t *limits, size_t *count, uint64_t limit)
{
	size_t at = *count;

	if (limit == 0 || at == WHAT_IF_ROWS) {
		return;
	}
	for (size_t i = 0; i < *count; i++) {
		if (limits[i] == limit) {
			return;
		}
	}
	for (; at > 0 && limits[at - 1] > limit; at--) {
		limits[at] = limits[at - 1];
	}
	limits[at] = limit;
	(*count)++;
}

void what_if_around(struct pool_trace *trace, struct what_if rows[WHAT_IF_ROWS])
{
	uint64_t present = settings_limit(&trace->present);
	uint64_t most = demand(trace);
	uint64_t middle = present > 0 && present < most ? present : most;
	uint64_t limits[WHAT_IF_ROWS];
	size_t count = 0;

	add_limit(limits, &count, present);
	add_limit(limits, &count, most);
	add_limit(limits, &count, (middle + 1) / 2);
	add_limit(limits, &count, (middle + most) / 2);
	add_limit(limits, &count, (3 * middle + 3) / 4);
	add_limit(limits, &count, (middle + 3) / 4);
	for (uint64_t limit = 1; count < WHAT_IF_ROWS; limit++) {
		add_limit(limits, &count, limit);
	}
	for (size_t i = 0; i < WHAT_IF_ROWS; i++) {
		struct history_settings settings = limits[i] == present
		                                           ? trace->present
		                                           : what_if_settings(trace, limits[i]);

		what_if_run(trace, &settings, &rows[i]);
	}
}

uint64_t what_if_smallest(struct pool_trace *trace, uint64_t wait_us)
{
	uint64_t enough = demand(trace);
	uint64_t short_of = 0;

	while (enough - short_of > 1) {
		uint64_t middle = short_of + (enough - short_of) / 2;
		struct history_settings settings = what_if_settings(trace, middle);
		struct what_if row;

		what_if_run(trace, &settings, &row);
		if (row.p99_us <= wait_us && row.timeouts == 0) {
			enough = middle;
		} else {
			short_of = middle;
		}
	}
	return enough;
}
