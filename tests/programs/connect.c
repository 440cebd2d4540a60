/* SPDX-License-Identifier: PostgreSQL */
/*
 * connect [--clearenv] CONNINFO...: tries each twice, and prints what libpq says of it;
 * with the option without any environment.
 */
#include "plain.h"

static const char *const names[] = {"PQconnectdb", "PQconnectdbParams", "PQsetdbLogin"};

static PGconn *try_to_connect(int way, const char *conninfo)
{
	const char *const keywords[] = {"dbname", NULL};
	const char *values[] = {conninfo, NULL};

	switch (way) {
	case 0:
		return PQconnectdb(conninfo);
	case 1:
		return PQconnectdbParams(keywords, values, 1);
	default:
		return PQsetdbLogin(NULL, NULL, NULL, NULL, conninfo, NULL, NULL);
	}
}

static void report(int way, const char *conninfo)
{
	PGconn *conn = try_to_connect(way, conninfo);

	printf("%s %s: status %d transaction %d socket %d pid %d needs password %d used %d\n%s",
	       names[way], conninfo, PQstatus(conn), PQtransactionStatus(conn),
	       PQsocket(conn) >= 0, PQbackendPID(conn) != 0, PQconnectionNeedsPassword(conn),
	       PQconnectionUsedPassword(conn), PQerrorMessage(conn));
	printf("db %s user %s host %s port %s\n", PQdb(conn), PQuser(conn), PQhost(conn),
	       PQport(conn));
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	int first = 1;

	if (argc > 1 && strcmp(argv[1], "--clearenv") == 0) {
		clearenv();
		first++;
	}
	for (int i = first; i < argc; i++) {
		for (int way = 0; way < 3; way++) {
			report(way, argv[i]);
			report(way, argv[i]);
		}
	}
	return 0;
}
