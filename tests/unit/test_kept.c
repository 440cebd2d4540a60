/* SPDX-License-Identifier: PostgreSQL */
/* Which of the connections that a program holds to its end are leaks, and which it keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread/pid.h"
#include "trace/lease/kept.h"
#include "trace/stack/stack.h"

#define NOINLINE __attribute__((noinline))

/* Places of different code each; what is given back at one of them stays so. */
#define PLACE(name)                                                                            \
	static NOINLINE uint32_t name(void)                                                    \
	{                                                                                      \
		uint32_t id = stack_capture(__builtin_return_address(0), 4);                   \
                                                                                               \
		__asm__ volatile("" ::: "memory");                                             \
		return id;                                                                     \
	}

PLACE(place_of_one)
PLACE(place_of_another)
PLACE(place_that_gives_back)

/* Taken by this thread and never used. */
static struct lease lease(uint64_t id, uint32_t stack)
{
	return (struct lease){.open = true, .id = id, .tid = tid_self(), .stack = stack};
}

static struct lease used(uint64_t id, uint32_t stack, uint64_t used_at)
{
	struct lease one = lease(id, stack);

	one.used_at = used_at;
	return one;
}

/* How many are kept. */
static size_t judge(struct lease *leases, size_t count)
{
	size_t kept = 0;

	kept_judge(leases, count);
	for (size_t i = 0; i < count; i++) {
		kept += leases[i].kept;
	}
	return kept;
}

static void one_of_each_place(void **state)
{
	struct lease leases[] = {lease(1, place_of_one()), lease(2, place_of_another()),
	                         lease(3, 0)};

	(void)state;
	assert_int_equal(judge(leases, 3), 3);
}

static void not_where_others_are_given_back(void **state)
{
	struct lease leases[] = {lease(9, 0), lease(1, 0)};

	(void)state;
	for (volatile int i = 0; i < 2; i++) {
		uint32_t stack = place_that_gives_back();

		assert_true(stack_note_given_back(stack) == (i == 0));
		leases[i].stack = stack;
		assert_true(stack_gives_back(stack));
	}
	leases[0].stack = place_of_one();
	assert_false(stack_gives_back(leases[0].stack));
	assert_int_equal(judge(leases, 2), 1);
	assert_true(leases[0].kept == (leases[0].id == 9));
}

static void not_a_trail(void **state)
{
	uint32_t stack[3];
	struct lease leases[3];

	(void)state;
	for (volatile uint64_t i = 0; i < 3; i++) {
		stack[i] = place_of_one();
		/* Each was used before the next one was taken. */
		leases[2 - i] = used(10 + i, stack[i], 10 + i);
	}
	assert_int_equal(stack[0], stack[2]);
	assert_int_equal(judge(leases, 3), 0);
}

static void but_a_set(void **state)
{
	struct lease leases[3];

	(void)state;
	for (volatile uint64_t i = 0; i < 3; i++) {
		leases[i] = used(10 + i, place_of_one(), 12 + i);
	}
	assert_int_equal(judge(leases, 3), 3);
	leases[1].used_at = 11;
	assert_int_equal(judge(leases, 3), 0);
}

static void not_of_a_thread_that_has_ended(void **state)
{
	struct lease leases[] = {lease(1, place_of_one()), lease(2, place_of_one())};

	(void)state;
	leases[1].stack = leases[0].stack;
	leases[1].tid++;
	assert_int_equal(judge(leases, 2), 2);
	leases[0].orphaned = true;
	assert_int_equal(judge(leases, 2), 1);
	assert_true(leases[0].kept != leases[0].orphaned);
}

static void not_what_was_never_finished(void **state)
{
	struct lease one = lease(1, place_of_another());

	(void)state;
	one.open = false;
	one.pending = true;
	assert_int_equal(judge(&one, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_each_place),
		cmocka_unit_test(not_where_others_are_given_back),
		cmocka_unit_test(not_a_trail),
		cmocka_unit_test(but_a_set),
		cmocka_unit_test(not_of_a_thread_that_has_ended),
		cmocka_unit_test(not_what_was_never_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
