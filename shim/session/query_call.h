/* SPDX-License-Identifier: PostgreSQL */
/*
 * A libpq call of the program's on a connection, from begin to end, and what it tells of the
 * lease: the statement and the transaction's state, with its time, for its activity
 * (trace/lease/activity.h), what it leaves behind for the reset.
 *
 *   query_call_begin ──► go on, and call libpq's function ──► query_call_end
 *         └──────► do not: the program has finished the connection, or it is not up yet
 *
 * libpq calls its own functions, PQexec its PQsendQuery and PQgetResult: a call that returns
 * into a libpq's code, while the program is inside another one on the connection, is let
 * through at once.
 *
 * A program may never return from a call: by longjmp, an exception, Perl's die in a signal
 * handler, the cancellation of its thread; or another stack runs on the thread before it does.
 * So nothing is remembered of the thread, only how many calls on the session have begun and not
 * ended. A session that is given back with such a call is really finished, at once, as libpq
 * would.
 *
 * Locks: LOCK_LEASE for the look-up, which the thread's own memory usually answers. Only
 * query_call_forget_unnamed waits for the server.
 */
#ifndef PQPOOL_SESSION_QUERY_CALL_H
#define PQPOOL_SESSION_QUERY_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/caller.h"
#include "session/session.h"

struct query_call {
	const struct libpq *libpq; /* to go on with */
	unsigned effects;          /* of the statement (sql/effects.h); to be handled first */
	bool stale;                /* the program has finished the connection: misuse */
	bool unready;              /* its connect is not over: session->unready */

	/* query_call.c's */
	bool entered;
	bool sends;              /* a statement */
	struct session *session; /* of the lease; NULL = the connection is on none */
};

/* Whether a statement may be harmless (sql/harmless.h), or all leave something. Once, first. */
void query_call_configure(bool judge);

/*
 * True if libpq itself makes the call, which returns to `caller`, within another call of the
 * program's or of ours: go on, with work->libpq, and do not end.
 */
bool query_call_is_within(struct query_call *work, const PGconn *conn, const void *caller);

/* The same for a function that libpq also calls from functions that are not interposed. */
bool query_call_is_whole_within(struct query_call *work, const PGconn *conn,
                                const void *caller);

/* After that: true if the call is within no call on a lease, but perhaps within a connect. */
static inline bool query_call_is_connecting(const struct query_call *work)
{
	return !work->entered && work->session == NULL;
}

/*
 * Begins any other call on `conn`, which sends `text`, or NULL. False: do not go on, and do not
 * end; the program gets what a dead connection would give. `caller` tells which libpq is meant
 * if the connection is none of ours.
 */
bool query_call_begin(struct query_call *work, PGconn *conn, const char *text,
                      const void *caller);

/*
 * The call that was begun prepares `text` under this name, or executes what was prepared
 * under it (`text` is NULL).
 */
void query_call_by_name(struct query_call *work, const char *name, const char *text);

/* A call within another one on `conn` sends `text`, or nothing. */
void query_call_note_within(const PGconn *conn, const char *text);

/* The call has no text, and may leave anything behind. */
void query_call_note_doubted(const struct query_call *work);

/* The call has no text, and waits for the server to answer what it sends. */
void query_call_note_waiting(struct query_call *work);

/* The call parses the unnamed prepared statement. */
void query_call_note_unnamed(const struct query_call *work);

/*
 * Before the program uses the unnamed prepared statement: makes the
 * server forget one that a lease before has left, by a round trip.
 */
void query_call_forget_unnamed(const struct query_call *work, PGconn *conn);

/* Before the program enters a pipeline, and after it has sent a Sync. */
void query_call_enter_pipeline(const struct query_call *work, PGconn *conn);
void query_call_note_sync(const struct query_call *work);

/*
 * Before the program leaves a pipeline: whether statements were sent that no Sync followed.
 * libpq (14 to 18) lets it leave once it has all results, also if the server was only asked to
 * flush them. These statements are then in a transaction of which PQtransactionStatus says
 * nothing, which the end of the session undoes, and which the next simple statement, as a ping,
 * would commit. After it has left the session must not be kept.
 */
bool query_call_is_unsynced(const struct query_call *work, const PGconn *conn);
void query_call_note_unsynced_end(const struct query_call *work);

/*
 * What the call waited for, or NULL: there was nothing to wait for. After an error that is not
 * the server's the session is not kept: where libpq could not wait for an answer, or not read
 * it, it goes on as if there were none, and takes it for that to the next statement, the next
 * lease's.
 */
void query_call_note_result(const struct query_call *work, const PGresult *result);

void query_call_end(struct query_call *work);

/*
 * How many calls so far, on any connection, were in signal handlers that interrupted a thread
 * with a lock of ours: no look-up is possible there.
 */
unsigned query_call_unseen(void);

/* True if a call on the session has begun and not ended. */
static inline bool query_call_is_inside(const struct session *session)
{
	return atomic_load_explicit(&session->inside, memory_order_relaxed) > 0;
}

#endif
