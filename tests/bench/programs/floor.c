/* SPDX-License-Identifier: PostgreSQL */
/*
 * The least that a preloaded pool could do: it keeps what PQfinish gives it and hands it
 * out again, whoever asks, without a look at it. What is above it is what pqpool costs.
 *
 * FLOOR_PROVEN=1: the least that makes sessions new and proves that they live. DISCARD ALL is
 * sent by PQfinish and its answer taken in by the next connect; if it was there before that, an
 * empty query follows.
 */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define KEPT_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PGconn *kept[KEPT_MAX];
static int count;

static bool proven(void)
{
	static int known = -1;

	if (known < 0) {
		known = getenv("FLOOR_PROVEN") != NULL;
	}
	return known;
}

static void take_answer(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL) {
		PQclear(result);
	}
}

static void prove(PGconn *conn)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};
	bool early = poll(&p, 1, 0) > 0;

	take_answer(conn);
	if (early) {
		PQclear(PQexec(conn, ""));
	}
}

PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand)
{
	static PGconn *(*next)(const char *const *, const char *const *, int);
	PGconn *conn = NULL;

	pthread_mutex_lock(&lock);
	if (count > 0) {
		conn = kept[--count];
	}
	pthread_mutex_unlock(&lock);
	if (conn != NULL) {
		if (proven()) {
			prove(conn);
		}
		return conn;
	}
	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "PQconnectdbParams");
	}
	return next(keywords, values, expand);
}

PGconn *PQconnectdb(const char *conninfo)
{
	const char *keywords[] = {"dbname", NULL};
	const char *values[] = {conninfo[0] != '\0' ? conninfo : NULL, NULL};

	return PQconnectdbParams(keywords, values, 1);
}

void PQfinish(PGconn *conn)
{
	static void (*next)(PGconn *);

	if (PQstatus(conn) == CONNECTION_OK &&
	    (!proven() || PQsendQuery(conn, "DISCARD ALL"))) {
		pthread_mutex_lock(&lock);
		if (count < KEPT_MAX) {
			kept[count++] = conn;
			conn = NULL;
		}
		pthread_mutex_unlock(&lock);
	}
	if (conn != NULL) {
		if (next == NULL) {
			*(void **)&next = dlsym(RTLD_NEXT, "PQfinish");
		}
		next(conn);
	}
}
