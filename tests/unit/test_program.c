/* SPDX-License-Identifier: PostgreSQL */
/* The settings and the name are those of the start, whatever the program does to them later. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "base/config/program.h"

static void test_names(void **state)
{
	(void)state;
	assert_ptr_equal(program_name(), program_invocation_name);
	assert_string_equal(program_short_name(), program_invocation_short_name);
}

/* ---- what was there at the start ---- */

/* Runs in a process of its own, for what is noted is so for good. */
static void in_child(void (*run)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define MUST(condition) ((condition) ? (void)0 : _exit(__LINE__ % 250 + 1))

static void begin_with(char *name, char **envp)
{
	char *arguments[] = {name, NULL};

	program_begin(1, arguments, envp);
}

static bool is_setting(const char *name, const char *value)
{
	const char *found = program_setting(name);

	return value == NULL ? found == NULL : found != NULL && strcmp(found, value) == 0;
}

static void overwrite_title(void)
{
	char title[] = "/usr/sbin/php-fpm8.2";
	char *none[] = {NULL};

	begin_with(title, none);
	memset(title, 'x', sizeof(title) - 1);
	MUST(strcmp(program_short_name(), "php-fpm8.2") == 0);
}

static void name_without_folder(void)
{
	char name[] = "a b";

	begin_with(name, NULL);
	MUST(strcmp(program_short_name(), "a b") == 0);
}

static void name_too_long(void)
{
	char name[1000];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	begin_with(name, NULL);
	MUST(strlen(program_short_name()) == 255);
}

static void clear_environment(void)
{
	char size[] = "PQPOOL_SIZE=3";
	char log[] = "PQPOOL_LOG=/x";
	char *envp[] = {"HOME=/", size, "PQPOOLSIZE=1", "PQPOOL", log, NULL};
	char *const *all;

	begin_with("p", envp);
	memset(size, 'x', sizeof(size) - 1);
	clearenv();
	all = program_settings();
	MUST(all != NULL && strcmp(all[0], "PQPOOL_SIZE=3") == 0);
	MUST(strcmp(all[1], "PQPOOL_LOG=/x") == 0 && all[2] == NULL);
	MUST(is_setting("PQPOOL_SIZE", "3") && is_setting("PQPOOL_LOG", "/x"));
	MUST(is_setting("PQPOOL_LO", NULL) && is_setting("PQPOOL_LOGS", NULL));
}

/* What is there at the first connect wins, an empty value among it. */
static void change_environment(void)
{
	char *envp[] = {"PQPOOL_SIZE=3", "PQPOOL_LOG=/x", "PQPOOL_RESET=off", NULL};

	begin_with("p", envp);
	clearenv();
	setenv("PQPOOL_SIZE", "5", 1);
	setenv("PQPOOL_LOG", "", 1);
	setenv("PQPOOL_ORDER", "fifo", 1);
	MUST(program_settings() != NULL);
	MUST(is_setting("PQPOOL_SIZE", "5") && is_setting("PQPOOL_LOG", ""));
	MUST(is_setting("PQPOOL_RESET", "off") && is_setting("PQPOOL_ORDER", "fifo"));
}

static void too_much_to_note(void)
{
	static char huge[20000] = "PQPOOL_ROUTE=";
	char *envp[] = {huge, NULL};

	memset(huge + strlen(huge), 'h', sizeof(huge) - 1 - strlen(huge));
	begin_with("p", envp);
	MUST(program_settings() == NULL);
}

static void test_start(void **state)
{
	(void)state;
	in_child(overwrite_title);
	in_child(name_without_folder);
	in_child(name_too_long);
	in_child(clear_environment);
	in_child(change_environment);
	in_child(too_much_to_note);
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
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
