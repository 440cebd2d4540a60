/* SPDX-License-Identifier: PostgreSQL */
/*
 * The PQ* functions we answer for: those that tell of a session, or set how its results are
 * taken in. They are libpq's but while a connect of ours is in progress: the session that
 * is being checked is up already, and the program is not to see that, nor our own traffic.
 */
#include "hooks/pq_unconnected.h"

#include <stddef.h>
#include <string.h>

#include "acquire/async/async_connect.h"
#include "acquire/lend/lending.h"
#include "base/cold.h"
#include "base/libpq/caller.h"
#include "hooks/interposed.h"

#define CALLER __builtin_return_address(0)

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

/* ---- what a session says of itself ------------------------------------------------- */

ENTRY PGTransactionStatusType PQtransactionStatus(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQtransactionStatus(conn) : PQTRANS_UNKNOWN;
}

ENTRY int PQserverVersion(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQserverVersion(conn) : 0;
}

ENTRY int PQbackendPID(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQbackendPID(conn) : 0;
}

ENTRY const char *PQparameterStatus(const PGconn *conn, const char *paramName)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQparameterStatus(conn, paramName) : NULL;
}

ENTRY int PQclientEncoding(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQclientEncoding(conn) : -1;
}

ENTRY int PQconnectionUsedPassword(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQconnectionUsedPassword(conn) : 0;
}

ENTRY int PQsslInUse(PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQsslInUse(conn) : 0;
}

ENTRY const char *PQsslAttribute(PGconn *conn, const char *attribute_name)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQsslAttribute(conn, attribute_name) : NULL;
}

/* Not in every libpq. */
ENTRY int PQgssEncInUse(PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL && libpq->PQgssEncInUse != NULL ? libpq->PQgssEncInUse(conn) : 0;
}

/* ---- how results are taken in -------------------------------------------------------- */

/* Not in every libpq. */
ENTRY PGpipelineStatus PQpipelineStatus(const PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);
	bool on = false;

	if (async_pipeline(conn, &on)) {
		return on ? PQ_PIPELINE_ON : PQ_PIPELINE_OFF;
	}
	return libpq != NULL && libpq->PQpipelineStatus != NULL ? libpq->PQpipelineStatus(conn)
	                                                        : PQ_PIPELINE_OFF;
}

/* Not in every libpq. */
ENTRY int PQexitPipelineMode(PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	if (async_set_pipeline(conn, false)) {
		return 1;
	}
	return libpq != NULL && libpq->PQexitPipelineMode != NULL
	               ? libpq->PQexitPipelineMode(conn)
	               : 0;
}

/* It lasts for the query that is under way: no session is kept before that is over. */
ENTRY int PQsetSingleRowMode(PGconn *conn)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL ? libpq->PQsetSingleRowMode(conn) : 0;
}

/* As PQsetSingleRowMode. Not in every libpq. */
ENTRY int PQsetChunkedRowsMode(PGconn *conn, int chunkSize)
{
	const struct libpq *libpq = asked(conn, CALLER);

	return libpq != NULL && libpq->PQsetChunkedRowsMode != NULL
	               ? libpq->PQsetChunkedRowsMode(conn, chunkSize)
	               : 0;
}

/* ---- what fails ---------------------------------------------------------------------- */

/* NULL: it fails in silence, or does not fail. */
static const char *reason_of(const char *function)
{
	static const char silent[][20] = {"PQisBusy",   "PQconsumeInput",
	                                  "PQflush",    "PQgetResult",
	                                  "PQnotifies", "PQsetClientEncoding"};

	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		if (strcmp(function, silent[i]) == 0) {
			return NULL;
		}
	}
	if (strstr(function, "Copy") != NULL) {
		return "no COPY in progress\n";
	}
	if (strstr(function, "Sync") != NULL) {
		return "cannot send pipeline when not in pipeline mode\n";
	}
	return "no connection to the server\n";
}

COLD void unconnected_refuse(const PGconn *conn, const char *function)
{
	const char *reason = reason_of(function);

	if (reason != NULL) {
		async_fail(conn, reason);
	}
}
