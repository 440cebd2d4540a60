/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquiring in steps: PQconnectStart and PQconnectPoll.
 *
 *   start ─► idle session ──► checking ──fit──────────────────────────► leased
 *        │                        └─dead──► replacing (same PGconn) ─┬─► leased
 *        ├─► room ──────────► opening ───────────────────────────────┘
 *        ├─► aged session ──► clearing (sees its end) ──► opening
 *        └─► full ──────────► waiting ──granted──► clearing or opening
 *                                 └─timeout──► refused
 *
 * No step blocks. While the pool is full a real connection is begun but withheld: libpq is
 * not let go on with it, so the server has no session of it yet, and PQsocket shows a
 * descriptor of ours that becomes readable when a session is granted or the time is up.
 * Whoever is granted an idle session has it closed and goes on with its own connection,
 * for the PGconn that the program holds cannot be exchanged.
 *
 * Until it is leased the entry in the table is idle and has session->handshake; PQstatus
 * and PQsocket look it up.
 *
 * A handshake belongs to the thread that drives it; the pool tells it of a grant by its
 * descriptor alone. No lock is held by any function here when libpq is called.
 */
#ifndef PQPOOL_POOL_HANDSHAKE_H
#define PQPOOL_POOL_HANDSHAKE_H

#include "base/libpq.h"
#include "pool/conninfo.h"
#include "pool/session.h"

/* PQconnectStart and PQconnectStartParams. */
PGconn *handshake_start(const struct libpq *libpq, const struct connect_call *call,
                        const void *caller);

/* PQconnectPoll: goes a step on with one of ours, else as libpq's. */
PostgresPollingStatusType handshake_poll(const struct libpq *libpq, PGconn *conn);

/* The program finishes a connection whose handshake is not over. */
void handshake_abandon(struct session *session);

/*
 * What PQstatus and PQsocket say of `conn` where libpq's own answer would be wrong: false
 * if libpq's is right.
 */
bool handshake_status(const PGconn *conn, ConnStatusType *status);
bool handshake_socket(const PGconn *conn, int *fd);

#endif
