/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed PQ* functions that tell about a session, or set how its results are read.
 *
 * They are libpq's own, except while a connect of ours is in progress: a session that is being
 * checked is up already, and the program must see neither that nor our own traffic.
 */
#include <stddef.h>

#include "acquire/async/async_answers.h"
#include "acquire/lend/lending.h"
#include "base/libpq/caller.h"
#include "hooks/interposed.h"

/* The libpq to ask about `conn`; NULL: answer as for a connection that is not up. */
static const struct libpq *asked(const PGconn *conn, const void *caller)
{
	const struct libpq *own = lending_libpq(conn);
	struct libpq_caller from;

	if (own != NULL) {
		return own;
	}
	from = libpq_of_caller(caller);
	return !from.inside && async_hides(conn) ? NULL : from.libpq;
}

/* The body of a function that asks libpq's `name`, or answers `unconnected`. */
#define ASK(name, args, unconnected)                                                           \
	const struct libpq *libpq = asked(conn, CALLER);                                       \
                                                                                               \
	return libpq != NULL ? libpq->name args : unconnected

/* The same for a function that older libpqs lack. */
#define ASK_OPTIONAL(name, args, unconnected)                                                  \
	const struct libpq *libpq = asked(conn, CALLER);                                       \
                                                                                               \
	return libpq != NULL && libpq->name != NULL ? libpq->name args : unconnected

/* ---- what it is ------------------------------------------------- */

ENTRY PGTransactionStatusType PQtransactionStatus(const PGconn *conn)
{
	ASK(PQtransactionStatus, (conn), PQTRANS_UNKNOWN);
}

ENTRY int PQserverVersion(const PGconn *conn)
{
	ASK(PQserverVersion, (conn), 0);
}

ENTRY int PQbackendPID(const PGconn *conn)
{
	ASK(PQbackendPID, (conn), 0);
}

ENTRY const char *PQparameterStatus(const PGconn *conn, const char *paramName)
{
	ASK(PQparameterStatus, (conn, paramName), NULL);
}

ENTRY int PQclientEncoding(const PGconn *conn)
{
	ASK(PQclientEncoding, (conn), -1);
}

ENTRY int PQconnectionUsedPassword(const PGconn *conn)
{
	int used = lending_used_password(conn);

	if (used >= 0) {
		return used;
	}
	ASK(PQconnectionUsedPassword, (conn), 0);
}

ENTRY int PQsslInUse(PGconn *conn)
{
	ASK(PQsslInUse, (conn), 0);
}

ENTRY const char *PQsslAttribute(PGconn *conn, const char *attribute_name)
{
	ASK(PQsslAttribute, (conn, attribute_name), NULL);
}

ENTRY int PQgssEncInUse(PGconn *conn)
{
	ASK_OPTIONAL(PQgssEncInUse, (conn), 0);
}

/* ---- how its results are read -------------------------------------------------------- */

ENTRY PGpipelineStatus PQpipelineStatus(const PGconn *conn)
{
	bool on = false;

	if (async_pipeline(conn, &on)) {
		return on ? PQ_PIPELINE_ON : PQ_PIPELINE_OFF;
	}
	ASK_OPTIONAL(PQpipelineStatus, (conn), PQ_PIPELINE_OFF);
}

/* It lasts for one query, and no session is kept before that is over. */
ENTRY int PQsetSingleRowMode(PGconn *conn)
{
	ASK(PQsetSingleRowMode, (conn), 0);
}

/* As PQsetSingleRowMode. */
ENTRY int PQsetChunkedRowsMode(PGconn *conn, int chunkSize)
{
	ASK_OPTIONAL(PQsetChunkedRowsMode, (conn, chunkSize), 0);
}
