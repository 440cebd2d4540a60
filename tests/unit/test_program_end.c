/* SPDX-License-Identifier: PostgreSQL */
/* Whether a call is part of the program's end: of the thread's that has begun it alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>

#include "trace/script/program_end.h"

static void *ask(void *arg)
{
	*(bool *)arg = program_end_now(NULL);
	return NULL;
}

static void *end_and_ask(void *arg)
{
	program_end_begin();
	return ask(arg);
}

static bool answer_of(void *(*thread)(void *))
{
	pthread_t id;
	bool answer;

	assert_int_equal(pthread_create(&id, NULL, thread, &answer), 0);
	pthread_join(id, NULL);
	return answer;
}

static void is_the_end_of_one_thread(void **state)
{
	(void)state;
	assert_false(program_end_now(NULL));
	assert_true(answer_of(end_and_ask));
	assert_false(program_end_now(NULL));
	assert_false(answer_of(ask));
	program_end_begin();
	assert_true(program_end_now(NULL));
	assert_false(answer_of(ask));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_end_of_one_thread)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
