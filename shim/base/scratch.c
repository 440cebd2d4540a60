/* SPDX-License-Identifier: PostgreSQL */
/* Buffers of 16 kB off the caller's stack. */
#include "base/scratch.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/cold.h"

#define ROOMS 4 /* of a group: a thread has three at a time, at most */

struct group {
	_Atomic(struct group *) next;
	atomic_bool taken[ROOMS];
	alignas(64) unsigned char rooms[ROOMS][SCRATCH_BYTES];
};

static struct group first;

static COLD struct group *add_behind(struct group *last)
{
	struct group *group = mmap(NULL, sizeof(*group), PROT_READ | PROT_WRITE,
	                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct group *none = NULL;

	if (group == MAP_FAILED) {
		return NULL;
	}
	while (!atomic_compare_exchange_strong(&last->next, &none, group)) {
		last = none;
		none = NULL;
	}
	return group;
}

void *scratch_take(void)
{
	int saved_errno = errno;
	struct group *group = &first;

	while (group != NULL) {
		struct group *next;

		for (unsigned i = 0; i < ROOMS; i++) {
			if (!atomic_load_explicit(&group->taken[i], memory_order_relaxed) &&
			    !atomic_exchange_explicit(&group->taken[i], true,
			                              memory_order_acquire)) {
				return group->rooms[i];
			}
		}
		next = atomic_load(&group->next);
		group = next != NULL ? next : add_behind(group);
	}
	errno = saved_errno;
	return NULL;
}

void scratch_give(void *room)
{
	unsigned char *at = room;

	for (struct group *group = &first; group != NULL; group = atomic_load(&group->next)) {
		if (at >= group->rooms[0] && at < group->rooms[0] + sizeof(group->rooms)) {
			atomic_store_explicit(
				&group->taken[(at - group->rooms[0]) / SCRATCH_BYTES], false,
				memory_order_release);
			return;
		}
	}
}
