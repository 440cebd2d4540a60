/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed PQ* functions that cancel. A cancel object works while the lease lasts that it
 * was taken on; afterwards cancelling succeeds and does nothing.
 */
#include "acquire/conn_use.h"
#include "base/libpq/caller.h"
#include "hooks/interposed.h"
#include "session/cancel/cancel_conn.h"
#include "session/cancel/cancel_object.h"
#include "session/session.h"
#include "session/socket/kept_number.h"
#include "share/start_tape.h"

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
	struct start_tape *interrupted = start_tape;
	struct kept_number kept = kept_number;
	struct libpq_caller from;
	int done;

	start_tape_put_away();
	kept_number_put_away();
	if (!cancel_object_send(cancel, errbuf, errbufsize, &done)) {
		from = libpq_of_caller(CALLER);
		done = from.libpq != NULL ? from.libpq->PQcancel(cancel, errbuf, errbufsize)
		                          : 0;
	}
	start_tape = interrupted;
	kept_number = kept;
	return done;
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

/* ---- from libpq 17 on ------------------------------------------ */

/* Whose call it is, if that libpq has what is called. */
#define FOUND(from, function) ((from).libpq != NULL && (from).libpq->function != NULL)

/* The body of a function that hands over to `answer`, or returns `failed`. */
#define ANSWER(function, answer, failed)                                                       \
	struct libpq_caller from = libpq_of_caller(CALLER);                                    \
                                                                                               \
	return FOUND(from, function) ? answer(&from, cancelConn) : failed

ENTRY PGcancelConn *PQcancelCreate(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct cancel_scope *scope = NULL;

	if (!FOUND(from, PQcancelCreate) ||
	    (!from.inside && (conn_use_is_misuse(conn, __func__, CALLER) ||
	                      !session_cancel_scope(conn, &scope)))) {
		return NULL;
	}
	return cancel_conn_create(&from, conn, scope);
}

ENTRY int PQcancelStart(PGcancelConn *cancelConn)
{
	ANSWER(PQcancelStart, cancel_conn_start, 0);
}

ENTRY int PQcancelBlocking(PGcancelConn *cancelConn)
{
	ANSWER(PQcancelBlocking, cancel_conn_blocking, 0);
}

ENTRY PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancelConn)
{
	ANSWER(PQcancelPoll, cancel_conn_poll, PGRES_POLLING_FAILED);
}

ENTRY ConnStatusType PQcancelStatus(const PGcancelConn *cancelConn)
{
	ANSWER(PQcancelStatus, cancel_conn_status, CONNECTION_BAD);
}

ENTRY int PQcancelSocket(const PGcancelConn *cancelConn)
{
	ANSWER(PQcancelSocket, cancel_conn_socket, -1);
}

ENTRY char *PQcancelErrorMessage(const PGcancelConn *cancelConn)
{
	ANSWER(PQcancelErrorMessage, cancel_conn_error, (char *)"");
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
