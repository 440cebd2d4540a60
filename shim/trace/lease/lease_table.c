/* SPDX-License-Identifier: PostgreSQL */
/* The shards. */
#include "trace/lease/lease_table.h"

#include <string.h>

/*
 * Many, so that two threads seldom meet in one, and not too many: fork takes them all, and
 * ThreadSanitizer ends a program that holds more than 64 locks. uthash makes its tables with
 * the first lease.
 */
#define SHARD_BITS 4
#define SHARDS     (1 << SHARD_BITS)

/* Each holds few leases: uthash is to begin with eight chains, not with 32. */
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

struct lease_shard *lease_shard_of(const void *conn)
{
	return &shards[(uint64_t)(uintptr_t)conn * 0x9e3779b97f4a7c15ULL >> (64 - SHARD_BITS)];
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

/* The first one of this shard or of one behind it. */
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
