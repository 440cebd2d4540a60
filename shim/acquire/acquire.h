/* SPDX-License-Identifier: PostgreSQL */
/*
 * Answers a connect that blocks: identity, pool, session and lease meet here.
 *
 *   connect ──► identity ──► pool ──► an idle session, checked: dead? closed, replaced
 *                              ├────► room: a session is opened in it
 *                              └────► full: wait in order of arrival, then refuse
 *   finish  ──► the lease ends ──► keep: reset sent, back to the pool      (release.h)
 *                              └─► drop: really finished, with a reason
 *
 * In any doubt libpq itself makes the connection, and it is only tracked. A session belongs to
 * the pool while it is idle, else to the call that holds its slot. Asynchronous connects are in
 * async/async_connect.h; what is logged and swept on the way is in lend/.
 *
 * No function of these floors is called with a lock held, and none holds one across a call that
 * can block. errno is the caller's concern (hooks keep it).
 */
#ifndef PQPOOL_ACQUIRE_ACQUIRE_H
#define PQPOOL_ACQUIRE_ACQUIRE_H

#include "base/libpq/libpq.h"
#include "key/conninfo.h"

/*
 * A connection for `call`, made from where `caller` points: leased from the pool, or what libpq
 * itself makes of it. Like PQconnectdb it may return NULL, or a connection whose status is
 * CONNECTION_BAD.
 */
PGconn *acquire_connection(const struct libpq *libpq, const struct connect_call *call,
                           const void *caller);

#endif
