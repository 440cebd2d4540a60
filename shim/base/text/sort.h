/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sorts in place without memory, by a heap sort.
 *
 * qsort(3) allocates, and the leak report may be written from a signal handler that called
 * _exit in the middle of malloc.
 */
#ifndef PQPOOL_BASE_TEXT_SORT_H
#define PQPOOL_BASE_TEXT_SORT_H

#include <stddef.h>

/* Sorts `count` items of `size` bytes, at most SORT_ITEM_MAX, as qsort(3) would. */
#define SORT_ITEM_MAX 512
void sort_items(void *items, size_t count, size_t size,
                int (*compare)(const void *a, const void *b));

#endif
