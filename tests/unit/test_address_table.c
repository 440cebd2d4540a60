/* SPDX-License-Identifier: PostgreSQL */
/* A table that a signal handler reads while threads change it. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>

#include <cmocka.h>

#include "session/cancel/address_table.h"

#define OBJECTS 300
#define THREADS 4
#define SIGNALS 200

static struct address_table table;
static int objects[THREADS][OBJECTS];

static void put(void *object)
{
	void *old;

	assert_true(address_table_put(&table, object, object, &old));
	assert_null(old);
}

static int clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table.chains) / sizeof(table.chains[0]); i++) {
		struct address_entry *next;

		for (struct address_entry *e = table.chains[i]; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
		table.chains[i] = NULL;
	}
	return 0;
}

static size_t entries(void)
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(table.chains) / sizeof(table.chains[0]); i++) {
		for (struct address_entry *e = table.chains[i]; e != NULL; e = e->next) {
			count++;
		}
	}
	return count;
}

static void finds_what_was_put(void **state)
{
	(void)state;
	assert_null(address_table_find(&table, &objects[0][0]));
	assert_null(address_table_find(&table, NULL));
	for (int i = 0; i < OBJECTS; i++) {
		put(&objects[0][i]);
	}
	for (int i = 0; i < OBJECTS; i++) {
		assert_ptr_equal(address_table_find(&table, &objects[0][i]), &objects[0][i]);
	}
	assert_null(address_table_find(&table, &objects[1][0]));
}

static void takes_out_once(void **state)
{
	(void)state;
	put(&objects[0][0]);
	assert_ptr_equal(address_table_take(&table, &objects[0][0]), &objects[0][0]);
	assert_null(address_table_take(&table, &objects[0][0]));
	assert_null(address_table_find(&table, &objects[0][0]));
}

static void replaces(void **state)
{
	void *old;

	(void)state;
	put(&objects[0][0]);
	assert_true(address_table_put(&table, &objects[0][0], &objects[1][0], &old));
	assert_ptr_equal(old, &objects[0][0]);
	assert_ptr_equal(address_table_find(&table, &objects[0][0]), &objects[1][0]);
}

static void does_not_grow(void **state)
{
	size_t before;

	(void)state;
	put(&objects[0][0]);
	address_table_take(&table, &objects[0][0]);
	before = entries();
	for (int i = 0; i < OBJECTS; i++) {
		put(&objects[0][0]);
		address_table_take(&table, &objects[0][0]);
	}
	assert_int_equal(entries(), before);
}

/* ---- a handler, and threads ------------------------------------------------------------ */

static int lasting[OBJECTS];
static atomic_int signals;
static atomic_int wrong;

/* What lasts is there; what comes and goes is itself, or not there. */
static void look(int signum)
{
	(void)signum;
	for (int i = 0; i < OBJECTS; i++) {
		void *found = address_table_find(&table, &objects[i % THREADS][i]);

		wrong += address_table_find(&table, &lasting[i]) != &lasting[i];
		wrong += found != NULL && found != &objects[i % THREADS][i];
	}
	signals++;
}

static void *come_and_go(void *mine)
{
	int *own = mine;
	void *old;

	while (signals < SIGNALS) {
		for (int i = 0; i < OBJECTS; i++) {
			if (!address_table_put(&table, &own[i], &own[i], &old) || old != NULL) {
				return NULL;
			}
		}
		for (int i = 0; i < OBJECTS; i++) {
			if (address_table_take(&table, &own[i]) != &own[i]) {
				return NULL;
			}
		}
	}
	return mine;
}

static void is_read_in_a_handler(void **state)
{
	struct sigaction action = {.sa_handler = look, .sa_flags = SA_RESTART};
	struct itimerval timer = {{0, 1000}, {0, 1000}};
	pthread_t threads[THREADS];

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* It delivers signals in functions that it intercepts, and the threads call none. */
	skip();
#endif
	for (int i = 0; i < OBJECTS; i++) {
		put(&lasting[i]);
	}
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, objects[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(threads[i], &result);
		assert_ptr_equal(result, objects[i]);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
	assert_int_equal(wrong, 0);
	assert_in_range(entries(), OBJECTS, OBJECTS * (THREADS + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_what_was_put, clear),
		cmocka_unit_test_setup(takes_out_once, clear),
		cmocka_unit_test_setup(replaces, clear),
		cmocka_unit_test_setup(does_not_grow, clear),
		cmocka_unit_test_setup(is_read_in_a_handler, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
