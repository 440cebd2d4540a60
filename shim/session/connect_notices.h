/* SPDX-License-Identifier: PostgreSQL */
/*
 * Seeing what the server says while a connection is made: notices, and of an error its
 * SQLSTATE.
 *
 * What a server says while a connection is made (a collation mismatch, a bad setting of
 * the role) is said once: a session that is lent again would not repeat it, so a session
 * that got a notice must not be lent again. PQconnectdb leaves no room to put a receiver
 * on the connection first. But libpq begins with its own PQconnectStart, which it calls
 * through the dynamic linker, and so through us, with the very string that we gave it: what
 * that returns gets a receiver that counts and passes on. Nothing comes in between on the
 * thread, neither a wait nor another stack. What the thread remembers then goes by the
 * connection: if another connect is begun before this one is over, less is seen of its errors.
 *
 * A libpq that was linked with -Bsymbolic never comes by. Its first connect tells: nothing
 * is known of it and its session is not lent again either. From then on its connects are
 * made in steps, as a program's own would be, and by PQreset where a server takes its time.
 *
 * libpq gives no SQLSTATE of a failed connect, and the message is in the server's language.
 * An error that comes after the authentication libpq takes in by calling its own PQgetResult,
 * which comes by us as well; one that comes before, such as that all connections are taken, is
 * seen in the socket's queue before libpq reads it, unless it is encrypted.
 */
#ifndef PQPOOL_SESSION_CONNECT_NOTICES_H
#define PQPOOL_SESSION_CONNECT_NOTICES_H

#include <stdbool.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "pool/drop_reason.h"

#define NOTICES_TEXT_MAX 120

/* What was seen. */
struct notices_seen {
	bool error;                    /* the SQLSTATE of one at least */
	bool full;                     /* one said that there are too many connections */
	char notice[NOTICES_TEXT_MAX]; /* the first one's message, or its beginning; "" = none
	                                */
};

/* One connect in progress in this thread. */
struct notices {
	const struct libpq *libpq;
	PGconn *conn; /* NULL until libpq has begun it */
	unsigned notices;
	struct notices_seen seen;
	bool detached;
	bool replaced;             /* a receiver came past us */
	PQnoticeReceiver receiver; /* what is passed on to, and put back at the end */
	void *receiver_arg;
	PGconn **noted; /* where `conn` is noted, too, while libpq connects; or NULL */
};

/*
 * A connect that blocks, seen from its beginning to its end: what libpq's PQconnectdb would
 * give, NULL if it has no memory. While it lasts, `*noted` is the connection that libpq has
 * begun, for the case that it never comes back; NULL: it is not to be noted.
 */
PGconn *notices_connect(struct notices *opening, const struct libpq *libpq,
                        const char *conninfo, PGconn **noted);

/* After the end or the detaching: may the session be lent again? */
enum drop_reason notices_verdict(const struct notices *opening);

/* Puts the receiver on a connection begun with PQconnectStart. */
COLD void notices_attach(struct notices *opening, const struct libpq *libpq, PGconn *conn);

/*
 * Only remembers the connection, for a session that is there already. When it is begun
 * anew notices_again counts from nothing.
 */
void notices_stand_by(struct notices *opening, const struct libpq *libpq, PGconn *conn);
void notices_again(struct notices *opening);

/* PQsetNoticeReceiver while it lasts: what the program sets is passed on to. */
PQnoticeReceiver notices_set_receiver(struct notices *opening, PQnoticeReceiver receiver,
                                      void *arg);

/*
 * Takes ours off again and puts on what the program wanted; must come before the opening
 * or the connection goes. More than once is once.
 */
COLD void notices_detach(struct notices *opening);

/* A libpq has itself begun `conn`, by a PQconnectStart with this string. */
void notices_begun(const struct libpq *libpq, const char *conninfo, PGconn *conn);

/* Called for each PQconnectPoll that a libpq makes of itself, in any thread. */
void notices_pass(const PGconn *conn);

/* The connect that libpq was to make of `conn` is over, and was never come back from. */
void notices_forget(const PGconn *conn);

/* To be called before each other PQconnectPoll: an error may have come. errno is lost. */
void notices_look(struct notices *opening);

/* A libpq got `result` from its own PQgetResult. False: of no connect in this thread that
 * blocks. */
bool notices_got(const PGconn *conn, const PGresult *result);
void notices_note_result(struct notices *opening, const PGresult *result);

#endif
