/* SPDX-License-Identifier: PostgreSQL */
/* The order of the leak report. */
#include "trace/report/leak_groups.h"

#include "base/text/sort.h"

enum leak_section leak_kind(const struct lease *lease)
{
	if (lease->pending) {
		return LEAK_NEVER_FINISHED;
	}
	return lease->at_exit ? LEAK_RELEASED_BY_EXIT : LEAK_NEVER_RELEASED;
}

enum leak_section leak_section(const struct lease *lease)
{
	if (lease->suppressed) {
		return LEAK_SUPPRESSED;
	}
	return lease->kept ? LEAK_KEPT : leak_kind(lease);
}

static int by_section(const void *left, const void *right)
{
	const struct lease *a = left;
	const struct lease *b = right;

	if (leak_section(a) != leak_section(b)) {
		return leak_section(a) < leak_section(b) ? -1 : 1;
	}
	if (a->stack != b->stack) {
		return a->stack < b->stack ? -1 : 1;
	}
	if (a->began_ns != b->began_ns) {
		return a->began_ns < b->began_ns ? -1 : 1;
	}
	return a->id < b->id ? -1 : a->id > b->id;
}

void leak_groups_sort(struct lease *leaks, size_t count)
{
	sort_items(leaks, count, sizeof(*leaks), by_section);
}

const struct lease *leak_groups_section(const struct lease *leaks, size_t *count,
                                        enum leak_section section)
{
	size_t from = 0;
	size_t to;

	while (from < *count && leak_section(&leaks[from]) < section) {
		from++;
	}
	for (to = from; to < *count && leak_section(&leaks[to]) == section; to++) {
	}
	*count = to - from;
	return leaks + from;
}

static struct leak_group group_at(const struct lease *leaks, size_t count, size_t at)
{
	struct leak_group group = {.first = &leaks[at], .count = 1};

	while (at + group.count < count &&
	       leaks[at + group.count].stack == group.first->stack) {
		group.count++;
	}
	return group;
}

size_t leak_groups_count(const struct lease *leaks, size_t count)
{
	size_t groups = 0;

	for (size_t at = 0; at < count; groups++) {
		at += group_at(leaks, count, at).count;
	}
	return groups;
}

static bool goes_before(const struct leak_group *a, const struct leak_group *b)
{
	if (a->count != b->count) {
		return a->count > b->count;
	}
	if (a->first->began_ns != b->first->began_ns) {
		return a->first->began_ns < b->first->began_ns;
	}
	return a->first < b->first;
}

struct leak_group leak_groups_next(const struct lease *leaks, size_t count,
                                   struct leak_group last)
{
	struct leak_group best = {0};

	for (size_t at = 0; at < count;) {
		struct leak_group group = group_at(leaks, count, at);

		if ((last.first == NULL || goes_before(&last, &group)) &&
		    (best.first == NULL || goes_before(&group, &best))) {
			best = group;
		}
		at += group.count;
	}
	return best;
}
