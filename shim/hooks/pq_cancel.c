/* SPDX-License-Identifier: PostgreSQL */
/*
 * The PQ* functions we answer for: cancelling. A cancel object works while the lease lasts that
 * it was taken on; afterwards cancelling succeeds and does nothing.
 */
#include "acquire/acquire.h"
#include "base/libpq/caller.h"
#include "hooks/interposed.h"
#include "session/cancel/cancel_conn.h"
#include "session/cancel/cancel_object.h"
#include "session/session.h"

#define CALLER __builtin_return_address(0)

/* ---- what may be used in a signal handler -------------------------------------------- */

/* PQrequestCancel calls them from within libpq, for an object that it makes and frees. */
ENTRY PGcancel *PQgetCancel(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct cancel_scope *scope;

	return from.libpq != NULL && session_cancel_scope(conn, &scope)
	               ? cancel_object_get(from.libpq, conn, scope)
	               : NULL;
}

/* As libpq's own it may be called in a signal handler. */
ENTRY int PQcancel(PGcancel *cancel, char *errbuf, int errbufsize)
{
	struct libpq_caller from;
	int done;

	if (cancel_object_send(cancel, errbuf, errbufsize, &done)) {
		return done;
	}
	from = libpq_of_caller(CALLER);
	return from.libpq != NULL ? from.libpq->PQcancel(cancel, errbuf, errbufsize) : 0;
}

ENTRY void PQfreeCancel(PGcancel *cancel)
{
	struct libpq_caller from;

	if (!cancel_object_free(cancel)) {
		from = libpq_of_caller(CALLER);
		if (from.libpq != NULL) {
			from.libpq->PQfreeCancel(cancel);
		}
	}
}

/* ---- not in every libpq: from version 17 on ------------------------------------------ */

/* Whose call it is, if that libpq has what is called. */
#define FOUND(from, function) ((from).libpq != NULL && (from).libpq->function != NULL)

ENTRY PGcancelConn *PQcancelCreate(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct cancel_scope *scope = NULL;

	if (!FOUND(from, PQcancelCreate) ||
	    (!from.inside &&
	     (acquire_misuse(conn, __func__, CALLER) || !session_cancel_scope(conn, &scope)))) {
		return NULL;
	}
	return cancel_conn_create(&from, conn, scope);
}

ENTRY int PQcancelStart(PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelStart) ? cancel_conn_start(&from, cancelConn) : 0;
}

ENTRY int PQcancelBlocking(PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelBlocking) ? cancel_conn_blocking(&from, cancelConn) : 0;
}

ENTRY PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelPoll) ? cancel_conn_poll(&from, cancelConn)
	                                 : PGRES_POLLING_FAILED;
}

ENTRY ConnStatusType PQcancelStatus(const PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelStatus) ? cancel_conn_status(&from, cancelConn)
	                                   : CONNECTION_BAD;
}

ENTRY int PQcancelSocket(const PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelSocket) ? cancel_conn_socket(&from, cancelConn) : -1;
}

ENTRY char *PQcancelErrorMessage(const PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	return FOUND(from, PQcancelErrorMessage) ? cancel_conn_error(&from, cancelConn)
	                                         : (char *)"";
}

ENTRY void PQcancelReset(PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	if (FOUND(from, PQcancelReset)) {
		cancel_conn_reset(&from, cancelConn);
	}
}

ENTRY void PQcancelFinish(PGcancelConn *cancelConn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	if (FOUND(from, PQcancelFinish)) {
		cancel_conn_finish(&from, cancelConn);
	}
}
