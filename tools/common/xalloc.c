/* SPDX-License-Identifier: PostgreSQL */
/* Memory for a tool that has nothing to lose: where there is none, it ends with one line. */
#include "common/xalloc.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/exit_status.h"

static void *sure(void *p)
{
	if (p == NULL) {
		errno = ENOMEM;
		err(STATUS_FAILED, NULL);
	}
	return p;
}

void *memory_new(size_t count, size_t size)
{
	return sure(calloc(count > 0 ? count : 1, size));
}

void *memory_resize(void *array, size_t count, size_t size)
{
	return sure(reallocarray(array, count > 0 ? count : 1, size));
}

char *memory_copy(const char *s, size_t n)
{
	char *copy = memory_new(n + 1, 1);

	memcpy(copy, s, n);
	return copy;
}

void memory_added(const void *table)
{
	if (table == NULL) {
		sure(NULL);
	}
}
