/* SPDX-License-Identifier: PostgreSQL */
/*
 * threads cycles: each thread connects, works and finishes many times.
 * threads handover: connections are finished by another thread than the one that opened
 * them.
 */
#include "plain.h"

#include <pthread.h>

#define THREADS 6
#define CYCLES  40

static void *work(void *arg)
{
	long sum = 0;

	for (int i = 0; i < CYCLES; i++) {
		PGconn *conn = open_database();
		char query[64];

		snprintf(query, sizeof(query), "SELECT %d * %d", *(const int *)arg, i);
		sum += ask(conn, query);
		PQfinish(conn);
	}
	return (void *)sum;
}

static void cycles(void)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i + 1;
		pthread_create(&threads[i], NULL, work, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		void *sum;

		pthread_join(threads[i], &sum);
		printf("thread %d: %ld\n", i + 1, (long)sum);
	}
}

static void *finish(void *arg)
{
	PGconn *conn = arg;

	printf("%d\n", ask(conn, "SELECT 5"));
	PQfinish(conn);
	return NULL;
}

static void *open_another(void *arg)
{
	(void)arg;
	return open_database();
}

static void handover(void)
{
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		void *conn;

		pthread_create(&thread, NULL, finish, open_database());
		pthread_join(thread, NULL);
		pthread_create(&thread, NULL, open_another, NULL);
		pthread_join(thread, &conn);
		finish(conn);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "cycles") == 0) {
		cycles();
	} else if (argc == 2 && strcmp(argv[1], "handover") == 0) {
		handover();
	} else {
		return 64;
	}
	return 0;
}
