/* SPDX-License-Identifier: PostgreSQL */
/* Leases and their connections, and how they begin and end; after cmocka.h. */
#ifndef PQPOOL_TESTS_LEASES_H
#define PQPOOL_TESTS_LEASES_H

#include <string.h>

#include "base/clock.h"
#include "trace/lease/lease.h"
#include "trace/lease/snapshot.h"

#define MANY 200

/* When and where leases are given back. */
#define MOMENT (UINT64_C(1) << 60)
#define PLACE  7

static const char pool_a[] = "app@a:5432/x";

static char conns[MANY];
static struct lease leases[MANY];

static inline struct lease *make(size_t i, const char *pool)
{
	struct lease *vanished;

	memset(&leases[i], 0, sizeof(leases[i]));
	leases[i].conn = &conns[i];
	leases[i].pool = pool;
	leases[i].pooled = true;
	leases[i].session = i;
	assert_true(lease_register(&leases[i], &vanished));
	assert_null(vanished);
	return &leases[i];
}

static inline uint64_t begin(struct lease *lease)
{
	const struct lease_origin origin = {
		.backend_pid = 4711, .now_ns = clock_monotonic_ns(), .wait_ns = 12, .stack = 3};

	return lease_begin(lease, &origin);
}

static inline enum lease_state end(size_t i, struct lease **entry, struct lease *ended)
{
	return lease_end(&conns[i], MOMENT, PLACE, entry, ended);
}

/* The oldest open lease, as a report shows it. */
static inline struct lease oldest(void)
{
	struct lease_totals totals;
	size_t count;
	struct lease *copies = lease_holders(&count, &totals);
	struct lease first = {0};

	if (count > 0) {
		first = copies[0];
	}
	lease_snapshot_free(copies, count);
	return first;
}

static inline int forget_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		lease_forget(&leases[i]);
	}
	return 0;
}

#endif
