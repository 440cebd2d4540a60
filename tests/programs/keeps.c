/* SPDX-License-Identifier: PostgreSQL */
/*
 * keeps MODE: holds connections to its end, each in use for all of its life.
 *
 *   threads    one in each of some threads, which live on
 *   joined     the same, but the threads have ended
 *   children   one in each of some children; the parent has finished one of that place before
 *   inherited  the same, but the children finish what they have of the parent's, too
 *   replaced   one that takes the place of another, whose backend was ended
 *   set        some of one place, used in turn
 *   trail      some of one place, each used before the next was taken
 *   at_exit    a set that an exit handler finishes
 *   endings    a trail that an exit handler finishes
 */
#include "plain.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 3

static PGconn *held[COUNT];
static pthread_barrier_t all_hold;

__attribute__((noinline)) static PGconn *take(void)
{
	PGconn *conn = open_database();

	ask(conn, "SELECT 1");
	return conn;
}

static void use_all(void)
{
	for (int i = 0; i < COUNT; i++) {
		ask(held[i], "SELECT 2");
	}
}

static void finish_all(void)
{
	for (int i = 0; i < COUNT; i++) {
		PQfinish(held[i]);
	}
}

/* ---- threads --------------------------------------------------------------------------- */

static void *hold_and_wait(void *arg)
{
	*(PGconn **)arg = take();
	pthread_barrier_wait(&all_hold);
	for (;;) {
		pause();
	}
	return NULL;
}

static void *hold_and_end(void *arg)
{
	*(PGconn **)arg = take();
	pthread_barrier_wait(&all_hold);
	return NULL;
}

static void start(pthread_t *threads, void *(*work)(void *))
{
	pthread_barrier_init(&all_hold, NULL, COUNT + 1);
	for (int i = 0; i < COUNT; i++) {
		pthread_create(&threads[i], NULL, work, &held[i]);
	}
	pthread_barrier_wait(&all_hold);
}

static void in_threads(void)
{
	pthread_t threads[COUNT];

	start(threads, hold_and_wait);
}

static void joined(void)
{
	pthread_t threads[COUNT];

	start(threads, hold_and_end);
	for (int i = 0; i < COUNT; i++) {
		pthread_join(threads[i], NULL);
	}
}

/* ---- children -------------------------------------------------------------------------- */

static void work_in_children(PGconn *inherited)
{
	PGconn *conn = NULL;
	int child = 0;

	/* The parent's first, and the child's, are of the same place. */
	for (volatile int i = 0; i <= COUNT && child == 0; i++) {
		if (i > 0 && fork() != 0) {
			continue;
		}
		child = i;
		if (child > 0) {
			PQfinish(inherited);
		}
		conn = take();
		if (child == 0) {
			PQfinish(conn);
		}
	}
	if (child > 0) {
		exit(0);
	}
	for (int i = 0; i < COUNT; i++) {
		wait(NULL);
	}
}

static void children(void)
{
	work_in_children(NULL);
}

static void inherited(void)
{
	PGconn *conn = open_database();

	work_in_children(conn);
	PQfinish(conn);
}

/* ---- one place ------------------------------------------------------------------------- */

static void replaced(void)
{
	for (volatile int i = 0; i < 2; i++) {
		PQfinish(held[0]);
		held[0] = take();
		if (i == 0) {
			ask(held[0], "SELECT pg_terminate_backend(pg_backend_pid())");
		}
	}
}

static void trail(void)
{
	for (volatile int i = 0; i < COUNT; i++) {
		held[i] = take();
	}
}

static void set(void)
{
	trail();
	use_all();
}

static void at_exit(void)
{
	atexit(finish_all);
	set();
}

static void endings(void)
{
	atexit(finish_all);
	trail();
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"threads", in_threads},  {"joined", joined},     {"children", children},
	{"inherited", inherited}, {"replaced", replaced}, {"set", set},
	{"trail", trail},         {"at_exit", at_exit},   {"endings", endings},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			modes[i].use();
			return 0;
		}
	}
	return 64;
}
