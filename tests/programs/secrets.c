/* SPDX-License-Identifier: PostgreSQL */
/*
 * secrets NOTES TIMES SEED [steps]: connects as often as told, not counting where it cannot,
 * by PQconnectdb or in steps, leaves in each session, and looks for those of others.
 *
 * What happens is a line of the file NOTES at once, so that it tells of a program that was
 * killed, too: the time (CLOCK_MONOTONIC, in ns), a word, and what belongs to it:
 *
 *   begin             connects
 *   leased BACKEND    is connected, and nobody's secrets are there
 *   failed MESSAGE    is not
 *   ended BACKEND     its session was ended by the server
 *   finish BACKEND    gives it back
 *   finished BACKEND
 *
 * Exit status 3: a session was not clean, or its answer was another one's.
 */
#include "plain.h"

#include <fcntl.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static int notes;
static int in_steps;

static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
	struct timespec now;
	char line[4096];
	va_list more;
	int n;

	clock_gettime(CLOCK_MONOTONIC, &now);
	n = snprintf(line, sizeof(line), "%lld%09ld ", (long long)now.tv_sec, now.tv_nsec);
	va_start(more, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, more);
	va_end(more);
	for (char *c = line; *c != '\0'; c++) {
		*c = *c == '\n' ? ' ' : *c;
	}
	strcat(line, "\n");
	if (write(notes, line, strlen(line)) < 0) {
		exit(4);
	}
}

static void wrong(const char *what, const char *got, const char *expected)
{
	fprintf(stderr, "secrets: %s: \"%s\", not \"%s\"\n", what, got, expected);
	exit(3);
}

/* The first row of a statement; NULL: the server has ended the session. */
static PGresult *result_of(PGconn *conn, const char *statement)
{
	PGresult *result = PQexec(conn, statement);
	ExecStatusType status = PQresultStatus(result);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		return result;
	}
	if (PQstatus(conn) == CONNECTION_OK &&
	    (state == NULL || strncmp(state, "57P0", 4) != 0)) {
		wrong(statement, PQresultErrorMessage(result), "success");
	}
	PQclear(result);
	return NULL;
}

static void compare(const PGresult *result, int column, const char *expected)
{
	if (strcmp(PQgetvalue(result, 0, column), expected) != 0) {
		wrong(PQfname(result, column), PQgetvalue(result, 0, column), expected);
	}
}

/* Looks for what somebody else has left; the backend, or 0: the session has ended. */
static int look(PGconn *conn, const char *secret)
{
	static const char clean[][2][24] = {
		{"guc", ""},       {"temp_table", ""},  {"prepared", "0"},  {"locks", "0"},
		{"channels", "0"}, {"transaction", ""}, {"work_mem", "4MB"}};
	char statement[1024];
	PGresult *result;
	int backend;

	snprintf(statement, sizeof(statement),
	         "SELECT pg_backend_pid(), '%s' AS secret, current_setting('secret.of', true) "
	         "AS guc,"
	         " to_regclass('pg_temp.secret') AS temp_table,"
	         " (SELECT count(*) FROM pg_prepared_statements) AS prepared,"
	         " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
	         "  AND pid = pg_backend_pid()) AS locks,"
	         " (SELECT count(*) FROM pg_listening_channels()) AS channels,"
	         " txid_current_if_assigned() AS transaction,"
	         " current_setting('work_mem') AS work_mem",
	         secret);
	result = result_of(conn, statement);
	if (result == NULL) {
		return 0;
	}
	backend = atoi(PQgetvalue(result, 0, 0));
	if (backend != PQbackendPID(conn)) {
		wrong("PQbackendPID", "another", PQgetvalue(result, 0, 0));
	}
	compare(result, 1, secret);
	for (size_t i = 0; i < sizeof(clean) / sizeof(clean[0]); i++) {
		compare(result, PQfnumber(result, clean[i][0]), clean[i][1]);
	}
	PQclear(result);
	return backend;
}

/* Leaves secrets of some kind; 0: the session has ended. */
static int leave(PGconn *conn, const char *secret, long number)
{
	char statement[1024];
	PGresult *result;

	snprintf(statement, sizeof(statement),
	         "%sSELECT plant('%s'); CREATE TEMP TABLE secret AS SELECT '%s'::text AS text;"
	         " PREPARE secret AS SELECT '%s'; SELECT pg_advisory_lock(%ld);"
	         " SET work_mem = '%ldkB'; LISTEN secrets; %s"
	         "SELECT text, current_setting('secret.of'), current_setting('work_mem')"
	         " FROM secret",
	         number % 5 == 0 ? "BEGIN; " : "", secret, secret, secret, number,
	         1025 + number % 999, number % 11 == 0 ? "SET secret.other = '1'; " : "");
	result = result_of(conn, statement);
	if (result == NULL) {
		return 0;
	}
	compare(result, 0, secret);
	compare(result, 1, secret);
	PQclear(result);
	result = result_of(conn, number % 3 == 0 ? "SELECT pg_sleep(0.002)" : "EXECUTE secret");
	PQclear(result);
	return result != NULL;
}

/* False: the connect failed. */
static int once(long number)
{
	char secret[64];
	PGconn *conn;
	int backend;

	snprintf(secret, sizeof(secret), "%d.%ld", (int)getpid(), number);
	note("begin");
	conn = in_steps ? open_in_steps("") : PQconnectdb("");
	if (PQstatus(conn) != CONNECTION_OK) {
		note("failed %s", PQerrorMessage(conn));
		PQfinish(conn);
		return 0;
	}
	backend = look(conn, secret);
	if (backend > 0) {
		note("leased %d", backend);
	}
	if (backend == 0 || !leave(conn, secret, number)) {
		note("ended %d", PQbackendPID(conn));
	}
	note("finish %d", PQbackendPID(conn));
	PQfinish(conn);
	note("finished %d", backend);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 4 || (notes = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0) {
		return 2;
	}
	in_steps = argc > 4;
	for (long i = 0; i < atol(argv[2]);) {
		if (once(atol(argv[3]) + i)) {
			i++;
		} else {
			usleep(10000); /* sleeps because nothing tells when the server is there
			                */
		}
	}
	return 0;
}
