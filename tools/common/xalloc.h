/* SPDX-License-Identifier: PostgreSQL */
/* Memory allocation that does not fail: if there is none, the tool ends with one line. */
#ifndef PQPOOL_TOOLS_COMMON_XALLOC_H
#define PQPOOL_TOOLS_COMMON_XALLOC_H

#include <stddef.h>

/* `count` zeroed items of `size` bytes. Owner: the caller, as of all below. */
void *xalloc_new(size_t count, size_t size);

/* `array` with room for `count` items of `size` bytes; what is new in it is not zeroed. */
void *xalloc_resize(void *array, size_t count, size_t size);

/*
 * `array`, which has `count` items of `size` bytes and came from here only, with room for one
 * more, which is not zeroed. In all as many steps as the items have binary digits.
 */
void *xalloc_grow(void *array, size_t count, size_t size);

/* A copy of the `n` bytes at `s`, with a NUL behind them. */
char *xalloc_copy(const char *s, size_t n);

/* The element of a hash table that has just been added: `table` is its hh.tbl. */
void xalloc_added(const void *table);

#endif
