/* SPDX-License-Identifier: PostgreSQL */
/*
 * A stand-in for libpq 17 in front of an older one: some of the functions that came with it,
 * made of those that were there before.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Rows come one by one, which is one of the ways in which they may come. */
int PQsetChunkedRowsMode(PGconn *conn, int chunkSize)
{
	(void)chunkSize;
	return PQsetSingleRowMode(conn);
}

/* ---- cancelling ------------------------------------------------------------------------ */

/*
 * As there a cancel object is a connection to the same server, in progress, and its functions
 * are those of a connection, which they end by calling: with the optimiser's help, by a jump.
 * What it would send is sent by the old way once the server waits for it.
 */
struct pg_cancel_conn;

static struct request {
	PGconn *conn;
	PGcancel *cancel;
	int started;
	int sent;
	int failed;
} requests[8];

static struct request *find(const void *conn)
{
	struct request *request = requests;

	while (request->conn != conn) {
		request++;
	}
	return request;
}

static PGconn *connect_again(PGconn *conn)
{
	PQconninfoOption *options = PQconninfo(conn);
	const char *keywords[64] = {NULL};
	const char *values[64] = {NULL};
	PGconn *another;
	int count = 0;

	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		keywords[count] = o->keyword;
		values[count++] = o->val;
	}
	another = PQconnectStartParams(keywords, values, 0);
	PQconninfoFree(options);
	return another;
}

struct pg_cancel_conn *PQcancelCreate(PGconn *conn)
{
	struct request *request = find(NULL);

	*request = (struct request){.conn = connect_again(conn), .cancel = PQgetCancel(conn)};
	return (struct pg_cancel_conn *)request->conn;
}

int PQcancelStart(struct pg_cancel_conn *cancel)
{
	struct request *request = find(cancel);

	if (PQstatus(request->conn) == CONNECTION_BAD || request->started) {
		request->failed = 1;
		return 0;
	}
	request->started = 1;
	return 1;
}

PostgresPollingStatusType PQcancelPoll(struct pg_cancel_conn *cancel)
{
	struct request *request = find(cancel);
	char error[256];

	if (request->failed || request->sent) {
		return request->failed ? PGRES_POLLING_FAILED : PGRES_POLLING_OK;
	}
	if (PQstatus(request->conn) != CONNECTION_AWAITING_RESPONSE) {
		return PQconnectPoll(request->conn);
	}
	request->sent = PQcancel(request->cancel, error, sizeof(error));
	return request->sent ? PGRES_POLLING_OK : PGRES_POLLING_FAILED;
}

int PQcancelBlocking(struct pg_cancel_conn *cancel)
{
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	if (!PQcancelStart(cancel)) {
		return 0;
	}
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
		wants = PQcancelPoll(cancel);
	}
	return wants == PGRES_POLLING_OK;
}

/* What it says before it is started no older libpq has a name for. */
ConnStatusType PQcancelStatus(const struct pg_cancel_conn *cancel)
{
	const struct request *request = find(cancel);

	if (request->failed || request->sent) {
		return request->failed ? CONNECTION_BAD : CONNECTION_OK;
	}
	return request->started ? PQstatus(request->conn) : CONNECTION_NEEDED;
}

int PQcancelSocket(const struct pg_cancel_conn *cancel)
{
	return PQsocket(find(cancel)->conn);
}

char *PQcancelErrorMessage(const struct pg_cancel_conn *cancel)
{
	static char nothing[] = "";
	const struct request *request = find(cancel);

	return request->sent && !request->failed ? nothing : PQerrorMessage(request->conn);
}

void PQcancelReset(struct pg_cancel_conn *cancel)
{
	struct request *request = find(cancel);

	PQresetStart(request->conn);
	request->started = 0;
	request->sent = 0;
	request->failed = 0;
}

void PQcancelFinish(struct pg_cancel_conn *cancel)
{
	struct request *request = find(cancel);

	PQfreeCancel(request->cancel);
	request->conn = NULL;
	PQfinish((PGconn *)cancel);
}
