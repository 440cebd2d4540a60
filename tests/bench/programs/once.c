/* SPDX-License-Identifier: PostgreSQL */
/*
 * once [none]: connects, asks SELECT 1, finishes and ends, as most small programs do; with
 * `none` it ends without having connected.
 */
#include <libpq-fe.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	PGconn *conn;
	PGresult *result;
	int status;

	(void)argv;
	if (argc > 1) {
		return 0;
	}
	conn = PQconnectdb("");
	result = PQexec(conn, "SELECT 1");
	status = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : 1;
	if (status != 0) {
		fprintf(stderr, "once: %s", PQerrorMessage(conn));
	}
	PQclear(result);
	PQfinish(conn);
	return status;
}
