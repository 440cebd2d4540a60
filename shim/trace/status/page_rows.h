/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rows of the status page: which of them are taken, a bit each beside the page, and the
 * generation of one that is being written. Only status.c uses it.
 *
 * Locks: none; a bit is what hands a row from one owner to the next.
 */
#ifndef PQPOOL_TRACE_STATUS_PAGE_ROWS_H
#define PQPOOL_TRACE_STATUS_PAGE_ROWS_H

#include <stdatomic.h>
#include <stdint.h>

#define PAGE_ROWS_WORD_BITS 64

struct page_rows {
	uint32_t at; /* of the area in the page */
	uint32_t row_bytes;
	uint32_t max;
	_Atomic(uint32_t) count; /* that exist */
	_Atomic(uint32_t) hint;  /* where one may be free; page_rows.c's */
	atomic_uint_fast64_t *taken;
};

/* Takes one of the first `count` rows; its number from 1, 0 if all are taken. */
uint32_t page_rows_take(struct page_rows *rows, uint32_t count);

/* Gives one back. */
void page_rows_give(struct page_rows *rows, uint32_t row);

/* A reader is to see that the row changes before it does, and its end after it. */
static inline uint32_t page_rows_begin(uint32_t *generation)
{
	uint32_t odd = (__atomic_load_n(generation, __ATOMIC_RELAXED) + 1) | 1;

	__atomic_exchange_n(generation, odd, __ATOMIC_ACQ_REL);
	return odd;
}

static inline void page_rows_end(uint32_t *generation, uint32_t odd)
{
	__atomic_store_n(generation, odd + 1, __ATOMIC_RELEASE);
}

#endif
