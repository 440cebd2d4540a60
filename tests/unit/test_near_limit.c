/* SPDX-License-Identifier: PostgreSQL */
/* A pool near its limit for long, with a clock that the tests turn by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "pool/pool.h"

#define SECOND NS_PER_SEC

static struct pool pool;
static struct pool_slot slots[4];
static uint64_t now = 1000 * SECOND;

static void make(uint32_t limit, uint32_t warn_at)
{
	struct pool_limits limits = {.size = limit, .total = limit, .warn_at = warn_at};

	memset(slots, 0, sizeof(slots));
	pool_init(&pool, &limits);
}

static void open_slot(size_t i)
{
	struct pool_waiter waiter;

	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_OPEN);
	pool_opened(&pool, &slots[i], now, 0);
}

static void give_back(struct pool_slot *slot)
{
	assert_int_equal(pool_return(&pool, slot, now), DROP_NONE);
	pool_keep(&pool, slot, now);
}

static void take_idle(void)
{
	struct pool_waiter waiter;

	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_LEND);
	pool_lent(waiter.slot);
}

/* Told or not, after `seconds` more. */
static bool near_after(uint64_t seconds)
{
	uint64_t since;

	now += seconds * SECOND;
	return pool_near_limit(&pool, now, 10 * SECOND, &since);
}

static void tells_once_that_it_was_near_its_limit(void **state)
{
	uint64_t began;
	uint64_t since;

	(void)state;
	make(4, 3);
	open_slot(0);
	open_slot(1);
	assert_false(near_after(0));
	assert_false(near_after(20));
	open_slot(2);
	began = now;
	assert_false(near_after(0));
	open_slot(3);
	assert_false(near_after(9));
	now += SECOND;
	assert_true(pool_near_limit(&pool, now, 10 * SECOND, &since));
	assert_int_equal(since, began);
	give_back(&slots[3]);
	assert_false(near_after(100));
	/* Below it, if only for a moment; and again from the beginning. */
	give_back(&slots[2]);
	take_idle();
	assert_false(near_after(0));
	assert_false(near_after(9));
	assert_true(near_after(1));
	/* Its session is gone. */
	pool_forget(&pool, &slots[2]);
	assert_false(near_after(100));
	take_idle();
	assert_false(near_after(0));
	assert_false(near_after(9));
	assert_true(near_after(1));
}

static void is_never_near_no_limit(void **state)
{
	(void)state;
	make(2, 0);
	open_slot(0);
	open_slot(1);
	assert_false(near_after(0));
	assert_false(near_after(100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_once_that_it_was_near_its_limit),
		cmocka_unit_test(is_never_near_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
