/* SPDX-License-Identifier: PostgreSQL */
/*
 * Programs that wait for connections which only they could give back. They are for a pool
 * of a small limit; without a limit none of them fails.
 *
 *   deadlock alone      takes two, asks for a third, five times over
 *   deadlock abba A B   two threads, each of which holds one of A or B and asks for the other
 *   deadlock bystander  a thread that asks for a second one; another one gives its first
 *                       back for it, once a line comes on stdin
 *   deadlock forsaken   the same, but the other one ends instead
 *   deadlock strangers  asks for a second one, beside a thread that never uses libpq
 *   deadlock queue      ten threads one after another, who hold one for 400 ms each
 *
 * Each connect that fails is told on stdout, with the seconds it took.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CUSTOMERS 10

static pthread_barrier_t both;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static PGconn *tell(PGconn *conn, double began)
{
	if (PQstatus(conn) != CONNECTION_OK) {
		printf("failed %.3f %s", now() - began, PQerrorMessage(conn));
	}
	return conn;
}

/* Several places to take one from, so that there are several names to tell. */
PGconn *open_orders(const char *conninfo)
{
	double began = now();

	return tell(PQconnectdb(conninfo), began);
}

PGconn *open_invoices(const char *conninfo)
{
	double began = now();

	return tell(PQconnectdb(conninfo), began);
}

PGconn *open_another(const char *conninfo)
{
	double began = now();

	return tell(PQconnectdb(conninfo), began);
}

static int alone(void)
{
	PGconn *orders = open_orders("");
	PGconn *invoices = open_invoices("");
	PGconn *third;

	for (int i = 0; i < 5; i++) {
		PQfinish(open_another(""));
	}
	PQfinish(orders);
	third = open_another("");
	printf("then %s\n", PQstatus(third) == CONNECTION_OK ? "OK" : "BAD");
	PQfinish(third);
	PQfinish(invoices);
	return 0;
}

struct party {
	const char *has;
	const char *wants;
};

static void *embrace(void *arg)
{
	const struct party *party = arg;
	PGconn *one = open_orders(party->has);
	PGconn *two;

	pthread_barrier_wait(&both);
	two = open_invoices(party->wants);
	printf("%s then %s\n", party->has, PQstatus(two) == CONNECTION_OK ? "OK" : "BAD");
	PQfinish(two);
	PQfinish(one);
	return NULL;
}

static int abba(const char *a, const char *b)
{
	struct party mine = {.has = a, .wants = b};
	struct party its = {.has = b, .wants = a};
	pthread_t other;

	pthread_barrier_init(&both, NULL, 2);
	pthread_create(&other, NULL, embrace, &its);
	embrace(&mine);
	pthread_join(other, NULL);
	return 0;
}

static PGconn *first;

static void *ask_for_second(void *unused)
{
	PGconn *second;

	/* The other one has given back what it used: in a pool of one it would wait for this
	 * one. */
	pthread_barrier_wait(&both);
	first = open_orders("");
	pthread_barrier_wait(&both);
	second = open_invoices("");
	printf("then %s\n", PQstatus(second) == CONNECTION_OK ? "OK" : "BAD");
	PQfinish(second);
	return unused;
}

static void *stand_by(void *unused)
{
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	getchar();
	return unused;
}

/* The same, by a thread that uses libpq, too. */
static void *look_on(void *unused)
{
	PQfinish(open_another(""));
	return stand_by(unused);
}

static int bystander(void)
{
	pthread_t other;

	pthread_barrier_init(&both, NULL, 2);
	PQfinish(open_another(""));
	pthread_create(&other, NULL, ask_for_second, NULL);
	stand_by(NULL);
	PQfinish(first);
	pthread_join(other, NULL);
	return 0;
}

static int beside(void *(*another)(void *))
{
	pthread_t other;

	pthread_barrier_init(&both, NULL, 2);
	pthread_create(&other, NULL, another, NULL);
	ask_for_second(NULL);
	PQfinish(first);
	pthread_join(other, NULL);
	return 0;
}

static void *be_served(void *unused)
{
	PGconn *conn = open_another("");

	PQclear(PQexec(conn, "SELECT pg_sleep(0.4)"));
	PQfinish(conn);
	return unused;
}

static int queue(void)
{
	pthread_t customers[CUSTOMERS];

	for (int i = 0; i < CUSTOMERS; i++) {
		pthread_create(&customers[i], NULL, be_served, NULL);
	}
	for (int i = 0; i < CUSTOMERS; i++) {
		pthread_join(customers[i], NULL);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "alone") == 0) {
		return alone();
	}
	if (strcmp(what, "abba") == 0 && argc == 4) {
		return abba(argv[2], argv[3]);
	}
	if (strcmp(what, "bystander") == 0) {
		return bystander();
	}
	if (strcmp(what, "forsaken") == 0) {
		return beside(look_on);
	}
	if (strcmp(what, "strangers") == 0) {
		return beside(stand_by);
	}
	if (strcmp(what, "queue") == 0) {
		return queue();
	}
	return 64;
}
