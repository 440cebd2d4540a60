/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel requests: the cancel objects of libpq 17, which are sent at once or in steps.
 *
 *   ready ──start──► flying ──poll says OK──► landed
 *     │                └─ anything else: it may have arrived, or arrive yet
 *     └──start, and the lease is over──► inert: succeeds, and reaches nobody
 *
 * PQcancelReset makes it ready again. Whether it is inert is decided when it is started; what
 * started while the lease was open goes on when that ends, and costs the session
 * (cancel_scope.h). An inert one shows a socket that can be written and read at once, so that a
 * program which waits for it comes by to be told that all is done.
 *
 * The object is libpq's own, and known by its address: such an object is a PGconn in libpq's
 * eyes, and a later libpq may have functions for it that we do not know. One that was not
 * taken on a lease is not known, and libpq's alone.
 *
 * In libpq these functions are made of PQconnectPoll, PQstatus, PQfinish and the like, which
 * come by us then: see base/libpq/tailcall.h.
 *
 * `from` is who calls; within libpq itself everything is passed through. Locks: none. An object
 * belongs to one thread at a time, as a connection. Fork: the child's are as they were.
 */
#ifndef PQPOOL_SESSION_CANCEL_CANCEL_CONN_H
#define PQPOOL_SESSION_CANCEL_CANCEL_CONN_H

#include "base/libpq/libpq.h"
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
