/* SPDX-License-Identifier: PostgreSQL */
/* What is looked up on first use is there, and is the C library's own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "base/late.h"
#include "base/program.h"

static void test_everything_is_found(void **state)
{
	(void)state;
	late_find();
	for (unsigned which = 0; which < LATES; which++) {
		assert_non_null(late_found[which]);
		assert_ptr_equal(late((enum late)which), late_found[which]);
	}
}

static void test_functions_are_those_of_the_linker(void **state)
{
	(void)state;
	assert_ptr_equal(late(LATE_gettid), (void *)(uintptr_t)gettid);
	assert_ptr_equal(late(LATE_openat), (void *)(uintptr_t)openat);
}

static void test_names(void **state)
{
	(void)state;
	assert_ptr_equal(program_name(), program_invocation_name);
	assert_ptr_equal(program_short_name(), program_invocation_short_name);
}

/* Whoever changes it, it is the one that others see. */
static void test_environment(void **state)
{
	char *mine[] = {"A=1", NULL};
	char **before = environ;

	(void)state;
	assert_ptr_equal(program_environ(), environ);
	setenv("PQPOOL_TEST_PROGRAM", "1", 1);
	assert_ptr_equal(program_environ(), environ);
	environ = mine;
	assert_string_equal(program_environ()[0], "A=1");
	environ = NULL;
	assert_non_null(program_environ());
	assert_null(program_environ()[0]);
	environ = before;
}

static void *nothing(void *arg)
{
	return arg;
}

static void test_threads(void **state)
{
	pthread_t thread;

	(void)state;
	assert_true(program_is_single_threaded());
	assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
	assert_false(program_is_single_threaded());
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_found),
		cmocka_unit_test(test_functions_are_those_of_the_linker),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
