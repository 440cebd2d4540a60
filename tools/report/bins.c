/* SPDX-License-Identifier: PostgreSQL */
/* What a pool did over time, in bins of equal width. */
#include "report/bins.h"

#include <stdlib.h>

#include "common/xalloc.h"

/* More or less of something from a time on. */
struct step {
	uint64_t at_us;
	int64_t by;
};

struct steps {
	struct step *all;
	size_t count;
};

/* Less comes before more: a session that is given back at once is not in use twice. */
static int by_time(const void *left, const void *right)
{
	const struct step *a = left;
	const struct step *b = right;

	return a->at_us != b->at_us ? (a->at_us > b->at_us) - (a->at_us < b->at_us)
	                            : (a->by > b->by) - (a->by < b->by);
}

static void add_span(struct steps *steps, uint64_t begin_us, uint64_t end_us, int64_t level)
{
	end_us = end_us > begin_us ? end_us : begin_us + 1;
	steps->all[steps->count++] = (struct step){begin_us, level};
	steps->all[steps->count++] = (struct step){end_us, -level};
}

static void raise_to(uint64_t *most, int64_t level)
{
	if (level > 0 && (uint64_t)level > *most) {
		*most = (uint64_t)level;
	}
}

/* The level holds for [at, until): of the bins that this touches. Returns `until`. */
static uint64_t hold_level(const struct bins *bins, uint64_t at, uint64_t until, int64_t level,
                           uint64_t *most, uint64_t *area)
{
	while (at < until && level > 0) {
		size_t bin = at / bins->width_us;
		uint64_t end = (bin + 1) * bins->width_us;

		if (bin >= bins->count) {
			break;
		}
		end = end < until ? end : until;
		raise_to(&most[bin], level);
		if (area != NULL) {
			area[bin] += (uint64_t)level * (end - at);
		}
		at = end;
	}
	return until;
}

/* Goes through the steps; `area` gets level times microseconds, unless it is NULL. */
static void walk(const struct bins *bins, uint64_t from_us, struct steps *steps, uint64_t *most,
                 uint64_t *area)
{
	uint64_t at = 0;
	int64_t level = 0;

	qsort(steps->all, steps->count, sizeof(*steps->all), by_time);
	for (size_t i = 0; i < steps->count; i++) {
		uint64_t next = steps->all[i].at_us;

		next = next > from_us ? next - from_us : 0;
		at = next > at ? hold_level(bins, at, next, level, most, area) : at;
		level += steps->all[i].by;
	}
	steps->count = 0;
}

static void count_leases(struct bins *bins, const struct history *history, size_t pool,
                         struct steps *steps)
{
	uint64_t from_us = history->from_us;

	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];
		size_t bin = (lease->acquired_us - from_us) / bins->width_us;

		if (lease->pool != pool) {
			continue;
		}
		add_span(steps, lease->acquired_us, lease->acquired_us + lease->hold_us, 1);
		bins->acquired[bin < bins->count ? bin : 0] +=
			lease->wait_us != HISTORY_UNKNOWN;
	}
	walk(bins, from_us, steps, bins->in_use_max, bins->in_use_thousandths);
	for (size_t i = 0; i < bins->count; i++) {
		bins->in_use_thousandths[i] = (uint64_t)((double)bins->in_use_thousandths[i] *
		                                         1000.0 / (double)bins->width_us);
	}
}

static void count_waiting(struct bins *bins, const struct history *history, size_t pool,
                          struct steps *steps)
{
	for (size_t i = 0; i < history->lease_count; i++) {
		const struct history_lease *lease = &history->leases[i];

		if (lease->pool == pool && lease->queued_us > 0 &&
		    lease->wait_us != HISTORY_UNKNOWN && lease->wait_us <= lease->acquired_us) {
			uint64_t begin_us = lease->acquired_us - lease->wait_us;

			add_span(steps, begin_us, begin_us + lease->queued_us, 1);
		}
	}
	for (size_t i = 0; i < history->timeout_count; i++) {
		const struct history_timeout *timeout = &history->timeouts[i];
		size_t bin = (timeout->time_us - history->from_us) / bins->width_us;

		if (timeout->pool == pool && timeout->wait_us <= timeout->time_us) {
			add_span(steps, timeout->time_us - timeout->wait_us, timeout->time_us,
			         1);
		}
		bins->timeouts[bin] += timeout->pool == pool;
	}
	walk(bins, history->from_us, steps, bins->waiting_max, NULL);
}

static void count_open(struct bins *bins, const struct history *history, size_t pool,
                       struct steps *steps)
{
	for (size_t i = 0; i < history->session_count; i++) {
		const struct history_session *session = &history->sessions[i];
		const struct history_process *process = &history->processes[session->process];

		if (session->pool == pool) {
			add_span(steps,
			         session->opened_us != HISTORY_UNKNOWN ? session->opened_us
			                                               : process->first_us,
			         session->closed_us != HISTORY_UNKNOWN ? session->closed_us
			                                               : process->last_us,
			         1);
		}
	}
	walk(bins, history->from_us, steps, bins->open_max, NULL);
}

/* The next of 1, 2, 5, 10, 20, ... that is not less. */
static uint64_t round_up(uint64_t us)
{
	uint64_t unit = 1;

	while (unit < us / 10) {
		unit *= 10;
	}
	for (;; unit *= 10) {
		for (uint64_t times = 1; times <= 5; times += times < 2 ? 1 : 3) {
			if (times * unit >= us) {
				return times * unit;
			}
		}
	}
}

void bins_make(struct bins *bins, const struct history *history, size_t pool, size_t most)
{
	uint64_t span_us = history->to_us - history->from_us;
	size_t steps_most = history->lease_count + history->timeout_count;
	struct steps steps = {0};

	*bins = (struct bins){.width_us = round_up(span_us / most + 1)};
	bins->count = span_us / bins->width_us + 1;
	bins->in_use_max = xalloc_new(bins->count, sizeof(uint64_t));
	bins->waiting_max = xalloc_new(bins->count, sizeof(uint64_t));
	bins->open_max = xalloc_new(bins->count, sizeof(uint64_t));
	bins->in_use_thousandths = xalloc_new(bins->count, sizeof(uint64_t));
	bins->acquired = xalloc_new(bins->count, sizeof(uint64_t));
	bins->timeouts = xalloc_new(bins->count, sizeof(uint64_t));
	if (steps_most < history->session_count) {
		steps_most = history->session_count;
	}
	steps.all = xalloc_new(2 * steps_most, sizeof(*steps.all));
	count_leases(bins, history, pool, &steps);
	count_waiting(bins, history, pool, &steps);
	count_open(bins, history, pool, &steps);
	free(steps.all);
}

void bins_free(struct bins *bins)
{
	free(bins->in_use_max);
	free(bins->waiting_max);
	free(bins->open_max);
	free(bins->in_use_thousandths);
	free(bins->acquired);
	free(bins->timeouts);
}

uint64_t bins_most_at_once(const struct bins_span *spans, size_t count)
{
	struct steps steps = {.all = xalloc_new(2 * count, sizeof(*steps.all))};
	uint64_t most = 0;
	int64_t level = 0;

	for (size_t i = 0; i < count; i++) {
		add_span(&steps, spans[i].begin_us, spans[i].end_us, (int64_t)spans[i].level);
	}
	qsort(steps.all, steps.count, sizeof(*steps.all), by_time);
	for (size_t i = 0; i < steps.count; i++) {
		level += steps.all[i].by;
		raise_to(&most, level);
	}
	free(steps.all);
	return most;
}
