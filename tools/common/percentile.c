/* SPDX-License-Identifier: PostgreSQL */
/* The value that so many of a hundred do not exceed. */
#include "common/percentile.h"

#include <stdlib.h>

static int ascending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

void percentile_sort(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), ascending);
}

uint64_t percentile_of(const uint64_t *sorted, size_t count, unsigned percent)
{
	size_t rank = (count * percent + 99) / 100;

	return count > 0 ? sorted[rank > 0 ? rank - 1 : 0] : 0;
}
