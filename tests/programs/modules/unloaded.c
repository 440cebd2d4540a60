/* SPDX-License-Identifier: PostgreSQL */
/* A library with a connection that its exit handler finishes, when it is unloaded. */
#include <libpq-fe.h>
#include <stdlib.h>

static PGconn *conn;

static void finish(void)
{
	PQfinish(conn);
}

void open_one(void)
{
	conn = PQconnectdb("");
	atexit(finish);
}
