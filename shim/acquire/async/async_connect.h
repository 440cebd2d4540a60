/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquiring in steps: PQconnectStart and PQconnectPoll.
 *
 *   start ─► idle session ──► checking ──fit──────────────────────────► leased
 *        │                        └─dead──► (same PGconn) ─┐
 *        ├─► room ──────────► opening ◄────────────────────┘────────────► leased
 *        ├─► aged session ──► clearing (sees its end) ──► opening
 *        └─► full ──────────► waiting ──granted──► clearing or opening
 *                                 └─timeout──► refused
 *
 * No step blocks. While the pool is full a real connection is begun but withheld: libpq is
 * not let go on with it, so the server has no session of it yet, and at the number that
 * PQsocket says there is a socket of ours (shown_socket.h) that becomes readable when a session
 * is granted or the time is up. A connect that is granted an idle session has it closed and
 * goes on with its own connection, for the PGconn that the program holds cannot be exchanged.
 *
 * Until it is leased the entry in the table is idle and has session->handshake; PQstatus
 * and PQsocket look it up. To the program it is a connection that is not up yet, also where
 * libpq has one that is: whatever asks libpq about it is answered here (unready).
 *
 * Connects that are not to be pooled are async_unpooled.c's.
 *
 * A handshake belongs to the thread that drives it; the pool tells it of a grant by its
 * descriptor alone. No lock is held by any function here when libpq is called.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_CONNECT_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_CONNECT_H

#include "base/libpq/libpq.h"
#include "key/conninfo.h"
#include "session/session.h"

/* PQconnectStart and PQconnectStartParams. */
PGconn *async_start(const struct libpq *libpq, const struct connect_call *call,
                    const void *caller);

/*
 * PQconnectPoll: goes a step on with one of ours, else as libpq's. `caller` is the program's
 * return address.
 */
PostgresPollingStatusType async_poll(const struct libpq *libpq, PGconn *conn,
                                     const void *caller);

/* The program finishes a connection whose handshake is not over. */
void async_abandon(struct session *session);

/*
 * What PQstatus and PQsocket say of `conn` where libpq's own answer would be wrong: false
 * if libpq's is right.
 */
bool async_status(const PGconn *conn, ConnStatusType *status);
bool async_socket(const PGconn *conn, int *fd);

/* True while the connect is in progress. */
bool async_pending(const PGconn *conn);

/* A libpq got `result` from its own PQgetResult, which may tell why a connect fails. */
void async_got(const PGconn *conn, const PGresult *result);

/*
 * True while it is, and libpq must not be asked (session->unready): the functions are to answer
 * as libpq's do while a connect is in progress.
 */
bool async_hides(const PGconn *conn);

/* A function failed for that: PQerrorMessage says `why`, a constant, up to the next step. */
void async_fail(const PGconn *conn, const char *why);
/* What PQerrorMessage says for that; NULL: what libpq says. */
const char *async_error(const PGconn *conn);

/*
 * PQenterPipelineMode, PQexitPipelineMode and PQpipelineStatus while it is in progress: false
 * if none is. libpq allows it, but then no connect succeeds; ours goes on without.
 */
bool async_set_pipeline(const PGconn *conn, bool on);
bool async_pipeline(const PGconn *conn, bool *on);

/*
 * What the program does to a connection while its connect is in progress: false if none
 * is, and nothing was done.
 *
 * PQsetNoticeReceiver: what was there before is said, never a receiver of ours.
 */
bool async_receiver(PGconn *conn, PQnoticeReceiver receiver, void *arg,
                    PQnoticeReceiver *before);
/* PQsetNoticeProcessor. */
bool async_processor(PGconn *conn, PQnoticeProcessor processor, void *arg,
                     PQnoticeProcessor *before);
/* PQresetStart; PQresetPoll is async_poll then. */
bool async_reset_start(PGconn *conn, int *started);
/*
 * The same for one that was refused: it asks the pool again. `caller` is the program's
 * return address. False: it is no such one, or was refused in a process that forked this
 * one, and is libpq's alone.
 */
bool async_retry(PGconn *conn, const void *caller, int *started);
/* PQreset: blocks until the connect, begun anew, is over. */
bool async_reset(PGconn *conn);

/* `session`, in its handshake, will not be lent again. */
void async_taint(struct session *session, enum drop_reason why);

/* Child of a fork: the connect is the parent's. Does not allocate. */
void async_fork_child(struct session *session);

#endif
