/* SPDX-License-Identifier: PostgreSQL */
/* The pools of the report's document: what each did over time, and could do. */
#include "report/document_pools.h"

#include <stdlib.h>

#include "common/percentile.h"
#include "common/replay/what_if.h"
#include "common/xalloc.h"
#include "report/bins.h"

#define BINS_MOST       4000 /* of a pool */
#define BINS_OF_ALL     40000
#define BINS_LEAST      50
#define BUCKETS_LAST_US UINT64_C(100000000000)

static void put_known(struct json *json, const char *key, bool known, uint64_t value)
{
	if (known) {
		json_u64(json, key, value);
	} else {
		json_null(json, key);
	}
}

static void put_series(struct json *json, const char *key, const uint64_t *values, size_t count)
{
	json_open(json, key, '[');
	for (size_t i = 0; i < count; i++) {
		json_u64(json, NULL, values[i]);
	}
	json_close(json, ']');
}

static void put_bins(struct json *json, const struct history *history, size_t pool)
{
	size_t most = BINS_OF_ALL / history->pool_count;
	struct bins bins;

	most = most > BINS_MOST ? BINS_MOST : most < BINS_LEAST ? BINS_LEAST : most;
	bins_make(&bins, history, pool, most);
	json_open(json, "bins", '{');
	json_u64(json, "width_us", bins.width_us);
	json_u64(json, "count", bins.count);
	put_series(json, "in_use_max", bins.in_use_max, bins.count);
	json_open(json, "in_use_avg", '[');
	for (size_t i = 0; i < bins.count; i++) {
		json_thousandths(json, NULL, bins.in_use_thousandths[i]);
	}
	json_close(json, ']');
	put_series(json, "waiting_max", bins.waiting_max, bins.count);
	put_series(json, "open_max", bins.open_max, bins.count);
	put_series(json, "acquired", bins.acquired, bins.count);
	put_series(json, "timeouts", bins.timeouts, bins.count);
	json_close(json, '}');
	bins_free(&bins);
}

static void put_bucket(struct json *json, bool bounded, uint64_t upper, size_t count)
{
	json_open(json, NULL, '[');
	put_known(json, NULL, bounded, upper);
	json_u64(json, NULL, count);
	json_close(json, ']');
}

/* From the first bucket with something in it to the last, and one for what is beyond. */
static void put_buckets(struct json *json, const uint64_t *sorted, size_t count)
{
	static const uint64_t steps[] = {1, 2, 5};
	uint64_t upper = 0;
	size_t at = 0;

	json_open(json, "buckets", '[');
	for (uint64_t unit = 1; at < count && upper < BUCKETS_LAST_US; unit *= 10) {
		for (size_t i = 0; i < 3 && at < count; i++) {
			size_t begin = at;

			upper = steps[i] * unit;
			while (at < count && sorted[at] <= upper) {
				at++;
			}
			if (at > 0) {
				put_bucket(json, true, upper, at - begin);
			}
		}
	}
	put_bucket(json, false, 0, count - at);
	json_close(json, ']');
}

static void put_distribution(struct json *json, const char *key, uint64_t *values, size_t count)
{
	percentile_sort(values, count);
	json_open(json, key, '{');
	json_u64(json, "count", count);
	put_known(json, "p50_us", count > 0, percentile_of(values, count, 50));
	put_known(json, "p90_us", count > 0, percentile_of(values, count, 90));
	put_known(json, "p99_us", count > 0, percentile_of(values, count, 99));
	put_known(json, "max_us", count > 0, percentile_of(values, count, 100));
	put_buckets(json, values, count);
	json_close(json, '}');
}

