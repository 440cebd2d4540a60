/* SPDX-License-Identifier: PostgreSQL */
/* A pool and its slots, and a clock that the tests turn by hand; after cmocka.h. */
#ifndef PQPOOL_TESTS_SLOTS_H
#define PQPOOL_TESTS_SLOTS_H

#include <string.h>

#include "base/clock.h"
#include "pool/pool.h"

#define SECOND NS_PER_SEC
#define SLOTS  64

static struct pool pool;
static struct pool_slot slots[SLOTS];
static uint64_t now = 1000 * SECOND;

static inline void make(uint32_t size, uint32_t total)
{
	struct pool_limits limits = {.size = size, .total = total};

	memset(slots, 0, sizeof(slots));
	pool_init(&pool, &limits);
}

/* Acquires where there is room, and puts slot `i` into it. */
static inline struct pool_slot *open_slot(size_t i)
{
	struct pool_waiter waiter;

	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_OPEN);
	pool_opened(&pool, &slots[i], now, 0);
	return &slots[i];
}

static inline void give_back(struct pool_slot *slot)
{
	assert_int_equal(pool_return(&pool, slot, now), DROP_NONE);
	pool_keep(&pool, slot, now);
}

static inline struct pool_slot *take_idle(void)
{
	struct pool_waiter waiter;

	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_LEND);
	pool_lent(waiter.slot);
	return waiter.slot;
}

#endif
