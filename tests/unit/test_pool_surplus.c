/* SPDX-License-Identifier: PostgreSQL */
/* When sessions above the size are closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "slots.h"

static void keeps_no_more_than_its_size(void **state)
{
	(void)state;
	make(2, 4);
	for (size_t i = 0; i < 4; i++) {
		open_slot(i);
	}
	/* One idle and one on its way back already fill the pool. */
	give_back(&slots[0]);
	assert_int_equal(pool_return(&pool, &slots[1], now), DROP_NONE);
	assert_int_equal(pool_return(&pool, &slots[2], now), DROP_SURPLUS);
	/* If the one on its way does not make it, there is a place again. */
	assert_false(pool_drop(&pool, &slots[1]));
	give_back(&slots[2]);
	assert_int_equal(pool_return(&pool, &slots[3], now), DROP_SURPLUS);
	assert_int_equal(pool_count(&pool).idle, 2);
}

static void close_all(struct pool_slot *doomed)
{
	while (doomed != NULL) {
		struct pool_slot *next = doomed->next;

		assert_false(pool_drop(&pool, doomed));
		doomed = next;
	}
}

/* Opens so many and gives the first of them back. */
static void crowd(size_t count, size_t back)
{
	for (size_t i = 0; i < count; i++) {
		open_slot(i);
	}
	for (size_t i = 0; i < back; i++) {
		give_back(&slots[i]);
	}
}

static void keeps_surplus_while_there_is_a_crowd(void **state)
{
	struct pool_slot *doomed;
	unsigned closed = 0;

	(void)state;
	make(15, 45);
	crowd(45, 42);
	/* A fifth is in use. */
	assert_null(pool_tend(&pool, now));
	assert_int_equal(pool_count(&pool).idle, 42);
	/* The finish after which it is less ends the crowd, and those idle longest go. */
	assert_int_equal(pool_return(&pool, &slots[42], now), DROP_SURPLUS);
	assert_false(pool_drop(&pool, &slots[42]));
	doomed = pool_tend(&pool, now);
	for (struct pool_slot *slot = doomed; slot != NULL; slot = slot->next) {
		assert_int_equal(slot->why, DROP_SURPLUS);
		assert_true(slot < &slots[42 - 15]);
		closed++;
	}
	assert_int_equal(closed, 42 - 15);
	close_all(doomed);
	for (size_t i = 43; i < 45; i++) {
		assert_int_equal(pool_return(&pool, &slots[i], now), DROP_SURPLUS);
		assert_false(pool_drop(&pool, &slots[i]));
	}
	assert_null(pool_tend(&pool, now));
	assert_int_equal(pool_count(&pool).used, 15);
}

static void one_long_lease_is_no_crowd(void **state)
{
	(void)state;
	make(1, 9);
	crowd(9, 7);
	assert_int_equal(pool_count(&pool).idle, 7);
	assert_int_equal(pool_return(&pool, &slots[7], now), DROP_SURPLUS);
	assert_false(pool_drop(&pool, &slots[7]));
	close_all(pool_tend(&pool, now));
	assert_int_equal(pool_count(&pool).used, 2);
	assert_int_equal(pool_count(&pool).idle, 1);
}

/* However a session of a crowd ends. */
static void a_crowd_may_end_otherwise(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	for (int opening = 0; opening <= 1; opening++) {
		make(2, 10);
		crowd(7, 5);
		assert_int_equal(pool_reserve(&pool, 1), 1);
		assert_false(pool_drop(&pool, &slots[5]));
		assert_null(pool_tend(&pool, now));
		if (opening) {
			pool_open_failed(&pool);
		} else {
			assert_false(pool_drop(&pool, &slots[6]));
		}
		close_all(pool_tend(&pool, now));
		assert_int_equal(pool_count(&pool).idle, 2);
		assert_int_equal(pool_count(&pool).used, 3);
	}
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_LEND);
}

static void surplus_that_nobody_is_lent_goes_in_a_crowd(void **state)
{
	(void)state;
	make(2, 10);
	crowd(10, 6);
	now += SECOND - 1;
	assert_ptr_equal(take_idle(), &slots[5]);
	give_back(&slots[5]);
	assert_null(pool_tend(&pool, now));
	now += 1;
	/* No connect closes any, only a finish. */
	assert_null(pool_tend(&pool, now));
	give_back(&slots[6]);
	close_all(pool_tend(&pool, now));
	assert_int_equal(pool_count(&pool).idle, 2);
	assert_ptr_equal(take_idle(), &slots[6]);
	assert_ptr_equal(take_idle(), &slots[5]);
}

static void without_a_limit_nothing_is_surplus(void **state)
{
	(void)state;
	make(POOL_NO_LIMIT, POOL_NO_LIMIT);
	crowd(SLOTS, SLOTS);
	now += SECOND;
	assert_null(pool_tend(&pool, now));
	make(2, POOL_NO_LIMIT);
	crowd(SLOTS, SLOTS - 2);
	assert_int_equal(pool_count(&pool).idle, SLOTS - 2);
	assert_int_equal(pool_return(&pool, &slots[SLOTS - 1], now), DROP_SURPLUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_no_more_than_its_size),
		cmocka_unit_test(keeps_surplus_while_there_is_a_crowd),
		cmocka_unit_test(one_long_lease_is_no_crowd),
		cmocka_unit_test(a_crowd_may_end_otherwise),
		cmocka_unit_test(surplus_that_nobody_is_lent_goes_in_a_crowd),
		cmocka_unit_test(without_a_limit_nothing_is_surplus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
