/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a lease is found by its PGconn: a table in shards, by the connection's address.
 *
 * Threads at work on connections of their own meet at no lock here, unless two addresses fall
 * to one shard. Each shard has its lock, all of them of rank LOCK_LEASE. A thread takes one, or
 * all of them, by lease_table_lock(), to see everything as of one moment.
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_TABLE_H
#define PQPOOL_TRACE_LEASE_LEASE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"
#include "trace/lease/lease.h"

#define CACHE_LINE 64

struct lease_shard {
	_Alignas(CACHE_LINE) struct lock lock;
	struct lease *leases; /* uthash's */
	/*
	 * How often what is known of any connection of this shard has changed: raised with the
	 * lock held, to be read without it.
	 */
	atomic_uint_fast64_t changes;
	struct lease_totals sums;
};

/* The shard that a connection falls to, listed or not. */
struct lease_shard *lease_shard_of(const void *conn);

/* NULL if it is not there. With the shard's lock held, as the two below. */
struct lease *lease_shard_find(const struct lease_shard *shard, const void *conn);

/* False: out of memory. */
bool lease_shard_add(struct lease_shard *shard, struct lease *lease);

/* Takes out a lease that lease_is_listed(). */
void lease_shard_remove(struct lease_shard *shard, struct lease *lease);

static inline bool lease_is_listed(const struct lease *lease)
{
	return lease->hh.tbl != NULL;
}

/* Takes all locks, and drops them. */
void lease_table_lock(void);
void lease_table_unlock(void);

/* Of all leases the first, and the one after; NULL: no more. With all locks held. */
struct lease *lease_table_first(void);
struct lease *lease_table_next(const struct lease *lease);

/* The sum over all shards; with all locks held, as of one moment. Sets them to nothing. */
struct lease_totals lease_table_totals(void);
void lease_table_clear_totals(void);

#endif
