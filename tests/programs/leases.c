/* SPDX-License-Identifier: PostgreSQL */
/*
 * leases TIMES [shown]: connects, selects something and finishes, so many times; `shown`: asks
 * for the descriptor each time, as a program with an event loop does.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int once(int shown)
{
	PGconn *conn = PQconnectdb("");
	PGresult *result = PQexec(conn, "SELECT 1");
	int good = PQresultStatus(result) == PGRES_TUPLES_OK && (!shown || PQsocket(conn) >= 0);

	PQclear(result);
	PQfinish(conn);
	return good;
}

int main(int argc, char **argv)
{
	int times = argc > 1 ? atoi(argv[1]) : 1;
	int shown = argc > 2 && strcmp(argv[2], "shown") == 0;

	for (int i = 0; i < times; i++) {
		if (!once(shown)) {
			return 1;
		}
	}
	return 0;
}
