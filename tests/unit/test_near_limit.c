/* SPDX-License-Identifier: PostgreSQL */
/* A pool near its limit for long, with a clock that the tests turn by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "pool/near_limit.h"
#include "slots.h"

static void make_near(uint32_t limit, uint32_t warn_at)
{
	make(limit, limit);
	pool.limits.warn_at = warn_at;
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
	make_near(4, 3);
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
	make_near(2, 0);
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
