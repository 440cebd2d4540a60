/* SPDX-License-Identifier: PostgreSQL */
/* The value that so many of a hundred do not exceed. */
#ifndef PQPOOL_TOOLS_COMMON_PERCENTILE_H
#define PQPOOL_TOOLS_COMMON_PERCENTILE_H

#include <stddef.h>
#include <stdint.h>

/* Sorts the values, the smallest first. */
void percentile_sort(uint64_t *values, size_t count);

/*
 * The smallest of the sorted values that at least `percent` of 100 of them do not exceed
 * (nearest rank); 0 if there are none.
 */
uint64_t percentile_of(const uint64_t *sorted, size_t count, unsigned percent);

#endif