/* Holds of leases that have ended, waits of those whose beginning the log has. */
static void put_distributions(struct json *json, const struct history *history, size_t pool)
{
	uint64_t *values = xalloc_new(history->lease_count, sizeof(*values));
	size_t count = 0;

	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];

		if (lease->pool == pool && lease->end != HISTORY_OPEN) {
			values[count++] = lease->hold_us;
		}
	}
	put_distribution(json, "hold", values, count);
	count = 0;
	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];

		if (lease->pool == pool && lease->wait_us != HISTORY_UNKNOWN) {
			values[count++] = lease->wait_us;
		}
	}
	put_distribution(json, "wait", values, count);
	free(values);
}

static void put_what_if(struct json *json, struct pool_trace *trace)
{
	struct what_if rows[WHAT_IF_ROWS];

	json_open(json, "what_if", '[');
	if (trace->count > 0) {
		what_if_around(trace, rows);
	}
	for (size_t i = 0; i < WHAT_IF_ROWS && trace->count > 0; i++) {
		json_open(json, NULL, '{');
		json_u64(json, "limit", rows[i].limit);
		json_u64(json, "size", rows[i].size);
		json_u64(json, "overflow", rows[i].overflow);
		json_u64(json, "peak", rows[i].peak);
		json_u64(json, "waited", rows[i].waited);
		json_u64(json, "wait_p50_us", rows[i].p50_us);
		json_u64(json, "wait_p99_us", rows[i].p99_us);
		json_u64(json, "wait_max_us", rows[i].max_us);
		json_u64(json, "timeouts", rows[i].timeouts);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* What processes with a pool each might have had in use at one time, all together. */
static void put_limits(struct json *json, const struct history *history,
                       const struct pool_trace *trace)
{
	uint64_t each = settings_limit(&trace->present);
	struct bins_span *limits = xalloc_new(trace->group_count, sizeof(*limits));
	struct bins_span *heads = xalloc_new(trace->group_count, sizeof(*heads));

	for (size_t i = 0; i < trace->group_count; i++) {
		const struct history_process *process =
			&history->processes[trace->groups[i].process];
		uint64_t own = settings_limit(&process->settings);

		heads[i] = (struct bins_span){process->first_us, process->last_us, 1};
		limits[i] = heads[i];
		limits[i].level = own > 0 ? own : each;
	}
	put_known(json, "limit", each > 0, bins_most_at_once(limits, trace->group_count));
	put_known(json, "size", trace->present.known && trace->present.size > 0,
	          trace->present.size);
	put_known(json, "limit_each", each > 0, each);
	json_u64(json, "processes", trace->group_count);
	json_u64(json, "processes_at_once", bins_most_at_once(heads, trace->group_count));
	free(limits);
	free(heads);
}

static void put_counts(struct json *json, const struct history *history, size_t pool)
{
	uint64_t timeouts = 0;
	uint64_t leaks = 0;

	for (size_t i = 0; i < history->timeout_count; i++) {
		timeouts += history->timeouts[i].pool == pool;
	}
	for (size_t i = 0; i < history->lease_count; i++) {
		leaks +=
			history->leases[i].pool == pool && history_is_leak(&history->leases[i]);
	}
	json_u64(json, "acquired", history->pools[pool]->acquired);
	json_u64(json, "waits", history->pools[pool]->waits);
	json_u64(json, "timeouts", timeouts);
	json_u64(json, "leaks", leaks);
}

void document_pools(struct json *json, const struct history *history)
{
	json_open(json, "pools", '[');
	for (size_t pool = 0; pool < history->pool_count; pool++) {
		struct pool_trace trace;

		json_open(json, NULL, '{');
		json_str(json, "name", history->pools[pool]->name);
		json_bool(json, "pooled", history->pools[pool]->pooled);
		pool_trace_make(&trace, history, pool);
		put_limits(json, history, &trace);
		put_counts(json, history, pool);
		put_bins(json, history, pool);
		put_distributions(json, history, pool);
		if (!history->pools[pool]->pooled) {
			trace.count = 0;
		}
		put_what_if(json, &trace);
		pool_trace_free(&trace);
		json_close(json, '}');
	}
	json_close(json, ']');
}
