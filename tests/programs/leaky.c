/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program as one finds them: it opens ten connections in two functions and
 * forgets three, at two places, each on a way out that nobody looks at. The functions
 * are not inlined, so that they have names of their own in the report.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *open_database(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "leaky: %s", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

static int ask(PGconn *conn, const char *query)
{
	PGresult *result = PQexec(conn, query);
	int answer = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : -1;

	PQclear(result);
	return answer;
}

/* Forgets its connection when there is nothing to bill. */
__attribute__((noinline)) static int bill_customer(int customer)
{
	PGconn *conn = open_database();
	char query[64];

	snprintf(query, sizeof(query), "SELECT %d %% 3", customer);
	if (ask(conn, query) == 0) {
		return 0;
	}
	PQfinish(conn);
	return 1;
}

/* Forgets its connection when the report is the last one of the month. */
__attribute__((noinline)) static int print_report(int day)
{
	PGconn *conn = open_database();

	if (ask(conn, "SELECT 1") == 1 && day == 4) {
		return 1;
	}
	PQfinish(conn);
	return 0;
}

int main(void)
{
	int billed = 0;
	int last = 0;

	for (int customer = 1; customer <= 6; customer++) {
		billed += bill_customer(customer);
	}
	for (int day = 1; day <= 4; day++) {
		last += print_report(day);
	}
	printf("billed %d customers, printed 4 reports, %d of them the month's last\n", billed,
	       last);
	return 0;
}
