/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire and release: the one place where identity, pool, session and lease meet.
 *
 *   connect ──► identity ──► pool ──► an idle session, checked: dead? closed, replaced
 *                              ├────► room: a session is opened in it
 *                              └────► full: wait in order of arrival, then refuse
 *   finish  ──► the lease ends ──► keep: reset on its way, back to the pool
 *                              └─► drop: really finished, with a reason
 *
 * On any doubt the connection is made by libpq itself and only tracked.
 *
 * No function here is called with a lock held, and none holds one across a call that can
 * block. `caller` is the program's return address, for the stack. errno is the caller's
 * concern (hooks keep it).
 */
#ifndef PQPOOL_ACQUIRE_ACQUIRE_H
#define PQPOOL_ACQUIRE_ACQUIRE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "key/conninfo.h"
#include "pool/drop_reason.h"

struct session;

/*
 * A connection for `call`: leased from the pool, or what libpq itself makes of it. Like
 * PQconnectdb it may return NULL or a connection whose status is CONNECTION_BAD.
 */
PGconn *acquire_connection(const struct libpq *libpq, const struct connect_call *call,
                           const void *caller);

/*
 * PQfinish. `libpq` is the one the caller means, used for connections we do not know;
 * ours are finished by the libpq that made them. NULL is allowed for both.
 */
void release_connection(const struct libpq *libpq, PGconn *conn, const void *caller);

/* PQfinish where no lock can be taken: done a moment later. False: it cannot be noted. */
bool acquire_postpone(const struct libpq *libpq, PGconn *conn, const void *caller);

/* Does what was postponed; a load where nothing was. */
void acquire_catch_up(void);

/* Before the program does to `conn` what cannot be undone: it will not be lent again. */
void acquire_taint(PGconn *conn, enum drop_reason why);

/*
 * Before a statement with these effects (effects.h) is sent on `conn`. What it leaves in
 * the session keeps that from being lent again. If it alters what sessions are made of,
 * all idle sessions of the process are closed and their end is awaited, for a second at
 * most, so that none of them makes it fail; and no session from before its lease's end,
 * idle or leased now, is lent again, so that none hides what it did.
 */
void acquire_heed(PGconn *conn, unsigned effects);

/*
 * True if `conn` was given back before and is not the program's any more; then the log
 * gets where that was, and where `function` is called on it now.
 */
COLD bool acquire_misuse(const PGconn *conn, const char *function, const void *caller);

/*
 * After the program reset a connection by PQreset or PQresetPoll, or that failed: one that is
 * leased, or on its way to be, where that is not pooled.
 */
void acquire_note_reset(PGconn *conn);

/*
 * The message of a connection that we refused, or that the program has finished; NULL if
 * `conn` is no such one.
 */
const char *acquire_refusal(const PGconn *conn);

/*
 * The program is exiting: closes all idle sessions cleanly, within a bounded time. From
 * now on connects are libpq's own and finishes are real.
 */
void acquire_shutdown(void);

/*
 * The program is about to become another one: the same, until acquire_resume says that it did
 * not. False: it is exiting, or about to by another thread; then there is nothing to resume.
 */
bool acquire_pause(void);
void acquire_resume(void);

/*
 * The program ends from a signal handler, without a farewell to anybody: sees to it that the
 * server finds nothing to complain of in the idle sessions. A second at most; no malloc, as
 * it may be in the middle of it.
 */
void acquire_leave(void);

/*
 * Around fork(), each for all locks of this floor. The child forgets the pools and closes
 * its copies of their sockets without a word to the server.
 */
void acquire_fork_prepare(void);
void acquire_fork_parent(void);
void acquire_fork_child(void);

/* Does the process that opened a session, which was inherited over a fork, still use it? */
bool acquire_owner_lives(pid_t owner);

#endif
