/* SPDX-License-Identifier: PostgreSQL */
/*
 * The least that a preloaded pool could do: it keeps what PQfinish gives it and hands it
 * out again, whoever asks, without a look at it. What is above it is what pqpool costs.
 */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <pthread.h>

#define KEPT_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PGconn *kept[KEPT_MAX];
static int count;

PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand)
{
	static PGconn *(*next)(const char *const *, const char *const *, int);
	PGconn *conn = NULL;

	pthread_mutex_lock(&lock);
	if (count > 0) {
		conn = kept[--count];
	}
	pthread_mutex_unlock(&lock);
	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "PQconnectdbParams");
	}
	return conn != NULL ? conn : next(keywords, values, expand);
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

	pthread_mutex_lock(&lock);
	if (count < KEPT_MAX && PQstatus(conn) == CONNECTION_OK) {
		kept[count++] = conn;
		conn = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (conn != NULL) {
		if (next == NULL) {
			*(void **)&next = dlsym(RTLD_NEXT, "PQfinish");
		}
		next(conn);
	}
}
