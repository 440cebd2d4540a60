/* SPDX-License-Identifier: PostgreSQL */
/*
 * growth WHAT N TIMES: what an acquire with its release costs, in nanoseconds, when there are
 * N sessions on leases, N pools, N variables in the environment; or what a query costs, what a
 * session occupies, what a burst leaves. Prints one figure, the median of TIMES / 100
 * hundreds.
 *
 *   sessions N   N sessions are on lease beside the one that is acquired
 *   pools N      in turns from N pools
 *   waiting N    N threads want one and the same session: the cost of a hand-over
 *   environ N    with N variables more
 *   query 0      not acquire and release, but PQexec("") on one connection
 *   memory N     kilobytes of this process for each of N sessions on lease, and when idle
 *   first 0      kilobytes that this process alone has written to, after its first connect
 *   burst N      says "taken" while N sessions are on lease, "back" once none is; waits each
 *                time for a line
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HUNDRED 100

static atomic_long left;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static PGconn *open_database(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "growth: %s", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

static int ascending(const void *a, const void *b)
{
	double left_one = *(const double *)a;
	double right_one = *(const double *)b;

	return left_one < right_one ? -1 : left_one > right_one;
}

static void print_median(double *figures, long count)
{
	qsort(figures, (size_t)count, sizeof(*figures), ascending);
	printf("%.1f\n", figures[count / 2]);
}

/* Hundreds of cycles, in turns with the conninfos. */
static void measure_cycles(char **conninfos, long n, long times)
{
	long hundreds = times / HUNDRED;
	double *figures = calloc((size_t)hundreds, sizeof(*figures));

	for (long i = 0; i < n; i++) {
		PQfinish(open_database(conninfos[i]));
	}
	for (long i = 0; i < hundreds; i++) {
		uint64_t begin = now_ns();

		for (long j = 0; j < HUNDRED; j++) {
			PQfinish(open_database(conninfos[(i * HUNDRED + j) % n]));
		}
		figures[i] = (double)(now_ns() - begin) / HUNDRED;
	}
	print_median(figures, hundreds);
	free(figures);
}

static void measure_one(long times)
{
	char *conninfo = (char[]){""};

	measure_cycles(&conninfo, 1, times);
}

static void with_sessions(long n, long times)
{
	PGconn **leased = calloc((size_t)n, sizeof(PGconn *));

	for (long i = 0; i < n; i++) {
		leased[i] = open_database("");
	}
	measure_one(times);
	for (long i = 0; i < n; i++) {
		PQfinish(leased[i]);
	}
	free(leased);
}

static void with_pools(long n, long times)
{
	char **conninfos = calloc((size_t)n, sizeof(char *));

	for (long i = 0; i < n; i++) {
		conninfos[i] = malloc(48);
		snprintf(conninfos[i], 48, "application_name=pool%ld", i);
	}
	measure_cycles(conninfos, n, times);
}

static void with_environment(long n, long times)
{
	for (long i = 0; i < n; i++) {
		char name[40];

		snprintf(name, sizeof(name), "GROWTH_%ld", i);
		setenv(name, "a value of ordinary length", 1);
	}
	measure_one(times);
}

static void *take_turns(void *unused)
{
	(void)unused;
	while (atomic_fetch_sub(&left, 1) > 0) {
		PQfinish(open_database(""));
	}
	return NULL;
}

static void with_waiters(long n, long times)
{
	pthread_t *threads = calloc((size_t)n + 1, sizeof(*threads));
	uint64_t begin;

	PQfinish(open_database(""));
	atomic_store(&left, times);
	begin = now_ns();
	for (long i = 0; i <= n; i++) {
		pthread_create(&threads[i], NULL, take_turns, NULL);
	}
	for (long i = 0; i <= n; i++) {
		pthread_join(threads[i], NULL);
	}
	printf("%.1f\n", (double)(now_ns() - begin) / (double)times);
	free(threads);
}

static void query(long unused, long times)
{
	long hundreds = times / HUNDRED;
	double *figures = calloc((size_t)hundreds, sizeof(*figures));
	PGconn *conn = open_database("");

	(void)unused;
	for (long i = 0; i < hundreds; i++) {
		uint64_t begin = now_ns();

		for (long j = 0; j < HUNDRED; j++) {
			PQclear(PQexec(conn, ""));
		}
		figures[i] = (double)(now_ns() - begin) / HUNDRED;
	}
	print_median(figures, hundreds);
	PQfinish(conn);
	free(figures);
}

static long resident_kb(void)
{
	long size = 0;
	long resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%ld %ld", &size, &resident) != 2) {
		exit(1);
	}
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* What this process alone has written to. */
static long private_kb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[128];
	long kb = -1;

	while (f != NULL && kb < 0 && fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "Private_Dirty: %ld", &kb);
	}
	if (kb < 0) {
		exit(1);
	}
	fclose(f);
	return kb;
}

static void burst(long n, long unused)
{
	PGconn **leased = calloc((size_t)n, sizeof(PGconn *));

	(void)unused;
	for (long i = 0; i < n; i++) {
		leased[i] = open_database("");
	}
	puts("taken");
	fflush(stdout);
	getchar();
	for (long i = 0; i < n; i++) {
		PQfinish(leased[i]);
	}
	puts("back");
	fflush(stdout);
	getchar();
	free(leased);
}

static void first(long unused, long unused_too)
{
	PGconn *conn = open_database("");

	(void)unused;
	(void)unused_too;
	printf("%ld\n", private_kb());
	PQfinish(conn);
}

static void memory(long n, long unused)
{
	PGconn **leased = calloc((size_t)n, sizeof(PGconn *));
	long before;
	long during;

	(void)unused;
	PQfinish(open_database(""));
	before = resident_kb();
	for (long i = 0; i < n; i++) {
		leased[i] = open_database("");
	}
	during = resident_kb();
	for (long i = 0; i < n; i++) {
		PQfinish(leased[i]);
	}
	printf("%.2f %.2f\n", (double)(during - before) / (double)n,
	       (double)(resident_kb() - before) / (double)n);
	free(leased);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*measure)(long n, long times);
	} kinds[] = {
		{"sessions", with_sessions},
		{"pools", with_pools},
		{"waiting", with_waiters},
		{"environ", with_environment},
		{"query", query},
		{"memory", memory},
		{"first", first},
		{"burst", burst},
	};

	for (size_t i = 0; argc == 4 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name) == 0) {
			kinds[i].measure(atol(argv[2]), atol(argv[3]));
			return 0;
		}
	}
	fprintf(stderr, "usage: growth WHAT N TIMES\n");
	return 2;
}
