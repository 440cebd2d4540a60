/* SPDX-License-Identifier: PostgreSQL */
/*
 * errnos CONNINFO...: what errno is after a connect that failed, by each of the ways to make
 * one, and after a PQreset; with a connection that is up, "lost" as CONNINFO: after its
 * server process is gone.
 */
#include <errno.h>
#include <poll.h>

#include "plain.h"

static void tell(const char *what, int error, const PGconn *conn)
{
	printf("%s: errno %d status %d\n", what, error, PQstatus(conn));
}

static PGconn *by_string(const char *conninfo)
{
	return PQconnectdb(conninfo);
}

static PGconn *by_params(const char *conninfo)
{
	const char *const keywords[] = {"dbname", NULL};
	const char *values[] = {conninfo, NULL};

	return PQconnectdbParams(keywords, values, 1);
}

static PGconn *by_login(const char *conninfo)
{
	return PQsetdbLogin(NULL, NULL, NULL, NULL, conninfo, NULL, NULL);
}

static void connect_by(const char *name, PGconn *(*way)(const char *conninfo),
                       const char *conninfo)
{
	PGconn *conn;
	int error;

	errno = 0;
	conn = way(conninfo);
	error = errno;
	tell(name, error, conn);
	errno = 0;
	PQreset(conn);
	error = errno;
	tell("PQreset", error, conn);
	PQfinish(conn);
}

static void wait_for(const PGconn *conn, PostgresPollingStatusType wants)
{
	struct pollfd p = {.fd = PQsocket(conn),
	                   .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

	poll(&p, 1, -1);
}

static void connect_in_steps(const char *conninfo)
{
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
	PGconn *conn;
	int error;

	errno = 0;
	conn = PQconnectStart(conninfo);
	error = errno;
	while (PQstatus(conn) != CONNECTION_BAD && wants != PGRES_POLLING_OK &&
	       wants != PGRES_POLLING_FAILED) {
		wait_for(conn, wants);
		errno = 0;
		wants = PQconnectPoll(conn);
		error = errno;
	}
	tell("in steps", error, conn);
	PQfinish(conn);
}

/* A query to a server process that is gone. */
static void lose(void)
{
	PGconn *conn = PQconnectdb("");
	PGconn *other = PQconnectdb("");
	char query[128];
	int error;

	snprintf(query, sizeof(query), "SELECT pg_terminate_backend(%d, 10000)",
	         PQbackendPID(conn));
	PQclear(PQexec(other, query));
	PQfinish(other);
	errno = 0;
	PQclear(PQexec(conn, "SELECT 1"));
	error = errno;
	tell("PQexec", error, conn);
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "lost") == 0) {
			lose();
			continue;
		}
		connect_by("PQconnectdb", by_string, argv[i]);
		connect_by("PQconnectdbParams", by_params, argv[i]);
		connect_by("PQsetdbLogin", by_login, argv[i]);
		connect_in_steps(argv[i]);
	}
	return 0;
}
