/* SPDX-License-Identifier: PostgreSQL */
/* An extension that is linked to a libpq: connections opened and closed, 20 times. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

int module_run(void);
int module_fail(void);
int module_keep(void);

static PGconn *kept;

static int ask(PGconn *conn)
{
	PGresult *result = PQexec(conn, "SELECT 6 * 7");
	int answer = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : -1;

	if (answer < 0) {
		printf("%s", PQerrorMessage(conn));
	}
	PQclear(result);
	return answer;
}

int module_run(void)
{
	int answer = 0;

	for (int i = 0; i < 20; i++) {
		PGconn *conn = PQconnectdb("");

		answer = ask(conn);
		PQfinish(conn);
	}
	return answer;
}

/* What this libpq calls a connection that cannot be. */
int module_fail(void)
{
	PGconn *conn = PQconnectdb("host=/nonexistent");
	int status = PQstatus(conn);

	printf("%s", PQerrorMessage(conn));
	PQfinish(conn);
	return status;
}

/* Opens one connection, and uses it the next time, and so on. */
int module_keep(void)
{
	if (kept == NULL) {
		kept = PQconnectdb("");
	}
	PQreset(kept);
	return ask(kept);
}
