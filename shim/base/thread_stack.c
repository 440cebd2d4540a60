/* SPDX-License-Identifier: PostgreSQL */
/* The stack that the C library gave the calling thread. */
#include "base/thread_stack.h"

#include <pthread.h>
#include <string.h>

#include "base/dl.h"
#include "base/thread_block.h"

struct extent {
	uintptr_t low;
	uintptr_t high; /* 0: not asked yet */
};

_Static_assert(sizeof(struct extent) <= sizeof(((struct thread_block *)0)->stack),
               "where the stack lies fits into its part");

static void ask(struct extent *extent)
{
	pthread_attr_t attr;
	void *base = NULL;
	size_t size = 0;

	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstack(&attr, &base, &size);
		pthread_attr_destroy(&attr);
	}
	extent->low = (uintptr_t)base;
	extent->high = extent->low + size;
}

void thread_stack(uintptr_t *low, uintptr_t *high)
{
	struct extent *known = THREAD_PART(struct extent, stack);
	struct extent asked = {0};

	if (known == NULL) {
		known = &asked;
	}
	if (known->high == 0) {
		ask(known);
	}
	*low = known->low;
	*high = known->high;
}

static int find_copier(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool *found = arg;

	(void)size;
	*found = info->dlpi_name != NULL && strstr(info->dlpi_name, "/_greenlet") != NULL;
	return *found;
}

bool thread_stack_is_copied(void)
{
	bool found = false;

	dl_iterate(find_copier, &found);
	return found;
}
