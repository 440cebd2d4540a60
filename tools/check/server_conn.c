/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection to a server that only reads, and never waits longer than it was told.
 *
 * It connects in steps, for two reasons: a silent server is given up in time, and the
 * error message can be asked for with its SQLSTATE, which tells a full server from other
 * refusals in whatever language the server speaks.
 */
#include "check/server_conn.h"

#include <dlfcn.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIBPQ "libpq.so.5"

/* ERRCODE_TOO_MANY_CONNECTIONS, as a verbose message has it. */
#define FULL "53300: "

#define ERROR_BYTES 1024

#define LIBPQ_CALLS(X)                                                                         \
	X(PQconnectStartParams)                                                                \
	X(PQconnectPoll)                                                                       \
	X(PQfinish)                                                                            \
	X(PQstatus)                                                                            \
	X(PQsocket)                                                                            \
	X(PQerrorMessage)                                                                      \
	X(PQsetErrorVerbosity)                                                                 \
	X(PQhost)                                                                              \
	X(PQport)                                                                              \
	X(PQsendQueryParams)                                                                   \
	X(PQconsumeInput)                                                                      \
	X(PQisBusy)                                                                            \
	X(PQgetResult)                                                                         \
	X(PQresultStatus)                                                                      \
	X(PQresultErrorMessage)                                                                \
	X(PQclear)                                                                             \
	X(PQntuples)                                                                           \
	X(PQgetisnull)                                                                         \
	X(PQgetvalue)                                                                          \
	X(PQsetNoticeProcessor)

static struct {
#define MEMBER(name) __typeof__(name) *name;
	LIBPQ_CALLS(MEMBER)
#undef MEMBER
} pq;

struct server_conn {
	PGconn *pg; /* NULL if there is no libpq */
	int64_t timeout_ms;
	char error[ERROR_BYTES];
};

static void set_error(struct server_conn *conn, const char *why)
{
	size_t len = strcspn(why, "\n");

	snprintf(conn->error, sizeof(conn->error), "%.*s", (int)len, why);
}

