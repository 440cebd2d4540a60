/* SPDX-License-Identifier: PostgreSQL */
/* How long a process may take a session again while others wait (PQPOOL_SHARE_LINGER). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "keeper_members.h"

#define LINGER (1000 * NS_PER_SEC)

static int set_up_linger(void **state)
{
	settings.linger_ns = LINGER;
	return set_up(state);
}

static int tear_down_linger(void **state)
{
	settings.linger_ns = 0;
	return tear_down(state);
}

/* Gives the first member's session back, and has it leased again at once. */
static void use_again(void)
{
	give_back(members[0], 0);
	put(members[0], 0, KEEPER_WORD_LEASED);
}

static void test_who_uses_it_keeps_it_for_a_while(void **state)
{
	struct question q;
	int server = lease();
	uint64_t granted_ns = pool->sessions->granted_ns;
	uint64_t now_ns = granted_ns;

	(void)state;
	question(&q, members[1], 7, false);
	for (; now_ns < granted_ns + LINGER; now_ns += LINGER / 100) {
		use_again();
		pool_serve(pool, now_ns);
		assert_int_equal(answer(&q), 0);
		assert_int_equal(atomic_load(&members[0]->page->attention), 0);
		assert_true(pool->again_ns <= now_ns + NS_PER_MS);
	}
	pool_serve(pool, now_ns);
	assert_int_equal(answer(&q), 0);
	assert_int_equal(atomic_load(&members[0]->page->attention), 1);
	put(members[0], 0, KEEPER_WORD_IDLE);
	pool_look_at(members[0], now_ns);
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	close(server);
}

static void test_what_is_not_used_again_goes_to_who_waits(void **state)
{
	struct question q;
	int server = lease();

	(void)state;
	give_back(members[0], 0);
	question(&q, members[1], 7, false);
	assert_int_equal(answer(&q), 0);
	pool_serve(pool, pool->again_ns + NS_PER_MS);
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	close(server);
}

static void test_own_session_is_not_waited_for(void **state)
{
	struct question q;
	int server = lease();

	(void)state;
	give_back(members[0], 0);
	question(&q, members[0], 7, false);
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	close(server);
}

/* Nobody has to open a session while one lies idle. */
static void test_below_the_limit_an_idle_one_is_taken_at_once(void **state)
{
	struct question q;
	int server;

	(void)state;
	settings.total = 2;
	server = lease();
	give_back(members[0], 0);
	question(&q, members[1], 7, false);
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_uses_it_keeps_it_for_a_while,
	                                        set_up_linger, tear_down_linger),
		cmocka_unit_test_setup_teardown(test_what_is_not_used_again_goes_to_who_waits,
	                                        set_up_linger, tear_down_linger),
		cmocka_unit_test_setup_teardown(test_own_session_is_not_waited_for,
	                                        set_up_linger, tear_down_linger),
		cmocka_unit_test_setup_teardown(
			test_below_the_limit_an_idle_one_is_taken_at_once, set_up_linger,
			tear_down_linger),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
