/* SPDX-License-Identifier: PostgreSQL */
/* Buffers of 16 kB off the caller's stack. */
#include "base/scratch.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/cold.h"

#define ROOMS      4 /* of a group: a thread has three at a time, at most */
#define PAGE_BYTES 4096

typedef unsigned char scratch_room[SCRATCH_BYTES];

struct group {
	_Atomic(struct group *) next;
	atomic_bool taken[ROOMS];
	scratch_room *rooms; /* rooms_of() tells */
};

/* Those of the first group begin with a page, so that all of it can be given back. */
static unsigned char first_bytes[sizeof(scratch_room[ROOMS]) + PAGE_BYTES] SPARSE;
static struct group first;

static scratch_room *rooms_of(const struct group *group)
{
	uintptr_t aligned = ((uintptr_t)first_bytes + PAGE_BYTES - 1) & -(uintptr_t)PAGE_BYTES;

	return group == &first ? (scratch_room *)aligned : group->rooms;
}

static COLD struct group *add_behind(struct group *last)
{
	scratch_room *rooms = mmap(NULL, sizeof(scratch_room[ROOMS]) + sizeof(struct group),
	                           PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct group *none = NULL;
	struct group *group;

	if (rooms == MAP_FAILED) {
		return NULL;
	}
	group = (struct group *)(void *)(rooms + ROOMS);
	group->rooms = rooms;
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
				return rooms_of(group)[i];
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
		if (at >= rooms_of(group)[0] &&
		    at < rooms_of(group)[0] + sizeof(scratch_room[ROOMS])) {
			atomic_store_explicit(
				&group->taken[(at - rooms_of(group)[0]) / SCRATCH_BYTES], false,
				memory_order_release);
			return;
		}
	}
}

void scratch_rest(void)
{
	int saved_errno = errno;
	unsigned taken = 0;

	while (taken < ROOMS &&
	       !atomic_exchange_explicit(&first.taken[taken], true, memory_order_acquire)) {
		taken++;
	}
	if (taken == ROOMS) {
		madvise(rooms_of(&first), sizeof(scratch_room[ROOMS]), MADV_DONTNEED);
	}
	while (taken > 0) {
		atomic_store_explicit(&first.taken[--taken], false, memory_order_release);
	}
	errno = saved_errno;
}
