/* SPDX-License-Identifier: PostgreSQL */
/* A connection of the program's own in progress, on libpq's side. */
#include "acquire/async/async_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "session/socket/epoll_registrations.h"

/*
 * What lies between us and the server may have forgotten a connection that was silent for
 * longer, and will not tell.
 */
#define WITHHELD_MAX_NS (20 * NS_PER_SEC)

/* Hosts, and addresses of each, that are given up one by one. */
#define ATTEMPTS_MAX 100

/* More free numbers below a socket's are not taken for its sake. */
#define OCCUPIED_MAX 64

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

/*
 * A socket gets the lowest number that is free: so that a new one gets `number`, which is
 * free or about to be closed, all below it are taken meanwhile. How many there are.
 */
static unsigned occupy_below(int number, int *occupied)
{
	unsigned count = 0;
	int any = number > 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

	while (any >= 0 && any < number) {
		occupied[count++] = any;
		any = count < OCCUPIED_MAX ? fcntl(any, F_DUPFD_CLOEXEC, 0) : -1;
	}
	if (any >= 0) {
		close(any);
	}
	return count;
}

/*
 * PQresetStart, with the new socket at the number of the old one, which the program goes on
 * watching. Where another thread has got that number meanwhile, PQsocket says so.
 */
static bool start_again(struct async_conn *c, const struct libpq *pq, PGconn *conn)
{
	struct epoll_taken taken;
	int occupied[OCCUPIED_MAX];
	unsigned count;
	bool started;

	epoll_take(c->number, c->held_fd >= 0 ? c->held_fd : c->number, &taken);
	async_conn_forget(c);
	count = occupy_below(c->number, occupied);
	started = pq->PQresetStart(conn) == 1;
	while (count > 0) {
		close(occupied[--count]);
	}
	if (started && pq->PQsocket(conn) == c->number) {
		epoll_put(c->number, &taken);
	}
	return started;
}

bool async_conn_anew(struct async_conn *c, struct session *session)
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
	/* The only thing of the program's that a reset takes back. */
	if (c->nonblocking) {
		pq->PQsetnonblocking(session->conn, 1);
	}
	return true;
}

bool async_conn_release(struct async_conn *c, const struct session *session)
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
	wants = pq->PQconnectPoll(session->conn);
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

void async_conn_give_up(const struct libpq *libpq, PGconn *conn)
{
	lock_assert_none();
	for (unsigned i = 0; i < ATTEMPTS_MAX && libpq->PQstatus(conn) != CONNECTION_BAD; i++) {
		shutdown(libpq->PQsocket(conn), SHUT_RDWR);
		libpq->PQconnectPoll(conn);
	}
}
