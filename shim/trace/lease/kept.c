/* SPDX-License-Identifier: PostgreSQL */
/* Which of the leases that are open at the program's end are leaks, and which it keeps. */
#include "trace/lease/kept.h"

#include "base/text/sort.h"
#include "trace/stack/stack.h"

/* All unknown stacks are one place. */
static int by_holder(const void *left, const void *right)
{
	const struct lease *a = left;
	const struct lease *b = right;
	uint32_t place_a = stack_place(a->stack);
	uint32_t place_b = stack_place(b->stack);

	if (place_a != place_b) {
		return place_a < place_b ? -1 : 1;
	}
	if (a->tid != b->tid) {
		return a->tid < b->tid ? -1 : 1;
	}
	return (a->id > b->id) - (a->id < b->id);
}

static bool same_holder(const struct lease *a, const struct lease *b)
{
	return a->tid == b->tid && stack_place(a->stack) == stack_place(b->stack);
}

/* The leases that one thread took at one place, in the order of their numbers. */
static bool are_kept(const struct lease *leases, size_t count)
{
	uint64_t last = leases[count - 1].id;

	if (stack_gives_back(leases[0].stack)) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (leases[i].orphaned || (count > 1 && leases[i].used_at < last)) {
			return false;
		}
	}
	return true;
}

void kept_judge(struct lease *leases, size_t count)
{
	size_t end;

	sort_items(leases, count, sizeof(*leases), by_holder);
	for (size_t at = 0; at < count; at = end) {
		bool kept;

		end = at + 1;
		while (end < count && same_holder(&leases[at], &leases[end])) {
			end++;
		}
		kept = are_kept(&leases[at], end - at);
		for (size_t i = at; i < end; i++) {
			leases[i].kept = kept && !leases[i].pending;
		}
	}
}
