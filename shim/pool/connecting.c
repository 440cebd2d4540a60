/* SPDX-License-Identifier: PostgreSQL */
/* A connection of the program's own in progress, on libpq's side. */
#include "pool/connecting.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/lock.h"

/*
 * What lies between us and the server may have forgotten a connection that was silent for
 * longer, and will not tell.
 */
#define WITHHELD_MAX_NS (20 * NS_PER_SEC)

/* Hosts, and addresses of each, that are given up one by one. */
#define ATTEMPTS_MAX 100

void connecting_note_mode(struct connecting *c, const struct session *session)
{
	if (session->libpq->PQstatus(session->conn) != CONNECTION_BAD) {
		c->nonblocking = session->libpq->PQisnonblocking(session->conn) &&
		                 !session->check.mode_is_ours;
	}
}

bool connecting_anew(struct connecting *c, struct session *session)
{
	const struct libpq *pq = session->libpq;

	lock_assert_none();
	connecting_note_mode(c, session);
	c->began_ns = clock_monotonic_ns();
	opening_again(&c->opening);
	if (pq->PQresetStart(session->conn) != 1) {
		return false;
	}
	session->check.mode_is_ours = false;
	/* The only thing of the program's that a reset takes back. */
	if (c->nonblocking) {
		pq->PQsetnonblocking(session->conn, 1);
	}
	return true;
}

bool connecting_release(struct connecting *c, const struct session *session)
{
	/* A server waits for the client to speak first: anything to read is a farewell. */
	struct pollfd p = {.fd = session->libpq->PQsocket(session->conn),
	                   .events = POLLIN | POLLRDHUP};

	if (clock_monotonic_ns() - c->began_ns > WITHHELD_MAX_NS || poll(&p, 1, 0) > 0) {
		return false;
	}
	c->withheld = true;
	return true;
}

PostgresPollingStatusType connecting_poll(struct connecting *c, const struct session *session)
{
	const struct libpq *pq = session->libpq;
	char byte;

	lock_assert_none();
	if (c->withheld &&
	    recv(pq->PQsocket(session->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		c->withheld = false;
	}
	return pq->PQconnectPoll(session->conn);
}

bool connecting_was_hung_up(struct connecting *c)
{
	bool hung_up = c->withheld;

	c->withheld = false;
	return hung_up;
}

void connecting_give_up(const struct libpq *libpq, PGconn *conn)
{
	lock_assert_none();
	for (unsigned i = 0; i < ATTEMPTS_MAX && libpq->PQstatus(conn) != CONNECTION_BAD; i++) {
		shutdown(libpq->PQsocket(conn), SHUT_RDWR);
		libpq->PQconnectPoll(conn);
	}
}
