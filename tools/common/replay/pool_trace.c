/* SPDX-License-Identifier: PostgreSQL */
/* The connects of one pool, out of the history, made ready to be run again. */
#include "common/replay/pool_trace.h"

#include <stdlib.h>

#include "common/percentile.h"
#include "common/xalloc.h"

/* PQPOOL_TIMEOUT where it is not known. */
#define TIMEOUT_US 30000000

/* A connect, and whose it is. */
struct owned {
	struct sim_connect connect;
	size_t process; /* 0: shared */
	size_t first;   /* the process itself */
};

uint64_t settings_limit(const struct history_settings *settings)
{
	bool limited = settings->known && settings->size > 0 && settings->max_overflow >= 0;

	return limited ? settings->size + (uint64_t)settings->max_overflow : 0;
}

static int by_group_and_time(const void *left, const void *right)
{
	const struct owned *a = left;
	const struct owned *b = right;

	if (a->process != b->process) {
		return (a->process > b->process) - (a->process < b->process);
	}
	return (a->connect.comes_us > b->connect.comes_us) -
	       (a->connect.comes_us < b->connect.comes_us);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static struct owned owned_by(const struct history *history, size_t process)
{
	bool shared = history->processes[process].settings.shared;

	return (struct owned){.process = shared ? 0 : process, .first = process};
}

static struct owned of_lease(const struct history *history, const struct history_lease *lease)
{
	struct owned owned = owned_by(history, lease->process);
	uint64_t wait_us = lease->wait_us != HISTORY_UNKNOWN ? lease->wait_us : 0;
	uint64_t end_us = history->processes[lease->process].last_us;

	owned.connect = (struct sim_connect){
		.comes_us = less(lease->acquired_us, wait_us),
		.setup_us = less(wait_us, lease->queued_us),
		.hold_us = lease->end == HISTORY_RELEASED || lease->end == HISTORY_GIVEN_AWAY
	                           ? lease->hold_us
	                           : less(end_us, lease->acquired_us),
		.opened = lease->opened,
		.drops = lease->dropped};
	return owned;
}

/* Of what the leases took, where the flag is as wanted. */
static uint64_t median_setup(const struct owned *all, size_t count, bool opened, uint64_t *room)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (all[i].connect.opened == opened) {
			room[n++] = all[i].connect.setup_us;
		}
	}
	percentile_sort(room, n);
	return percentile_of(room, n, 50);
}

static uint64_t median_hold(const struct owned *all, size_t count, uint64_t *room)
{
	for (size_t i = 0; i < count; i++) {
		room[i] = all[i].connect.hold_us;
	}
	percentile_sort(room, count);
	return percentile_of(room, count, 50);
}

static size_t collect(struct pool_trace *trace, const struct history *history, size_t pool,
                      struct owned *all)
{
	size_t count = 0;
	size_t leases;
	uint64_t hold_us;

	for (size_t i = 0; i < history->lease_count; i++) {
		if (history->leases[i].pool == pool) {
			all[count++] = of_lease(history, &history->leases[i]);
		}
	}
	leases = count;
	trace->open_us = median_setup(all, leases, true, trace->waits);
	trace->check_us = median_setup(all, leases, false, trace->waits);
	hold_us = median_hold(all, leases, trace->waits);
	for (size_t i = 0; i < history->timeout_count; i++) {
		const struct history_timeout *timeout = &history->timeouts[i];

		if (timeout->pool == pool) {
			all[count] = owned_by(history, timeout->process);
			all[count++].connect = (struct sim_connect){
				.comes_us = less(timeout->time_us, timeout->wait_us),
				.setup_us = trace->check_us,
				.hold_us = hold_us};
		}
	}
	return count;
}

static void find_groups(struct pool_trace *trace, const struct owned *all)
{
	for (size_t i = 0; i < trace->count; i++) {
		trace->connects[i] = all[i].connect;
		if (i == 0 || all[i].process != all[i - 1].process) {
			trace->groups = xalloc_grow(trace->groups, trace->group_count,
			                            sizeof(*trace->groups));
			trace->groups[trace->group_count++] =
				(struct trace_group){.process = all[i].first,
			                             .begin = i,
			                             .shared = all[i].process == 0};
		}
		trace->groups[trace->group_count - 1].count++;
	}
}

static void find_present(struct pool_trace *trace, const struct history *history, size_t pool)
{
	uint64_t limit_seen = history->pools[pool]->limit_seen;

	for (size_t i = 0; i < trace->group_count; i++) {
		const struct history_settings *settings =
			&history->processes[trace->groups[i].process].settings;
		bool more = settings_limit(settings) > settings_limit(&trace->present);

		/* How many the keeper has is in its own log. */
		if (settings->known && !settings->shared && (!trace->present.known || more)) {
			trace->present = *settings;
		}
	}
	if (!trace->present.known) {
		trace->present = (struct history_settings){
			.known = limit_seen > 0, .size = limit_seen, .timeout_us = TIMEOUT_US};
	}
}

void pool_trace_make(struct pool_trace *trace, const struct history *history, size_t pool)
{
	size_t most = history->lease_count + history->timeout_count;
	struct owned *all;

	*trace = (struct pool_trace){0};
	trace->waits = xalloc_new(most, sizeof(*trace->waits));
	all = xalloc_new(most, sizeof(*all));
	trace->count = collect(trace, history, pool, all);
	qsort(all, trace->count, sizeof(*all), by_group_and_time);
	trace->connects = xalloc_new(trace->count, sizeof(*trace->connects));
	find_groups(trace, all);
	find_present(trace, history, pool);
	free(all);
}

void pool_trace_free(struct pool_trace *trace)
{
	free(trace->connects);
	free(trace->groups);
	free(trace->waits);
}
