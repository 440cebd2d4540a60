/* SPDX-License-Identifier: PostgreSQL */
/*
 * cycle [TIMES [STATEMENT...]]: connects as the environment says, runs the statements,
 * prints every row, and finishes, as often as told.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static void print_rows(const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		for (int column = 0; column < PQnfields(result); column++) {
			printf("%s%s", column > 0 ? "|" : "", PQgetvalue(result, row, column));
		}
		printf("\n");
	}
}

static int run(PGconn *conn, const char *statement)
{
	PGresult *result = PQexec(conn, statement);
	ExecStatusType status = PQresultStatus(result);
	int good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

	if (good) {
		print_rows(result);
	} else {
		fprintf(stderr, "cycle: %s", PQresultErrorMessage(result));
	}
	PQclear(result);
	return good;
}

static int once(char **statements, int count)
{
	PGconn *conn = PQconnectdb("");
	int good = PQstatus(conn) == CONNECTION_OK;

	if (!good) {
		fprintf(stderr, "cycle: %s", PQerrorMessage(conn));
	}
	for (int i = 0; good && i < count; i++) {
		good = run(conn, statements[i]);
	}
	PQfinish(conn);
	return good;
}

int main(int argc, char **argv)
{
	static char *usual[] = {"CREATE TEMP TABLE t AS SELECT 1 AS a", "SELECT a FROM t"};
	int times = argc > 1 ? atoi(argv[1]) : 10;
	char **statements = argc > 2 ? argv + 2 : usual;
	int count = argc > 2 ? argc - 2 : 2;

	for (int i = 0; i < times; i++) {
		if (!once(statements, count)) {
			return 1;
		}
	}
	return 0;
}
