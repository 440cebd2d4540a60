/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program does to a connection that it has, or had: resets it, sends statements that
 * no reset undoes, uses it after PQfinish.
 *
 * Locks: none is held by a caller of anything here. errno is free to change.
 */
#ifndef PQPOOL_ACQUIRE_CONN_USE_H
#define PQPOOL_ACQUIRE_CONN_USE_H

#include <stdbool.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "pool/drop_reason.h"

/* Before the program does to `conn` what cannot be undone: it will not be lent again. */
void conn_use_taint(PGconn *conn, enum drop_reason why);

/*
 * Before a statement with these effects (sql/effects.h) is sent on `conn`. If it leaves in the
 * session what a reset does not undo, the session is not lent again. If it alters what sessions
 * are made of, all idle sessions of the process are closed, and their end awaited for a second
 * at most, as they could make it fail; and no session from before its lease's end is lent
 * again, as it would hide the change.
 */
void conn_use_effects(PGconn *conn, unsigned effects);

/*
 * True if `conn` was given back and is no longer the program's; then the place of that, and of
 * this call of `function`, are logged.
 */
COLD bool conn_use_is_misuse(const PGconn *conn, const char *function, const void *caller);

/*
 * After PQreset, or after PQresetPoll said that a reset is over: if `conn` is leased, its
 * session is another one now.
 */
void conn_use_note_reset(PGconn *conn);

/* The message of a connection that was refused, or finished before; else NULL. */
const char *conn_use_refusal(const PGconn *conn);

#endif
