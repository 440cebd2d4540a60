/* SPDX-License-Identifier: PostgreSQL */
/* Which rows of an area of the status page are taken. */
#include "trace/status/page_rows.h"

static uint32_t take_from(struct page_rows *rows, uint32_t from, uint32_t count)
{
	for (uint32_t word = from / PAGE_ROWS_WORD_BITS; word * PAGE_ROWS_WORD_BITS < count;
	     word++) {
		uint64_t taken = atomic_load_explicit(&rows->taken[word], memory_order_relaxed);

		while (taken != UINT64_MAX) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~taken);
			uint64_t mask = UINT64_C(1) << bit;

			if (word * PAGE_ROWS_WORD_BITS + bit >= count) {
				return 0;
			}
			taken = atomic_fetch_or_explicit(&rows->taken[word], mask,
			                                 memory_order_acquire);
			if ((taken & mask) == 0) {
				return word * PAGE_ROWS_WORD_BITS + bit + 1;
			}
		}
	}
	return 0;
}

uint32_t page_rows_take(struct page_rows *rows, uint32_t count)
{
	uint32_t hint = atomic_load_explicit(&rows->hint, memory_order_relaxed);
	uint32_t row = take_from(rows, hint < count ? hint : 0, count);

	if (row == 0 && hint > 0) {
		row = take_from(rows, 0, count);
	}
	if (row != 0) {
		atomic_store_explicit(&rows->hint, row, memory_order_relaxed);
	}
	return row;
}

void page_rows_give(struct page_rows *rows, uint32_t row)
{
	uint64_t mask = UINT64_C(1) << ((row - 1) % PAGE_ROWS_WORD_BITS);

	atomic_store_explicit(&rows->hint, row - 1, memory_order_relaxed);
	atomic_fetch_and_explicit(&rows->taken[(row - 1) / PAGE_ROWS_WORD_BITS], ~mask,
	                          memory_order_release);
}
