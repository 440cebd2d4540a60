/* SPDX-License-Identifier: PostgreSQL */
/*
 * A real connection in progress, on libpq's side: withheld, polled, begun again under the same
 * PGconn.
 *
 * Withheld: libpq is not called for it, so the server has an open socket and not yet a session.
 * After its authentication_timeout a server closes such a socket, a pooler may send an error.
 * Neither is an answer to the program, which has asked nothing yet, so the connection is begun
 * again then.
 *
 * No function here blocks but where libpq does (looking up a host's name).
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_CONN_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "session/opened/connect_notices.h"
#include "session/session.h"
#include "share/start_tape.h"

struct async_conn {
	struct notices opening;
	uint64_t began_ns;
	bool withheld; /* it was, and the server has sent nothing since */
	/* As noted last: */
	bool nonblocking;        /* the program wants it */
	int number;              /* of the socket */
	struct start_tape *tape; /* that libpq's calls go through; NULL = none */
	int held_fd;             /* keeps the socket's file for its epoll registrations; -1 */
};

/* Around a step that may fail: notes what libpq forgets then, to begin the connection again. */
void async_conn_note(struct async_conn *c, const struct session *session);
void async_conn_forget(struct async_conn *c);

/*
 * Begins it again, with a socket of the same number and epoll registrations. False: it failed
 * at once, and PQerrorMessage says why.
 */
bool async_conn_again(struct async_conn *c, struct session *session);

/* The withheld connection continues. False: begin it again. */
bool async_conn_release(struct async_conn *c, const struct session *session);

/*
 * Begins it again on the session of a record, whose socket `server` stays the caller's, and
 * goes through it to its end. False: that is not possible; begin it again.
 */
COLD bool async_conn_play(struct async_conn *c, struct session *session,
                          const struct keeper_record *record, int server);

/* PQconnectPoll, with errno from session->error. After a failure it can be begun again. */
PostgresPollingStatusType async_conn_poll(struct async_conn *c, const struct session *session);

/* After async_conn_poll failed: true, once, if it was withheld too long: begin it again. */
bool async_conn_was_hung_up(struct async_conn *c);

#endif
