/* SPDX-License-Identifier: PostgreSQL */
/*
 * One call of the program's that sends work on a connection, from its begin to its end.
 *
 *   query_call_begin ──► go on, and call libpq's function ──► query_call_end
 *         └──────► do not: the connection was finished, its session is not the program's
 *
 * It costs a look-up that is usually answered by the thread's own memory, and the reading of
 * the statement's text. What is sent, and the transaction's state before and after, are noted
 * for whoever asks what the lease does (trace/lease/lease.h).
 *
 * libpq calls its own functions, PQexec its PQsendQuery and PQgetResult: a call that returns
 * into a libpq's code, while the program is inside another one on the connection, is let
 * through at once.
 *
 * A program may never come back from a call: by longjmp, an exception, Perl's die in a signal
 * handler, the cancellation of its thread; or another stack runs on the thread before it does.
 * So nothing is remembered of a thread, but of the session alone: how many calls on it have
 * begun and not ended. One that is given back with such a call, be it left for good or still
 * under way in another thread, is really finished, at once, as libpq would.
 *
 * Locks: none of its own; LOCK_LEASE for the look-up. Nothing here blocks.
 */
#ifndef PQPOOL_SESSION_QUERY_CALL_H
#define PQPOOL_SESSION_QUERY_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "session/session.h"

struct query_call {
	const struct libpq *libpq; /* to go on with */
	unsigned effects;          /* of the statement, see effects.h; to be heeded first */
	bool stale;                /* the connection was finished before: misuse */
	bool unready;              /* its connect is not over: session->unready */

	/* query_call.c's */
	bool entered;
	bool sends;              /* a statement */
	struct session *session; /* whose lease it is; NULL = a stranger */
};

/* Whether statements are to be judged by what they leave behind, or all alike. Once, first. */
void query_call_configure(bool judge);

/*
 * True if the call, which returns to `caller`, is a part of another one, of the program's or
 * of ours: go on, with work->libpq, and do not end.
 */
bool query_call_is_within(struct query_call *work, const PGconn *conn, const void *caller);

/* The same for what libpq also calls for functions of its that are not answered here. */
bool query_call_is_whole_within(struct query_call *work, const PGconn *conn,
                                const void *caller);

/* After that: true if the call is a part of no call on a lease, of a connect perhaps. */
static inline bool query_call_is_connecting(const struct query_call *work)
{
	return !work->entered && work->session == NULL;
}

/*
 * Begins any other call on `conn`, which sends `text`, or NULL. False: do not go on, and do not
 * end; the program is to get what a dead connection would give. `caller` tells which libpq is
 * meant if the connection is a stranger.
 */
bool query_call_begin(struct query_call *work, PGconn *conn, const char *text,
                      const void *caller);

/*
 * The call that was begun prepares `text` under this name, or executes what was prepared
 * under it (`text` is NULL).
 */
void query_call_by_name(struct query_call *work, const char *name, const char *text);

/* A part of a call on `conn` sends `text`, or nothing. */
void query_call_note_within(const PGconn *conn, const char *text);

/* The call has no text, and does work of which nothing is known. */
void query_call_note_doubted(const struct query_call *work);

/* The call parses the unnamed prepared statement. */
void query_call_note_unnamed(const struct query_call *work);

/*
 * Before the unnamed prepared statement is used, or cannot be got rid of any more: forgets one
 * that a lease before has left, by a round trip, so that the server has none.
 */
void query_call_forget_unnamed(const struct query_call *work, PGconn *conn);

/* Ends it. */
void query_call_end(struct query_call *work);

/*
 * How many calls there were so far, on whichever connection, in signal handlers that
 * interrupted a thread with a lock of ours: no look-up is possible there.
 */
unsigned query_call_unseen(void);

/* True if a call on the session has begun and not ended. */
bool query_call_is_inside(const struct session *session);

#endif
