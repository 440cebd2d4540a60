/* SPDX-License-Identifier: PostgreSQL */
/* The verdict on a full pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "acquire/full/exhaustion.h"

#define SECOND NS_PER_SEC
#define NOW    (10000 * SECOND)

static struct exhaustion pool;

static void full(uint32_t in_use, uint64_t waited_ns)
{
	pool = (struct exhaustion){.now_ns = NOW, .waited_ns = waited_ns, .in_use = in_use};
}

static void holds(unsigned times, uint64_t held_ns, enum lease_transaction transaction,
                  enum holder_thread thread)
{
	struct lease lease = {.began_ns = NOW - held_ns, .transaction = transaction};

	for (unsigned i = 0; i < times; i++) {
		exhaustion_add(&pool, &lease, thread);
	}
}

static void is(const char *verdict)
{
	assert_string_equal(exhaustion_verdict_name(exhaustion_verdict(&pool)), verdict);
}

static void kinds_of_holders(void **state)
{
	(void)state;
	full(9, 30 * SECOND);
	holds(1, 30 * SECOND - 1, LEASE_TRANSACTION_IDLE, THREAD_ENDED);
	assert_int_equal(pool.young, 1);
	holds(1, 30 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	holds(1, 120 * SECOND - 1, LEASE_TRANSACTION_OPEN, THREAD_AT_LARGE);
	holds(1, 5000 * SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_ENDED);
	assert_int_equal(pool.forgotten, 0);
	holds(1, 120 * SECOND, LEASE_TRANSACTION_OPEN, THREAD_AT_LARGE);
	holds(1, 120 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_WAITS);
	holds(1, 120 * SECOND, LEASE_TRANSACTION_UNKNOWN, THREAD_AT_LARGE);
	holds(1, 30 * SECOND, LEASE_TRANSACTION_FAILED, THREAD_ENDED);
	assert_int_equal(pool.forgotten, 4);
	assert_int_equal(pool.young, 1);
	assert_int_equal(pool.waiting, 1);
	assert_int_equal(pool.holders, 8);
}

/* After a short wait, or none, some seconds are no sign of a leak. */
static void a_leak_takes_its_time(void **state)
{
	(void)state;
	full(1, 0);
	holds(1, LEAK_MIN_NS - 1, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	is("slow");
	full(1, 0);
	holds(1, LEAK_MIN_NS, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	is("leak");
	full(1, 0);
	holds(1, LEAK_MIN_NS, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("slow");
}

static void the_greater_part_decides(void **state)
{
	(void)state;
	full(10, 10 * SECOND);
	holds(5, 500 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	holds(5, SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("leak");
	full(10, 10 * SECOND);
	holds(4, 500 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	holds(6, SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("too_small");
	full(10, 10 * SECOND);
	holds(4, 500 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_AT_LARGE);
	holds(2, 11 * SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	holds(4, SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("slow");
}

/* Rooms in which sessions are still being opened are no holders, but they are in use. */
static void opening_takes_long(void **state)
{
	(void)state;
	full(10, 10 * SECOND);
	is("slow");
	holds(4, SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("slow");
	holds(1, SECOND, LEASE_TRANSACTION_ACTIVE, THREAD_AT_LARGE);
	is("too_small");
}

static void self_deadlock(void **state)
{
	(void)state;
	full(2, SECOND);
	holds(1, 500 * SECOND, LEASE_TRANSACTION_IDLE, THREAD_WAITS);
	is("leak");
	holds(1, SECOND / 2, LEASE_TRANSACTION_OPEN, THREAD_WAITS);
	is("self_deadlock");
	full(3, SECOND);
	holds(2, SECOND / 2, LEASE_TRANSACTION_IDLE, THREAD_WAITS);
	is("too_small");
	pool.proven = true;
	is("self_deadlock");
	full(0, 0);
	is("slow");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_of_holders),
		cmocka_unit_test(a_leak_takes_its_time),
		cmocka_unit_test(the_greater_part_decides),
		cmocka_unit_test(opening_takes_long),
		cmocka_unit_test(self_deadlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
