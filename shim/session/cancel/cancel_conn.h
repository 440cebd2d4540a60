/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel objects of libpq 17 (PGcancelConn), which are sent at once or in steps.
 *
 *   ready ──start──► sending ──poll says OK──► sent
 *     │                └─ anything else: it may have arrived, or arrive yet
 *     └──start, and the lease is over──► inert: succeeds without any effect
 *
 * PQcancelReset makes it ready again. Whether it is inert is decided when it is started; one
 * that started while the lease was open goes on when that ends, and the session is not kept
 * (cancel_scope.h). An inert one shows a socket that can be written and read at once, so that a
 * program which waits for it calls PQcancelPoll.
 *
 * The program has libpq's own object, known here by its address: a later libpq may have
 * functions for it that we do not know. One that was not taken on a lease is not known, and
 * libpq's alone.
 *
 * libpq implements these functions by PQconnectPoll, PQstatus, PQfinish and the like, which are
 * interposed: see base/libpq/caller.h.
 *
 * `from` is the caller; calls of libpq itself are passed through. Locks: none. An object
 * belongs to one thread at a time, as a connection does. Fork: the child's are as they were.
 */
#ifndef PQPOOL_SESSION_CANCEL_CANCEL_CONN_H
#define PQPOOL_SESSION_CANCEL_CANCEL_CONN_H

#include "base/libpq/caller.h"
#include "session/cancel/cancel_scope.h"

/*
 * PQcancelCreate, known with `scope`, a reference that it takes over; NULL: libpq's alone. NULL
 * as libpq's, and when memory is short.
 */
PGcancelConn *cancel_conn_create(const struct libpq_caller *from, PGconn *conn,
                                 struct cancel_scope *scope);

/* Each as the function it is named after; that must be there in from->libpq. */
int cancel_conn_start(const struct libpq_caller *from, PGcancelConn *conn);
int cancel_conn_blocking(const struct libpq_caller *from, PGcancelConn *conn);
PostgresPollingStatusType cancel_conn_poll(const struct libpq_caller *from, PGcancelConn *conn);
ConnStatusType cancel_conn_status(const struct libpq_caller *from, const PGcancelConn *conn);
int cancel_conn_socket(const struct libpq_caller *from, const PGcancelConn *conn);
char *cancel_conn_error(const struct libpq_caller *from, const PGcancelConn *conn);
void cancel_conn_reset(const struct libpq_caller *from, PGcancelConn *conn);
void cancel_conn_finish(const struct libpq_caller *from, PGcancelConn *conn);

#endif
