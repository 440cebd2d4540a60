/* SPDX-License-Identifier: PostgreSQL */
/* Sorts in place without memory. */
#include "base/text/sort.h"

#include <string.h>

struct heap {
	char *items;
	size_t size;
	int (*compare)(const void *a, const void *b);
};

static void swap(const struct heap *h, size_t a, size_t b)
{
	char spare[SORT_ITEM_MAX];

	memcpy(spare, h->items + a * h->size, h->size);
	memcpy(h->items + a * h->size, h->items + b * h->size, h->size);
	memcpy(h->items + b * h->size, spare, h->size);
}

static int order(const struct heap *h, size_t a, size_t b)
{
	return h->compare(h->items + a * h->size, h->items + b * h->size);
}

/* Lets the item at `at` sink until no child is greater. */
static void sink(const struct heap *h, size_t at, size_t count)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= count) {
			return;
		}
		if (child + 1 < count && order(h, child, child + 1) < 0) {
			child++;
		}
		if (order(h, at, child) >= 0) {
			return;
		}
		swap(h, at, child);
		at = child;
	}
}

void sort_items(void *items, size_t count, size_t size,
                int (*compare)(const void *a, const void *b))
{
	struct heap h = {.items = items, .size = size, .compare = compare};

	for (size_t i = count / 2; i-- > 0;) {
		sink(&h, i, count);
	}
	for (size_t end = count; end-- > 1;) {
		swap(&h, 0, end);
		sink(&h, 0, end);
	}
}
