/* SPDX-License-Identifier: PostgreSQL */
/*
 * One call of the program's that sends work on a connection, from its begin to its end.
 *
 *   work_begin ──► go on, and call libpq's function ──► work_end
 *         └──────► do not: the connection was finished, its session is not the program's
 *
 * It costs a look-up that is usually answered by the thread's own memory, two atomic
 * stores, and the reading of the statement's text. What is sent, and the transaction's state
 * before and after, are noted for whoever asks what the lease does (trace/lease.h).
 *
 * A call within another one on the same connection is libpq calling itself (PQexec its
 * PQsendQuery and PQgetResult) and is let through at once. A callback that leaves such a
 * call by longjmp leaves its mark behind; it is known by its place on the stack, which is
 * that of a frame long gone.
 *
 * PQfinish in one thread while another is inside a call: freeing the PGconn would pull it
 * from under that thread. So the finish is left to the call: whoever ends it gets the
 * session from work_end. A call that begins in the same instant as the finish is the
 * program's race, as without us.
 *
 * Locks: none of its own; LOCK_LEASE for the look-up. Nothing here blocks.
 */
#ifndef PQPOOL_POOL_WORK_H
#define PQPOOL_POOL_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq.h"
#include "pool/session.h"

/* What a thread is inside of. */
struct work_place {
	const void *conn; /* NULL: nothing */
	const struct libpq *libpq;
	struct session *session; /* whose lease it is; NULL = a stranger */
	const char *text;
	uintptr_t frame;
};

extern _Thread_local struct work_place work_place;

struct work {
	const struct libpq *libpq; /* to go on with */
	unsigned effects;          /* of the statement, see statement.h; to be heeded first */
	bool stale;                /* the connection was finished before: misuse */
	bool unready;              /* its connect is not over (handshake.h) */

	/* work.c's */
	bool entered;
	struct session *session; /* whose lease it is; NULL = a stranger */
	struct work_place outer; /* its frame 0: there is none */
};

/* Whether statements are to be judged by what they leave behind, or all alike. Once, first. */
void work_configure(bool judge);

/*
 * True if the call is one that libpq makes of itself, on `conn`: go on, with work->libpq,
 * and do not end. The stack grows downwards: what is called from a frame lies below it.
 */
static inline bool work_is_within(struct work *work, const PGconn *conn)
{
	work->libpq = work_place.libpq;
	work->entered = false;
	return work_place.conn == conn && (uintptr_t)work < work_place.frame;
}

/*
 * Begins any other call on `conn`, which sends `text`, or NULL. False: do not go on, and do not
 * end; the program is to get what a dead connection would give. `work` must be on the
 * stack of the calling function. `caller` tells which libpq is meant if the connection is
 * a stranger.
 */
bool work_begin(struct work *work, PGconn *conn, const char *text, const void *caller);

/*
 * The call that was begun prepares `text` under this name, or executes what was prepared
 * under it (`text` is NULL).
 */
void work_by_name(struct work *work, const char *name, const char *text);

/* A call within another one sends `text`: libpq's own is that of the call it makes it for. */
void work_note_within(const char *text);

/* The call has no text, and does work of which nothing is known. */
void work_note_doubted(const struct work *work);

/* The call parses the unnamed prepared statement. */
void work_note_unnamed(const struct work *work);

/*
 * Before the unnamed prepared statement is used, or cannot be got rid of any more: forgets one
 * that a lease before has left, by a round trip, so that the server has none.
 */
void work_forget_unnamed(const struct work *work, PGconn *conn);

/* Ends it. Not NULL: the session was finished meanwhile, and is now the caller's to drop. */
struct session *work_end(struct work *work);

/*
 * The libpq for a call that comes while a call of our own is in progress, and which is
 * none of the program's.
 */
const struct libpq *work_pass(PGconn *conn, const void *caller);

/* True if another thread is inside a call on the session. */
bool work_by_other(const struct session *session);

/* Leaves the session, finished by the program, to that thread; false: its call is over. */
bool work_leave(struct session *session);

#endif
