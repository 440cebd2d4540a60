/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asynchronous connects that are not pooled: libpq's alone, and followed for the report.
 *
 *   start ─► passing ──OK──► leased, as what is not pooled
 *               ├──failed──► forgotten: there is nothing left but memory
 *               └──finished, or still passing at the end: a connect that was never finished
 *
 * While it lasts the entry in the table is idle and has session->passing; the program notices
 * nothing of it. A child of a fork does not follow it.
 *
 * Locks: none of its own. A connect belongs to the thread that drives it.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_UNPOOLED_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_UNPOOLED_H

#include "acquire/lend/acquisition.h"
#include "key/conninfo.h"
#include "session/session.h"

/* PQconnectStart for an acquisition without a lender, which stays the caller's to end. */
PGconn *async_unpooled_start(const struct acquisition *a, const struct connect_call *call);

/*
 * After its last step: if `conn` is passing a lease begins, or it is forgotten, by its status.
 * False: it is not passing.
 */
bool async_unpooled_over(const PGconn *conn);

/* The program finishes the connection before. */
void async_unpooled_abandon(struct session *session);

#endif
