/* SPDX-License-Identifier: PostgreSQL */
/*
 * Linked into the library that `make coverage` builds: gcov writes what it counted when a
 * library is finalised, and the shim reports after that, or past it (_exit). So it writes
 * before, and after.
 */
#include "trace/lease/snapshot.h"
#include "trace/status/status_page.h"

void __gcov_dump(void);
void __gcov_reset(void);

struct lease *__real_lease_leaks(size_t *count, struct lease_totals *totals);
struct lease *__wrap_lease_leaks(size_t *count, struct lease_totals *totals);
void __real_status_remove(void);
void __wrap_status_remove(void);

static void write_counts(void)
{
	__gcov_dump();
	__gcov_reset();
}

/* The first that a report does. */
struct lease *__wrap_lease_leaks(size_t *count, struct lease_totals *totals)
{
	write_counts();
	return __real_lease_leaks(count, totals);
}

/* The last thing before the end. */
void __wrap_status_remove(void)
{
	__real_status_remove();
	write_counts();
}
