/* SPDX-License-Identifier: PostgreSQL */
/* The table that finds a lease by its PGconn. */
#include "trace/lease/lease_table.h"

#include <string.h>

#include "base/text/hash.h"

/*
 * Many, so that two threads seldom share one, but not too many: fork takes all their locks, and
 * ThreadSanitizer ends a program that holds more than 64.
 */
#define SHARD_BITS 4
#define SHARDS     (1 << SHARD_BITS)

/* Each holds few leases: uthash starts with 8 chains, not with 32. */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      8U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 3U

#define SHARD                                                                                  \
	{                                                                                      \
		.lock = LOCK_INITIALIZER(LOCK_LEASE)                                           \
	}
#define SHARDS_4 SHARD, SHARD, SHARD, SHARD

static struct lease_shard shards[SHARDS] = {SHARDS_4, SHARDS_4, SHARDS_4, SHARDS_4};

/* In a cache line of its own: each lease that begins writes it. */
static _Alignas(CACHE_LINE) atomic_uint_fast64_t last_id;

struct lease_shard *lease_shard_of(const void *conn)
{
	return &shards[hash_address(conn, SHARD_BITS)];
}

struct lease *lease_shard_find(const struct lease_shard *shard, const void *conn)
{
	struct lease *lease;

	lock_assert_held(&shard->lock);
	HASH_FIND_PTR(shard->leases, &conn, lease);
	return lease;
}

bool lease_shard_add(struct lease_shard *shard, struct lease *lease)
{
	lock_assert_held(&shard->lock);
	HASH_ADD_PTR(shard->leases, conn, lease);
	return lease_is_listed(lease);
}

/* An entry that is not in the table has no hh.tbl, which uthash leaves to us. */
void lease_shard_remove(struct lease_shard *shard, struct lease *lease)
{
	lock_assert_held(&shard->lock);
	HASH_DEL(shard->leases, lease);
	memset(&lease->hh, 0, sizeof(lease->hh));
}

void lease_table_lock(void)
{
	for (size_t i = 0; i < SHARDS; i++) {
		lock_take_peer(&shards[i].lock);
	}
}

void lease_table_unlock(void)
{
	for (size_t i = SHARDS; i-- > 0;) {
		lock_drop(&shards[i].lock);
	}
}

/* The first lease of this shard or of a later one. */
static struct lease *first_from(const struct lease_shard *shard)
{
	for (; shard < shards + SHARDS; shard++) {
		lock_assert_held(&shard->lock);
		if (shard->leases != NULL) {
			return shard->leases;
		}
	}
	return NULL;
}

struct lease *lease_table_first(void)
{
	return first_from(shards);
}

struct lease *lease_table_next(const struct lease *lease)
{
	struct lease *next = lease->hh.next;

	return next != NULL ? next : first_from(lease_shard_of(lease->conn) + 1);
}

struct lease_totals lease_table_totals(void)
{
	struct lease_totals sum = {0};

	for (size_t i = 0; i < SHARDS; i++) {
		sum.begun += shards[i].sums.begun;
		sum.ended += shards[i].sums.ended;
	}
	return sum;
}

void lease_table_clear_totals(void)
{
	for (size_t i = 0; i < SHARDS; i++) {
		shards[i].sums = (struct lease_totals){0};
	}
}

uint64_t lease_next_id(void)
{
	return atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

uint64_t lease_newest(void)
{
	return atomic_load_explicit(&last_id, memory_order_relaxed);
}
