/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection of the program's own in progress, on libpq's side: begun, withheld if need
 * be, gone on with, begun anew under the same PGconn.
 *
 * Withheld: libpq is not let go on with it, so the server has an open socket and not yet
 * a session. A server hangs up on such a socket after its authentication_timeout, a
 * pooler may send an error; either is no answer to the program, which asked for nothing
 * yet, so the connection is begun anew then.
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

struct async_conn {
	struct notices opening;
	uint64_t began_ns;
	bool withheld; /* it was, and the server has not said a word since */
	/* As it was when it was noted last. */
	bool nonblocking; /* the program wants it */
	int number;       /* of the socket */
	int held_fd;      /* keeps the socket's file for its epoll registrations; -1 */
};

/*
 * Around a step in which the connection may fail: notes what libpq does not tell then, so
 * that the connection can be begun anew.
 */
void async_conn_note(struct async_conn *c, const struct session *session);
void async_conn_forget(struct async_conn *c);

/*
 * Begins it anew, with a socket of the same number, watched as the one before. False: it
 * failed at once, and PQerrorMessage says why.
 */
bool async_conn_anew(struct async_conn *c, struct session *session);

/* The withheld connection may go on. False: begin it anew. */
bool async_conn_release(struct async_conn *c, const struct session *session);

/* PQconnectPoll, which begins with session->error for errno. After a failure it can be begun
 * anew. */
PostgresPollingStatusType async_conn_poll(struct async_conn *c, const struct session *session);

/*
 * After async_conn_poll failed: true, once, if the server hung up on what was withheld:
 * begin it anew.
 */
bool async_conn_was_hung_up(struct async_conn *c);

/*
 * Ends one that was begun, on all its hosts, before anything is sent: what is left is a
 * failed connection as any other, with which another attempt can be made, but its message
 * says nothing of use.
 */
void async_conn_give_up(const struct libpq *libpq, PGconn *conn);

#endif
