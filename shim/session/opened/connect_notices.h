/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the server says while a connection is made: notices, and the SQLSTATE of an error.
 *
 * A notice (a collation mismatch, a bad setting of the role) is given once, at the connect: a
 * session that got one must not be lent again, as the next lease would not get it. PQconnectdb
 * gives no chance to put a receiver on the connection first. But it calls libpq's
 * PQconnectStart through the dynamic linker, and so our hook, with the very string that we gave
 * it, before anything else runs on the thread: what that returns gets a receiver that counts
 * and passes on. From then on the thread knows the connect by its connection; if another
 * connect begins before this one is over, fewer of its errors are seen.
 *
 * A libpq that was linked with -Bsymbolic does not call our hook. Its first connect shows that,
 * and the session is not lent again, for nothing is known of it. Later connects of that libpq
 * are made in steps, and by PQreset where a server is slow.
 *
 * libpq gives no SQLSTATE of a failed connect, and the message is in the server's language. It
 * reads an error that comes after the authentication by its own PQgetResult, which is
 * interposed; an earlier one, such as "too many connections", is seen in the socket's queue
 * before libpq reads it, unless it is encrypted.
 */
#ifndef PQPOOL_SESSION_OPENED_CONNECT_NOTICES_H
#define PQPOOL_SESSION_OPENED_CONNECT_NOTICES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "pool/drop_reason.h"

#define NOTICES_TEXT_MAX 120

/* What was seen. */
struct notices_seen {
	bool error;                    /* the SQLSTATE of one at least */
	bool full;                     /* too many connections */
	char notice[NOTICES_TEXT_MAX]; /* the first one's, or its beginning; "" = none */
};

/* A socket that is waited for beside the connect, until that time. */
struct notices_rival {
	int fd;
	uint64_t until_ns;
	bool won; /* something is to be read there; the connection is left half finished */
};

/*
 * What the caller does while the server starts a backend, as it need not be done before. Each
 * is called once at most, or is NULL; errno is kept, and no lock held.
 */
struct notices_meanwhile {
	/* libpq has read its options, and called connect(2); it has not waited yet. */
	void (*begun)(void *arg, PGconn *conn);
	/* The first message is with the server, which takes its time. */
	void (*waiting)(void *arg);
	void *arg;
	struct notices_rival *rival; /* or NULL */
};

/* One connect in progress in this thread. */
struct notices {
	const struct libpq *libpq;
	PGconn *conn; /* NULL until libpq has begun it */
	unsigned notices;
	struct notices_seen seen;
	bool detached;
	bool replaced;             /* a receiver was set past us */
	PQnoticeReceiver receiver; /* what is passed on to, and put back at the end */
	void *receiver_arg;
	struct notices_meanwhile meanwhile;
	PGconn **noted; /* where `conn` is noted, too, while libpq connects; or NULL */
};

/*
 * A connect that blocks: what libpq's PQconnectdb would give, NULL if it has no memory. While
 * it lasts, `*noted`, unless `noted` is NULL, is the connection that libpq has begun, in case
 * the call never returns. What is to be done `meanwhile`, unless that is NULL, is not done
 * where the first connect of a libpq shows that it calls itself, nor `waiting` if it fails
 * early. With a rival the connect is made in steps.
 */
PGconn *notices_connect(struct notices *opening, const struct libpq *libpq,
                        const char *conninfo, PGconn **noted,
                        const struct notices_meanwhile *meanwhile);

/* After the end or the detaching: may the session be lent again? */
enum drop_reason notices_verdict(const struct notices *opening);

/* Puts the receiver on a connection begun with PQconnectStart. */
COLD void notices_attach(struct notices *opening, const struct libpq *libpq, PGconn *conn);

/*
 * Only remembers the connection, for a session that is there already. notices_again, when the
 * connect is begun again, puts the receiver on and counts from zero.
 */
void notices_stand_by(struct notices *opening, const struct libpq *libpq, PGconn *conn);
void notices_again(struct notices *opening);

/* PQsetNoticeReceiver while it lasts: notices are passed on to what the program sets. */
PQnoticeReceiver notices_set_receiver(struct notices *opening, PQnoticeReceiver receiver,
                                      void *arg);

/*
 * Puts what the program wanted in place of ours; before `opening` or the connection is freed.
 * May be called more than once.
 */
COLD void notices_detach(struct notices *opening);

/* A libpq has itself begun `conn`, by a PQconnectStart with this string. */
void notices_begun(const struct libpq *libpq, const char *conninfo, PGconn *conn);

/* Called for each PQconnectPoll that a libpq makes of itself, in any thread. */
void notices_pass(const PGconn *conn);

/* The same after one of them: what it `wants` now. */
void notices_passed(const PGconn *conn, PostgresPollingStatusType wants);

/* The call that was to connect `conn` will never return. */
void notices_forget(const PGconn *conn);

/* To be called before each other PQconnectPoll: an error may have come. Changes errno. */
void notices_look(struct notices *opening);

/*
 * A libpq got `result` from its own PQgetResult. False: `conn` is not being connected by a call
 * that blocks in this thread.
 */
bool notices_got(const PGconn *conn, const PGresult *result);
void notices_note_result(struct notices *opening, const PGresult *result);

#endif
