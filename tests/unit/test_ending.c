/* SPDX-License-Identifier: PostgreSQL */
/* Whether a call is part of the program's end; asked by children of this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/ending.h"

#define NOINLINE __attribute__((noinline))

static int answers; /* a bit for each that was yes */
static int asked;

static NOINLINE void ask(void)
{
	answers |= ending_now(__builtin_return_address(0)) << asked++;
}

static NOINLINE void *ask_in_thread(void *arg)
{
	ask();
	return arg;
}

static NOINLINE void ask_deeper(int depth)
{
	if (depth > 0) {
		ask_deeper(depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	ask();
}

static void end(void)
{
	/* Not by exit(): that is going on. */
	_exit(answers);
}

static void ask_here_and_in_a_thread(void)
{
	pthread_t thread;

	ask();
	ask_deeper(50);
	pthread_create(&thread, NULL, ask_in_thread, NULL);
	pthread_join(thread, NULL);
}

static int status_of(void (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		answers = 0;
		asked = 0;
		atexit(end);
		child();
		exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void in_the_middle(void)
{
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		ask();
		ask_deeper(i);
	}
	pthread_create(&thread, NULL, ask_in_thread, NULL);
	pthread_join(thread, NULL);
}

static void at_the_end(void)
{
	atexit(ask_here_and_in_a_thread);
}

/* The last answers are remembered, but never for an end. */
static void before_and_after(void)
{
	atexit(ask);
	for (int i = 0; i < 5; i++) {
		ask_deeper(0);
	}
}

static void *exit_here(void *arg)
{
	atexit(ask);
	exit(99);
	return arg;
}

static void by_a_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, exit_here, NULL);
	pthread_join(thread, NULL);
}

static void sees_exit_on_the_stack(void **state)
{
	(void)state;
	assert_int_equal(status_of(in_the_middle), 0);
	assert_int_equal(status_of(at_the_end), 3); /* but the other thread's call is not */
	assert_int_equal(status_of(before_and_after), 1 << 5);
	assert_int_equal(status_of(by_a_thread), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sees_exit_on_the_stack)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
