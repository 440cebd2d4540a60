/* SPDX-License-Identifier: PostgreSQL */
/*
 * cancels LIMIT: threads are cancelled while they connect, each of them with a connection
 * to clean up if it has got so far; the program goes on.
 *
 * Holds LIMIT connections, starts threads that connect, and waits for a line of input, by
 * which time they wait for their turn; cancels them all, joins them, and only then finishes
 * what it holds. Then threads that connect, ask and finish in turn are cancelled at any point
 * of it, in the middle of a query, too. In the end it takes LIMIT connections once more.
 */
#include "plain.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS  20
#define MAX     16

static PGconn *held[MAX];
static int limit;

static void finish(void *conn)
{
	PQfinish(*(PGconn *volatile *)conn);
}

static void *connect_once(void *arg)
{
	PGconn *volatile conn = NULL; /* in C a cleanup is a longjmp */

	pthread_cleanup_push(finish, (void *)&conn);
	conn = PQconnectdb("");
	if (PQstatus(conn) == CONNECTION_OK) {
		ask(conn, "SELECT 7");
	}
	pthread_testcancel();
	pthread_cleanup_pop(1);
	return arg;
}

static void *connect_often(void *arg)
{
	for (;;) {
		connect_once(NULL);
	}
	return arg;
}

static void hold(void)
{
	for (int i = 0; i < limit; i++) {
		held[i] = open_database();
	}
}

static void let_go(void)
{
	for (int i = 0; i < limit; i++) {
		printf("%d\n", ask(held[i], "SELECT 7"));
		PQfinish(held[i]);
	}
}

static void start(pthread_t *threads, void *(*work)(void *))
{
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&threads[i], NULL, work, NULL);
	}
}

static void cancel(const pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_cancel(threads[i]);
	}
}

static int join(const pthread_t *threads)
{
	int cancelled = 0;
	void *result;

	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		cancelled += result == PTHREAD_CANCELED;
	}
	return cancelled;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	int cancelled = 0;

	limit = argc > 1 ? atoi(argv[1]) : 1;
	hold();
	start(threads, connect_once);
	getchar();
	cancel(threads);
	printf("%d cancelled while they waited\n", join(threads));
	let_go();
	for (int i = 0; i < ROUNDS; i++) {
		start(threads, connect_often);
		PQfinish(open_database());
		cancel(threads);
		cancelled += join(threads);
	}
	printf("%d cancelled while they worked\n", cancelled);
	hold();
	let_go();
	return 0;
}
