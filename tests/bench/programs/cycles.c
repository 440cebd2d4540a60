/* SPDX-License-Identifier: PostgreSQL */
/*
 * cycles THREADS SECONDS STATEMENT [own]: each thread connects, runs the statement (none if
 * ""), and finishes, over and over. Prints cycles per second and the 50th, 99th and 99.9th
 * percentile of what a connect took, in microseconds. Before that each of them connects while
 * all the others are connected, so that there are as many sessions as there are threads.
 *
 * own: not by connecting anew, but from a pool of its own of the simplest kind, a mutex and a
 * list, with an empty query before each lease and DISCARD ALL after it.
 *
 * A histogram of 64 steps an octave, so that the percentiles are right within 1.6 %.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS       64
#define OCTAVES     40
#define THREADS_MAX 256

struct worker {
	pthread_t thread;
	uint64_t cycles;
	uint32_t histogram[OCTAVES * STEPS];
};

static struct worker workers[THREADS_MAX];
static atomic_bool stop;
static pthread_barrier_t connected;
static pthread_barrier_t finished;
static const char *statement;
static bool own;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PGconn *kept[THREADS_MAX];
static int kept_count;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned octave = ns < STEPS ? 0 : 63u - (unsigned)__builtin_clzll(ns) - 5;

	return octave * STEPS + (unsigned)(ns >> octave) % STEPS;
}

static double value_of(unsigned bucket)
{
	return (double)((uint64_t)(bucket % STEPS) << (bucket / STEPS)) / 1e3;
}

static void fail(PGconn *conn)
{
	fprintf(stderr, "cycles: %s", PQerrorMessage(conn));
	exit(1);
}

static void run(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
	    status != PGRES_EMPTY_QUERY) {
		fail(conn);
	}
	PQclear(result);
}

static PGconn *acquire(void)
{
	PGconn *conn = NULL;

	if (own) {
		pthread_mutex_lock(&lock);
		if (kept_count > 0) {
			conn = kept[--kept_count];
		}
		pthread_mutex_unlock(&lock);
	}
	if (conn != NULL) {
		run(conn, "");
		return conn;
	}
	conn = PQconnectdb("");
	if (PQstatus(conn) != CONNECTION_OK) {
		fail(conn);
	}
	return conn;
}

static void release(PGconn *conn)
{
	if (!own) {
		PQfinish(conn);
		return;
	}
	run(conn, "DISCARD ALL");
	pthread_mutex_lock(&lock);
	kept[kept_count++] = conn;
	pthread_mutex_unlock(&lock);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	PGconn *first = acquire();

	pthread_barrier_wait(&connected);
	release(first);
	pthread_barrier_wait(&finished);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t begin = now_ns();
		PGconn *conn = acquire();

		worker->histogram[bucket_of(now_ns() - begin)]++;
		if (statement[0] != '\0') {
			run(conn, statement);
		}
		release(conn);
		worker->cycles++;
	}
	return NULL;
}

/* By now `share` of all cycles had their connection. */
static double percentile(const uint64_t *sums, uint64_t cycles, double share)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < OCTAVES * STEPS; i++) {
		seen += sums[i];
		if ((double)seen >= share * (double)cycles) {
			return value_of(i);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static uint64_t sums[OCTAVES * STEPS];
	int threads = argc > 3 ? atoi(argv[1]) : 0;
	double seconds = argc > 3 ? atof(argv[2]) : 0;
	uint64_t cycles = 0;
	uint64_t begin;
	struct timespec pause = {.tv_sec = (time_t)seconds,
	                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	if (threads < 1 || threads > THREADS_MAX || seconds <= 0) {
		fprintf(stderr, "usage: cycles THREADS SECONDS STATEMENT [own]\n");
		return 2;
	}
	statement = argv[3];
	own = argc > 4 && strcmp(argv[4], "own") == 0;
	PQfinish(PQconnectdb(""));
	pthread_barrier_init(&connected, NULL, (unsigned)threads);
	pthread_barrier_init(&finished, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++) {
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	pthread_barrier_wait(&finished);
	begin = now_ns();
	nanosleep(&pause, NULL); /* sleeps because that is how long it is to be measured */
	atomic_store(&stop, true);
	for (int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		cycles += workers[i].cycles;
		for (int j = 0; j < OCTAVES * STEPS; j++) {
			sums[j] += workers[i].histogram[j];
		}
	}
	seconds = (double)(now_ns() - begin) / 1e9;
	printf("%.1f %.2f %.2f %.2f\n", (double)cycles / seconds, percentile(sums, cycles, 0.5),
	       percentile(sums, cycles, 0.99), percentile(sums, cycles, 0.999));
	return 0;
}
