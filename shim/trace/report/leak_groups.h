/* SPDX-License-Identifier: PostgreSQL */
/*
 * The order of the leak report: leases in sections, and in each grouped by the stack that took
 * them.
 *
 * All is done within the array of leases: a report needs no memory, which may be what the
 * program has run out of. Locks: none.
 */
#ifndef PQPOOL_TRACE_REPORT_LEAK_GROUPS_H
#define PQPOOL_TRACE_REPORT_LEAK_GROUPS_H

#include <stddef.h>

#include "trace/lease/lease_entry.h"

/* In the order of printing; the first three are the kinds of leaks. */
enum leak_section {
	LEAK_NEVER_RELEASED,
	LEAK_RELEASED_BY_EXIT,
	LEAK_NEVER_FINISHED,
	LEAK_KEPT,
	LEAK_SUPPRESSED,
	LEAK_SECTIONS
};

/* The kind that a lease has, also where it is kept or suppressed. */
enum leak_section leak_kind(const struct lease *lease);
enum leak_section leak_section(const struct lease *lease);

/* Sorts leases by section, stack and age, for the functions below. */
void leak_groups_sort(struct lease *leaks, size_t count);

/* The leases of one section, `*count` of them, of `*count` in all. */
const struct lease *leak_groups_section(const struct lease *leaks, size_t *count,
                                        enum leak_section section);

/* The leases that one stack took: `count` of them from `first`, the oldest. */
struct leak_group {
	const struct lease *first;
	size_t count;
};

/* How many groups a section has. */
size_t leak_groups_count(const struct lease *leaks, size_t count);

/*
 * The group of a section that is printed after `last` (first = NULL: of all): those with more
 * leases first, then the older ones.
 */
struct leak_group leak_groups_next(const struct lease *leaks, size_t count,
                                   struct leak_group last);

#endif
