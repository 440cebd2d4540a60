/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table that finds a lease by its PGconn, in shards by the connection's address.
 *
 * Threads that work on connections of their own do not contend for a lock, unless two addresses
 * fall into one shard. Each shard has its lock, of rank LOCK_LEASE. A thread takes one, or all
 * of them by lease_table_lock(), to see everything as of one moment.
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_TABLE_H
#define PQPOOL_TRACE_LEASE_LEASE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"
#include "trace/lease/lease_entry.h"

#define CACHE_LINE 64

struct lease_shard {
	_Alignas(CACHE_LINE) struct lock lock;
	struct lease *leases; /* uthash's */
	/* Raised under the lock when a lease of this shard changes; read without it. */
	atomic_uint_fast64_t changes;
	struct lease_totals sums;
};

/* The shard of a connection, listed or not. */
struct lease_shard *lease_shard_of(const void *conn);

/* NULL if it is not listed. This and the next two: with the shard's lock held. */
struct lease *lease_shard_find(const struct lease_shard *shard, const void *conn);

/* False: out of memory. */
bool lease_shard_add(struct lease_shard *shard, struct lease *lease);

/* Removes a lease that lease_is_listed(). */
void lease_shard_remove(struct lease_shard *shard, struct lease *lease);

static inline bool lease_is_listed(const struct lease *lease)
{
	return lease->hh.tbl != NULL;
}

/* Takes all locks, and drops them. */
void lease_table_lock(void);
void lease_table_unlock(void);

/* The first of all leases, and the next one; NULL: no more. With all locks held. */
struct lease *lease_table_first(void);
struct lease *lease_table_next(const struct lease *lease);

/* The sum over all shards, and its reset to zero. With all locks held. */
struct lease_totals lease_table_totals(void);
void lease_table_clear_totals(void);

/* Returns the number of a lease that begins, and that of the newest one. Any thread. */
uint64_t lease_next_id(void);
uint64_t lease_newest(void);

#endif
