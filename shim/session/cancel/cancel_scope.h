/* SPDX-License-Identifier: PostgreSQL */
/*
 * The lease that cancel objects were taken on, as all those of one lease share it.
 *
 * A cancel object holds its own copy of the backend's address and key, and may outlive the
 * PQfinish of its connection: some clients keep one for as long as their connection
 * object lives. Used then, it would cancel the query of whoever has the session next. So
 * it works only while the lease it was taken on is open; afterwards cancelling succeeds
 * and does nothing, as it would with a backend that is gone.
 *
 * A cancel request that is on its way when the lease ends might reach the server after the
 * reset: that session is not lent again (cancel_scope_close tells).
 *
 * Locks: none but that of the look-up in cancel_scope_enter, and what follows it is
 * async-signal-safe.
 */
#ifndef PQPOOL_SESSION_CANCEL_CANCEL_SCOPE_H
#define PQPOOL_SESSION_CANCEL_CANCEL_SCOPE_H

#include <stdbool.h>

#include "base/libpq/libpq.h"

struct cancel_scope;
struct session;

/*
 * The scope of the lease on `conn`, counted; NULL if it has none, and what is taken on it may
 * be sent at any time. False if memory is short, or the connection was finished: an object for
 * it would cancel the next lease's query.
 */
bool cancel_scope_enter(PGconn *conn, struct cancel_scope **scope);

/* Gives that up; NULL is allowed. */
void cancel_scope_leave(struct cancel_scope *scope);

/*
 * A request is about to be sent: false if the lease is over, and it must not be. Else
 * cancel_scope_sent tells that the server has done with it; one of which that is not known for
 * certain is never told of.
 */
bool cancel_scope_send(struct cancel_scope *scope);
void cancel_scope_sent(struct cancel_scope *scope);

/*
 * The lease on `session` is over: its cancel objects are inert from now on. False if a
 * request of one may still be on its way.
 */
bool cancel_scope_close(struct session *session);

#endif
