/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the cancel objects taken on one lease share: whether it is still open.
 *
 * A cancel object holds its own copy of the backend's address and key, and some clients keep
 * one beyond the PQfinish of its connection. Used then, it would cancel the next lease's query.
 * So it works only while its lease is open; afterwards cancelling succeeds and does nothing,
 * as with a backend that is gone.
 *
 * A cancel request that is on its way when the lease ends might reach the server after the
 * reset: that session is not lent again (cancel_scope_close tells).
 *
 * Locks: none. All but cancel_scope_join is async-signal-safe.
 */
#ifndef PQPOOL_SESSION_CANCEL_CANCEL_SCOPE_H
#define PQPOOL_SESSION_CANCEL_CANCEL_SCOPE_H

#include <stdbool.h>

struct cancel_scope;

/* A further reference to the scope in `*of`, which is made if it is NULL. NULL: no memory. */
struct cancel_scope *cancel_scope_join(struct cancel_scope **of);

/* Gives a reference up; NULL is allowed. */
void cancel_scope_leave(struct cancel_scope *scope);

/*
 * A request is about to be sent: false if the lease is over, and it must not be. Else
 * cancel_scope_sent tells that the server has done with it, once that is certain.
 */
bool cancel_scope_send(struct cancel_scope *scope);
void cancel_scope_sent(struct cancel_scope *scope);

/*
 * The lease is over, and gives its reference `*of` up: its cancel objects are inert from now
 * on. False if a request of one may still be on its way.
 */
bool cancel_scope_close(struct cancel_scope **of);

#endif
