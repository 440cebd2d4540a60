/* SPDX-License-Identifier: PostgreSQL */
/* A real connection in progress, on libpq's side: withheld, polled, begun again. */
#include "acquire/async/async_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "session/socket/epoll_registrations.h"
#include "session/socket/kept_number.h"
#include "share/start_record.h"

/* A firewall may drop a connection that was silent for longer, and tell neither side. */
#define WITHHELD_MAX_NS (20 * NS_PER_SEC)

void async_conn_note(struct async_conn *c, const struct session *session)
{
	const struct libpq *pq = session->libpq;

	c->number = pq->PQsocket(session->conn);
	c->held_fd = -1;
	if (epoll_noted(c->number)) {
		c->held_fd = fcntl(c->number, F_DUPFD_CLOEXEC, c->number);
	}
	if (pq->PQstatus(session->conn) != CONNECTION_BAD) {
		c->nonblocking =
			pq->PQisnonblocking(session->conn) && !session->check.mode_is_ours;
	}
}

void async_conn_forget(struct async_conn *c)
{
	if (c->held_fd >= 0) {
		close(c->held_fd);
		c->held_fd = -1;
	}
}

/* PQresetStart, with the new socket at the number that the program watches. */
static bool start_again(struct async_conn *c, const struct libpq *pq, PGconn *conn)
{
	struct epoll_taken taken;
	bool started;

	epoll_take(c->number, c->held_fd >= 0 ? c->held_fd : c->number, &taken);
	async_conn_forget(c);
	kept_number_begin(pq, c->number, pq->PQsocket(conn) < 0);
	start_tape = c->tape;
	started = pq->PQresetStart(conn) == 1;
	start_tape = NULL;
	kept_number_end();
	if (started && pq->PQsocket(conn) == c->number) {
		epoll_put(c->number, &taken);
	}
	return started;
}

bool async_conn_again(struct async_conn *c, struct session *session)
{
	const struct libpq *pq = session->libpq;

	lock_assert_none();
	if (pq->PQsocket(session->conn) >= 0) {
		async_conn_forget(c);
		async_conn_note(c, session);
	}
	c->began_ns = clock_monotonic_ns();
	notices_again(&c->opening);
	if (!start_again(c, pq, session->conn)) {
		return false;
	}
	session->check.mode_is_ours = false;
	/* The only thing set by the program that a reset loses. */
	if (c->nonblocking) {
		pq->PQsetnonblocking(session->conn, 1);
	}
	return true;
}

bool async_conn_play(struct async_conn *c, struct session *session,
                     const struct keeper_record *record, int server)
{
	struct start_tape *tape = start_tape_of(session->libpq, record, server);
	bool up = false;

	c->tape = tape;
	if (tape != NULL && async_conn_again(c, session) && tape->fd >= 0) {
		start_tape = tape;
		up = start_record_go_on(tape, session->libpq, session->conn);
		start_tape = NULL;
	}
	c->tape = NULL;
	start_tape_free(tape);
	return up;
}

bool async_conn_release(struct async_conn *c, const struct session *session)
{
	/* A server waits for the client's first message: anything to read means that it gave
	 * up. */
	struct pollfd p = {.fd = session->libpq->PQsocket(session->conn),
	                   .events = POLLIN | POLLRDHUP};

	if (clock_monotonic_ns() - c->began_ns > WITHHELD_MAX_NS || poll(&p, 1, 0) > 0) {
		return false;
	}
	c->withheld = true;
	return true;
}

PostgresPollingStatusType async_conn_poll(struct async_conn *c, const struct session *session)
{
	const struct libpq *pq = session->libpq;
	PostgresPollingStatusType wants;
	char byte;

	lock_assert_none();
	async_conn_note(c, session);
	if (c->withheld &&
	    recv(pq->PQsocket(session->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		c->withheld = false;
	}
	notices_look(&c->opening);
	errno = session->error;
	start_tape = c->tape;
	wants = pq->PQconnectPoll(session->conn);
	start_tape = NULL;
	if (wants != PGRES_POLLING_FAILED) {
		async_conn_forget(c);
	}
	return wants;
}

bool async_conn_was_hung_up(struct async_conn *c)
{
	bool hung_up = c->withheld;

	c->withheld = false;
	return hung_up;
}
