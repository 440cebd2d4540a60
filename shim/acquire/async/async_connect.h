/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asynchronous connects: PQconnectStart, PQconnectPoll, PQresetStart.
 *
 *   start ─► idle session ──► checking ──fit──────────────────────────► leased
 *        │                        └─dead──► (same PGconn) ─┐
 *        ├─► room ──────────► opening ◄────────────────────┘────────────► leased
 *        │    └─shared──► asking ──lent──► checking
 *        │                   ├─room, or no keeper──► opening
 *        │                   └─refused
 *        ├─► aged session ──► clearing (sees its end) ──► opening
 *        └─► full ──────────► waiting ──granted──► clearing or opening
 *                                 └─timeout──► refused
 *
 * No step blocks. While the pool is full a real connection is begun but withheld: libpq is not
 * called for it, so the server has no session yet, and PQsocket's number shows a socket of ours
 * (wakeup_socket.h) that becomes readable when a session is granted or the time is up. A
 * connect that is granted an idle session has it closed and continues with its own connection,
 * for the PGconn that the program holds cannot be exchanged. A connect that asks the keeper
 * shows such a socket, too (async_lent.h).
 *
 * Until it is leased the entry in the table is idle and has session->handshake. To the program
 * it is a connection that is not up yet, even where libpq has one that is: what it asks
 * meanwhile is answered by async_answers.h. Connects that are not to be pooled are
 * async_unpooled.c's.
 *
 * A connect belongs to the thread that drives it; the pool tells it of a grant by its
 * descriptor alone. No function here is called, or calls libpq, with a lock held.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_CONNECT_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_CONNECT_H

#include "base/libpq/libpq.h"
#include "key/conninfo.h"
#include "session/session.h"

/* PQconnectStart and PQconnectStartParams. */
PGconn *async_start(const struct libpq *libpq, const struct connect_call *call,
                    const void *caller);

/* PQconnectPoll: a step of ours, else libpq's. `caller` is the program's return address. */
PostgresPollingStatusType async_poll(const struct libpq *libpq, PGconn *conn,
                                     const void *caller);

/* The program finishes a connection whose connect is not over. */
void async_abandon(struct session *session);

/* PQresetStart while a connect is in progress, else false; PQresetPoll is async_poll then. */
bool async_reset_start(PGconn *conn, int *started);

/*
 * PQresetStart for one that was refused: it asks the pool again. False: it was not, or in a
 * process that forked this one, and is libpq's alone.
 */
bool async_retry(PGconn *conn, const void *caller, int *started);

/* PQreset while a connect is in progress, else false: blocks until it is over, begun again. */
bool async_reset(PGconn *conn);

/* The session of a connect in progress will not be lent again. */
void async_taint(struct session *session, enum drop_reason why);

/* Child of a fork: the connect is the parent's. Does not allocate. */
void async_fork_child(struct session *session);

#endif
