/* SPDX-License-Identifier: PostgreSQL */
/* Memory allocation that does not fail: if there is none, the tool ends with one line. */
#include "common/xalloc.h"

#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/exit_status.h"

static void *sure(void *p)
{
	if (p == NULL) {
		errno = ENOMEM;
		err(EXIT_FAILED, NULL);
	}
	return p;
}

void *xalloc_new(size_t count, size_t size)
{
	return sure(calloc(count > 0 ? count : 1, size));
}

void *xalloc_resize(void *array, size_t count, size_t size)
{
	return sure(reallocarray(array, count > 0 ? count : 1, size));
}

void *xalloc_grow(void *array, size_t count, size_t size)
{
	bool full = (count & (count - 1)) == 0;

	return full ? xalloc_resize(array, count > 0 ? 2 * count : 1, size) : array;
}

char *xalloc_copy(const char *s, size_t n)
{
	char *copy = xalloc_new(n + 1, 1);

	memcpy(copy, s, n);
	return copy;
}

void xalloc_added(const void *table)
{
	if (table == NULL) {
		sure(NULL);
	}
}
