/* SPDX-License-Identifier: PostgreSQL */
/*
 * contention WHAT TIMES CONNINFO CONNINFO: two threads with a session each; linked with the
 * shim as debug builds have it.
 *
 *   trace   the threads lease in turns, so many times: the first connects and asks, then the
 *           second; the first finishes, then the second. A store to one of the words whose
 *           addresses are told says whose work follows. Tells the threads' stacks and the
 *           process's map, too. For tests/shared_lines.py.
 *   run     so many leases each, both at once; for each rank of locks (base/lock.h) how many
 * both together have taken, and how many they waited for
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"

#define THREADS 2
#define WARMUP  8 /* leases, or turns */

/* A store to one says whose work follows; to the last, that nobody's does. */
static _Alignas(64) volatile int marks[THREADS + 1];

static _Alignas(64) struct {
	sem_t semaphores[THREADS];
	char rest[64]; /* no variable behind it is in its line */
} turns;

static char **conninfos;
static long times;
static pthread_barrier_t barrier;
static struct lock_counts counts[THREADS];

static PGconn *take(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *result = PQexec(conn, "SELECT 1");

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "contention: %s", PQerrorMessage(conn));
		exit(1);
	}
	PQclear(result);
	return conn;
}

static void print_stack(void)
{
	pthread_attr_t attributes;
	void *stack;
	size_t size;

	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &stack, &size);
	pthread_attr_destroy(&attributes);
	printf("stack %p %p\n", stack, (void *)((char *)stack + size));
}

static void *lease_in_turns(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	PGconn *conn = NULL;

	sem_wait(&turns.semaphores[me]);
	print_stack();
	for (long i = 0; i < (WARMUP + times) * 2; i++) {
		marks[i < WARMUP * 2 ? THREADS : me] = 1;
		if (conn == NULL) {
			conn = take(conninfos[me]);
		} else {
			PQfinish(conn);
			conn = NULL;
		}
		marks[THREADS] = 1;
		sem_post(&turns.semaphores[(me + 1) % THREADS]);
		sem_wait(&turns.semaphores[me]);
	}
	sem_post(&turns.semaphores[(me + 1) % THREADS]);
	return NULL;
}

static void *lease_at_once(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	struct lock_counts before;

	for (long i = 0; i < WARMUP; i++) {
		PGconn *conn = take(conninfos[me]);

		pthread_barrier_wait(&barrier);
		PQfinish(conn);
	}
	pthread_barrier_wait(&barrier);
	before = *lock_counts_here();
	for (long i = 0; i < times; i++) {
		PQfinish(take(conninfos[me]));
	}
	for (int rank = 0; rank < LOCK_RANKS; rank++) {
		counts[me].taken[rank] = lock_counts_here()->taken[rank] - before.taken[rank];
		counts[me].waited[rank] =
			lock_counts_here()->waited[rank] - before.waited[rank];
	}
	return NULL;
}

static void in_threads(void *(*work)(void *))
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
}

static void trace(void)
{
	FILE *map = fopen("/proc/self/maps", "r");
	char line[512];

	for (size_t i = 0; i < THREADS + 1; i++) {
		printf("mark %p\n", (void *)(uintptr_t)&marks[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		sem_init(&turns.semaphores[i], 0, i == 0);
	}
	in_threads(lease_in_turns);
	while (map != NULL && fgets(line, sizeof(line), map) != NULL) {
		fputs(line, stdout);
	}
}

static void run(void)
{
	in_threads(lease_at_once);
	for (int rank = 0; rank < LOCK_RANKS; rank++) {
		printf("%s %llu %llu\n", lock_rank_name((enum lock_rank)rank),
		       (unsigned long long)(counts[0].taken[rank] + counts[1].taken[rank]),
		       (unsigned long long)(counts[0].waited[rank] + counts[1].waited[rank]));
	}
}

int main(int argc, char **argv)
{
	if (argc != 3 + THREADS || (times = atol(argv[2])) < 1) {
		fprintf(stderr, "usage: contention trace|run TIMES CONNINFO CONNINFO\n");
		return 2;
	}
	conninfos = argv + 3;
	if (strcmp(argv[1], "trace") == 0) {
		trace();
	} else {
		run();
	}
	return 0;
}
