/* SPDX-License-Identifier: PostgreSQL */
/*
 * Puts sessions into the table of leases and on leases, whether a connect blocks (acquire.c) or
 * is asynchronous (async_connect.c).
 *
 * Each session counts its lender, until discard_free().
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_LEND_LENDING_H
#define PQPOOL_ACQUIRE_LEND_LENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/acquisition.h"
#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "pool/registry.h"
#include "session/session.h"

/*
 * Enters a session into the table; it counts `lender` from now on (NULL: it is only tracked).
 * If an entry of the same address is still there, the program freed its PGconn without
 * PQfinish of ours: its slot is given back. False: out of memory.
 */
bool lending_enter(struct session *session, struct lender *lender);

/* Gives an entered session its row on the status page. */
void lending_show(struct session *session);

/* An entered session, just opened, takes the room that was reserved for it. */
void lending_admit(struct session *session, uint64_t took_ns);

/* The same for one that the keeper lent, and that was opened, and lived, at these times. */
COLD void lending_admit_lent(struct session *session, uint64_t opened_ns, uint64_t proven_ns);

/* The same as lending_admit() for one that no lease waits for: it becomes idle, or is closed if
 * it is unfit. */
COLD void lending_stock(struct session *session, uint64_t took_ns);

/* Puts an entered session on a lease of the calling thread. */
PGconn *lending_begin(const struct acquisition *a, struct session *session);

/* Puts a connection that is not pooled on a lease, for the report; if memory allows. */
void lending_track(const struct acquisition *a, PGconn *conn);

/*
 * The lease `ended`, and its session was dropped for `why` or not. If the program goes on,
 * other connections that it takes at that place are expected to be given back, too
 * (trace/lease/kept.h); but a broken one may have been given back to be replaced.
 */
void lending_note_given_back(const struct lease *ended, enum drop_reason why);

/* What PQconnectionUsedPassword says of one that the keeper lent; -1: what libpq says. */
int lending_used_password(const PGconn *conn);

/* The libpq of a connection that the program has on lease, else NULL; and for PQsocket. */
const struct libpq *lending_libpq(const PGconn *conn);
const struct libpq *lending_show_socket(const PGconn *conn);

#endif
