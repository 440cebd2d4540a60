/* SPDX-License-Identifier: PostgreSQL */
/* What a pool did over time, in bins of equal width. */
#ifndef PQPOOL_TOOLS_REPORT_BINS_H
#define PQPOOL_TOOLS_REPORT_BINS_H

#include "common/history/history.h"

struct bins {
	uint64_t width_us;
	size_t count;
	/* Of `count` each. The first four: the most at any time of the bin, and the average. */
	uint64_t *in_use_max;
	uint64_t *waiting_max;
	uint64_t *open_max;
	uint64_t *in_use_thousandths;
	uint64_t *acquired;
	uint64_t *timeouts;
};

/* At most `most` bins from the history's first event on. Owner: the caller (bins_free). */
void bins_make(struct bins *bins, const struct history *history, size_t pool, size_t most);
void bins_free(struct bins *bins);

/* The most that `count` levels, which begin and end at these times, add up to at any time. */
struct bins_span {
	uint64_t begin_us;
	uint64_t end_us;
	uint64_t level;
};
uint64_t bins_most_at_once(const struct bins_span *spans, size_t count);

#endif
