/* SPDX-License-Identifier: PostgreSQL */
/* What the test programs say over and over: connect or die, run and print. */
#ifndef PROGRAMS_PLAIN_H
#define PROGRAMS_PLAIN_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libpq 14 brought: an older one may be the one that the program runs with. */
static inline int has_pipelines(void)
{
	return PQlibVersion() >= 140000;
}

static inline void die(const char *what, PGconn *conn)
{
	fprintf(stderr, "%s: %s", what, PQerrorMessage(conn));
	exit(99);
}

static inline PGconn *open_database(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK) {
		die("connect", conn);
	}
	return conn;
}

/* The same without a call that waits, and whatever becomes of it. */
static inline PGconn *open_in_steps(const char *conninfo)
{
	PGconn *conn = PQconnectStart(conninfo);
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	while (PQstatus(conn) != CONNECTION_BAD && wants != PGRES_POLLING_OK &&
	       wants != PGRES_POLLING_FAILED) {
		struct pollfd p = {.fd = PQsocket(conn),
		                   .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

		poll(&p, 1, -1);
		wants = PQconnectPoll(conn);
	}
	return conn;
}

/* The one number that `query` yields; -1 without. */
static inline int ask(PGconn *conn, const char *query)
{
	PGresult *result = PQexec(conn, query);
	int answer = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : -1;

	PQclear(result);
	return answer;
}

/*
 * Takes two at one place, and finishes the first: a program that finishes what it takes there,
 * and so forgets the other if it does not finish that.
 */
static inline __attribute__((always_inline)) PGconn *open_second(void)
{
	PGconn *conn = NULL;

	for (volatile int i = 0; i < 2; i++) {
		PQfinish(conn);
		conn = open_database();
	}
	return conn;
}

/* A connection from its beginning to its end, which leaves an idle session; its backend. */
static inline int touch(void)
{
	PGconn *conn = open_database();
	int pid = PQbackendPID(conn);

	if (ask(conn, "SELECT pg_backend_pid()") != pid) {
		die("touch", conn);
	}
	PQfinish(conn);
	return pid;
}

/* Prints all that a result says, and frees it. */
static inline void show(PGresult *result)
{
	printf("%s %s", PQresStatus(PQresultStatus(result)), PQcmdStatus(result));
	for (int row = 0; row < PQntuples(result); row++) {
		printf("\n ");
		for (int column = 0; column < PQnfields(result); column++) {
			printf(" %s=%s", PQfname(result, column),
			       PQgetisnull(result, row, column)
			               ? "(null)"
			               : PQgetvalue(result, row, column));
		}
	}
	printf("\n%s", PQresultErrorMessage(result));
	PQclear(result);
}

static inline void run(PGconn *conn, const char *query)
{
	show(PQexec(conn, query));
}

#endif