static bool load_libpq(struct server_conn *conn)
{
	void *handle = dlopen(LIBPQ, RTLD_NOW);

	if (handle == NULL) {
		set_error(conn, dlerror());
		return false;
	}
#define LOOK_UP(name)                                                                          \
	*(void **)&pq.name = dlsym(handle, #name);                                             \
	if (pq.name == NULL) {                                                                 \
		set_error(conn, LIBPQ " has no " #name);                                       \
		return false;                                                                  \
	}
	LIBPQ_CALLS(LOOK_UP)
#undef LOOK_UP
	return true;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the socket until `deadline`; false if that passed. */
static bool await(struct server_conn *conn, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd socket = {.fd = pq.PQsocket(conn->pg), .events = events};
		int64_t left = deadline - now_ms();

		if (left > 0 && poll(&socket, 1, (int)(left < 60000 ? left : 60000)) > 0) {
			return true;
		}
		if (left <= 0) {
			snprintf(conn->error, sizeof(conn->error),
			         "no answer from the server within %.3g s",
			         (double)conn->timeout_ms / 1000);
			return false;
		}
	}
}

static void drop_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* ---- connecting ---- */

static bool go_through_connect(struct server_conn *conn)
{
	int64_t deadline = now_ms() + conn->timeout_ms;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (pq.PQstatus(conn->pg) == CONNECTION_BAD) {
		set_error(conn, pq.PQerrorMessage(conn->pg));
		return false;
	}
	pq.PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
	while (status != PGRES_POLLING_OK) {
		if (!await(conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
		           deadline)) {
			return false;
		}
		status = pq.PQconnectPoll(conn->pg);
		if (status == PGRES_POLLING_FAILED) {
			set_error(conn, pq.PQerrorMessage(conn->pg));
			return false;
		}
	}
	pq.PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
	return true;
}

/* Takes the SQLSTATE out of "FATAL:  53300: sorry, ..."; whether it was that one. */
static bool tells_full(char *error)
{
	char *full = strstr(error, FULL);

	if (full == NULL) {
		return false;
	}
	memmove(full, full + strlen(FULL), strlen(full + strlen(FULL)) + 1);
	return true;
}

enum server_conn_outcome server_conn_open(struct server_conn **made, const char *conninfo,
                                          int64_t timeout_ms)
{
	const char *const names[] = {"dbname", "application_name", NULL};
	const char *const values[] = {conninfo, "pqpool check", NULL};
	struct server_conn *conn = calloc(1, sizeof(*conn));

	*made = conn;
	if (conn == NULL) {
		return SERVER_CONN_FAILED;
	}
	conn->timeout_ms = timeout_ms;
	if (!load_libpq(conn)) {
		return SERVER_CONN_FAILED;
	}
	conn->pg = pq.PQconnectStartParams(names, values, 1);
	if (conn->pg == NULL) {
		set_error(conn, "out of memory");
		return SERVER_CONN_FAILED;
	}
	pq.PQsetNoticeProcessor(conn->pg, drop_notice, NULL);
	if (!go_through_connect(conn)) {
		return tells_full(conn->error) ? SERVER_CONN_FULL : SERVER_CONN_FAILED;
	}
	return SERVER_CONN_OPEN;
}

void server_conn_close(struct server_conn *conn)
{
	if (conn != NULL && conn->pg != NULL) {
		pq.PQfinish(conn->pg);
	}
	free(conn);
}

const char *server_conn_error(const struct server_conn *conn)
{
	return conn != NULL ? conn->error : "out of memory";
}

const char *server_conn_host(const struct server_conn *conn)
{
	const char *host = pq.PQhost(conn->pg);

	return host != NULL ? host : "";
}

const char *server_conn_port(const struct server_conn *conn)
{
	return pq.PQport(conn->pg);
}

/* ---- asking ---- */

/* The struct is libpq's own: a name of ours for it, so that others need not know libpq. */
static PGresult *result_of(const struct page_rows *rows)
{
	return (PGresult *)(uintptr_t)rows;
}

/* The last result of what was sent; NULL if it failed, with the reason noted. */
static PGresult *collect(struct server_conn *conn, int64_t deadline)
{
	PGresult *last = NULL;

	for (;;) {
		PGresult *next;

		while (pq.PQisBusy(conn->pg)) {
			if (!await(conn, POLLIN, deadline)) {
				pq.PQclear(last);
				return NULL;
			}
			if (!pq.PQconsumeInput(conn->pg)) {
				break; /* PQgetResult tells why */
			}
		}
		next = pq.PQgetResult(conn->pg);
		if (next == NULL) {
			return last;
		}
		pq.PQclear(last);
		last = next;
	}
}

struct page_rows *server_conn_ask(struct server_conn *conn, const char *sql, int n,
                                  const char *const *values)
{
	int64_t deadline = now_ms() + conn->timeout_ms + 1000; /* statement_timeout first */
	PGresult *result;
	ExecStatusType status;

	if (!pq.PQsendQueryParams(conn->pg, sql, n, NULL, values, NULL, NULL, 0)) {
		set_error(conn, pq.PQerrorMessage(conn->pg));
		return NULL;
	}
	result = collect(conn, deadline);
	if (result == NULL) {
		return NULL;
	}
	status = pq.PQresultStatus(result);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		set_error(conn, pq.PQresultErrorMessage(result));
		pq.PQclear(result);
		return NULL;
	}
	return (struct page_rows *)result;
}

static bool do_without_rows(struct server_conn *conn, const char *sql, int n,
                            const char *const *values)
{
	struct page_rows *rows = server_conn_ask(conn, sql, n, values);

	rows_free(rows);
	return rows != NULL;
}

bool server_conn_begin(struct server_conn *conn)
{
	char timeout[32];
	const char *values[] = {timeout};

	snprintf(timeout, sizeof(timeout), "%lld", (long long)conn->timeout_ms);
	/* For this transaction only: behind a pooler the next one may be somebody else's. */
	return do_without_rows(conn, "BEGIN TRANSACTION READ ONLY", 0, NULL) &&
	       do_without_rows(conn,
	                       "SELECT pg_catalog.set_config('search_path', '', true),"
	                       " pg_catalog.set_config('statement_timeout', $1, true),"
	                       " pg_catalog.set_config('client_encoding', 'UTF8', true)",
	                       1, values);
}

bool server_conn_end(struct server_conn *conn)
{
	return do_without_rows(conn, "COMMIT", 0, NULL);
}

void rows_free(struct page_rows *rows)
{
	if (rows != NULL) {
		pq.PQclear(result_of(rows));
	}
}

int rows_count(const struct page_rows *rows)
{
	return pq.PQntuples(result_of(rows));
}

const char *rows_text(const struct page_rows *rows, int row, int column)
{
	PGresult *result = result_of(rows);

	return pq.PQgetisnull(result, row, column) ? NULL : pq.PQgetvalue(result, row, column);
}

int64_t rows_number(const struct page_rows *rows, int row, int column)
{
	const char *text = rows_text(rows, row, column);

	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

double rows_real(const struct page_rows *rows, int row, int column)
{
	const char *text = rows_text(rows, row, column);

	return text != NULL ? strtod(text, NULL) : 0;
}
