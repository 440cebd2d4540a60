/* SPDX-License-Identifier: PostgreSQL */
/* What the server says while a connection is made. */
#include "session/opened/connect_notices.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text/strbuf.h"

/* Enough for a few small messages, and an error's first fields. */
#define PEEK_BYTES 512

static const char too_many_connections[] = "53300";

/* How long a server may take in steps, before libpq itself waits for it. */
#define PATIENCE_NS (200 * NS_PER_MS)

/* The connect that was begun last. */
static _Thread_local struct {
	const char *conninfo; /* it is about to begin: by its string, which is no other's */
	const PGconn *conn;   /* it has, and is not over: by its connection */
	struct notices *opening;
} begun;

static void note_notice(struct notices_seen *seen, const struct libpq *libpq,
                        const PGresult *result)
{
	const char *message = libpq->PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	struct strbuf t;

	strbuf_init(&t, seen->notice, sizeof(seen->notice));
	strbuf_str(&t, message != NULL ? message : "?");
}

static void count_and_pass_on(void *arg, const PGresult *result)
{
	struct notices *opening = arg;

	if (opening->notices++ == 0) {
		note_notice(&opening->seen, opening->libpq, result);
	}
	opening->receiver(opening->receiver_arg, result);
}

void notices_stand_by(struct notices *opening, const struct libpq *libpq, PGconn *conn)
{
	opening->libpq = libpq;
	opening->conn = conn;
	opening->receiver = libpq->default_receiver;
}

/* False: a receiver was set past us, and is left. */
static bool put(struct notices *opening, PQnoticeReceiver receiver, void *arg)
{
	const struct libpq *libpq = opening->libpq;
	PQnoticeReceiver now = libpq->PQsetNoticeReceiver(opening->conn, NULL, NULL);

	if (now != libpq->default_receiver && now != count_and_pass_on) {
		opening->replaced = true;
		return false;
	}
	libpq->PQsetNoticeReceiver(opening->conn, receiver, arg);
	return true;
}

void notices_attach(struct notices *opening, const struct libpq *libpq, PGconn *conn)
{
	notices_stand_by(opening, libpq, conn);
	put(opening, count_and_pass_on, opening);
}

void notices_again(struct notices *opening)
{
	opening->notices = 0;
	opening->seen = (struct notices_seen){0};
	put(opening, count_and_pass_on, opening);
}

PQnoticeReceiver notices_set_receiver(struct notices *opening, PQnoticeReceiver receiver,
                                      void *arg)
{
	PQnoticeReceiver before = opening->receiver;

	if (opening->replaced) {
		return opening->libpq->PQsetNoticeReceiver(opening->conn, receiver, arg);
	}
	if (receiver != NULL) {
		opening->receiver = receiver;
		opening->receiver_arg = arg;
	}
	return before;
}

static void note(const struct notices *opening, PGconn *conn)
{
	if (opening->noted != NULL) {
		*opening->noted = conn;
	}
}

static void note_waiting(struct notices *opening, PostgresPollingStatusType wants)
{
	void (*waiting)(void *arg) = opening->meanwhile.waiting;
	int saved_errno = errno;

	if (wants == PGRES_POLLING_READING && waiting != NULL) {
		opening->meanwhile.waiting = NULL;
		waiting(opening->meanwhile.arg);
		errno = saved_errno;
	}
}

static void note_begun(struct notices *opening, const struct libpq *libpq, PGconn *conn)
{
	int saved_errno = errno;

	note(opening, conn);
	notices_attach(opening, libpq, conn);
	if (opening->meanwhile.begun != NULL) {
		opening->meanwhile.begun(opening->meanwhile.arg, conn);
		errno = saved_errno;
	}
}

void notices_begun(const struct libpq *libpq, const char *conninfo, PGconn *conn)
{
	if (conn != NULL && conninfo != NULL && begun.conninfo == conninfo) {
		begun.conninfo = NULL;
		begun.conn = conn;
		note_begun(begun.opening, libpq, conn);
	}
}

void notices_forget(const PGconn *conn)
{
	if (begun.conn == conn) {
		begun.conn = NULL;
	}
}

/* True if that is the connection which notices_connect opens in this thread. */
static bool expects(const PGconn *conn)
{
	return conn != NULL && begun.conn == conn;
}

void notices_pass(const PGconn *conn)
{
	if (expects(conn)) {
		notices_look(begun.opening);
	}
}

void notices_passed(const PGconn *conn, PostgresPollingStatusType wants)
{
	if (expects(conn)) {
		note_waiting(begun.opening, wants);
	}
}

/* ---- errors ---- */

static void note_sqlstate(struct notices_seen *seen, const char *sqlstate)
{
	seen->error = true;
	seen->full = seen->full || strcmp(sqlstate, too_many_connections) == 0;
}

void notices_note_result(struct notices *opening, const PGresult *result)
{
	const char *sqlstate = opening->libpq->PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate != NULL) {
		note_sqlstate(&opening->seen, sqlstate);
	}
}

bool notices_got(const PGconn *conn, const PGresult *result)
{
	if (begun.conn != conn) {
		return false;
	}
	notices_note_result(begun.opening, result);
	return true;
}

/* The fields of an error, up to `end`: a letter and a string each. */
static void read_error(struct notices_seen *seen, const char *at, const char *end)
{
	const char *nul;

	while (at < end && *at != '\0' &&
	       (nul = memchr(at, '\0', (size_t)(end - at))) != NULL) {
		if (*at == PG_DIAG_SQLSTATE) {
			note_sqlstate(seen, at + 1);
		}
		at = nul + 1;
	}
}

/* Messages: a letter, and a length in four bytes that counts these. */
static void read_messages(struct notices_seen *seen, const char *at, const char *end)
{
	while (end - at > 5) {
		const unsigned char *b = (const unsigned char *)at;
		uint32_t len = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 |
		               (uint32_t)b[3] << 8 | b[4];

		if (*at == 'E') {
			read_error(seen, at + 5, end);
		}
		if (*at == 'E' || len < 4 || len >= (size_t)(end - at)) {
			return;
		}
		at += 1 + len;
	}
}

void notices_look(struct notices *opening)
{
	const struct libpq *libpq = opening->libpq;
	ConnStatusType status = libpq->PQstatus(opening->conn);
	char bytes[PEEK_BYTES];
	ssize_t n;

	if ((status == CONNECTION_AWAITING_RESPONSE || status == CONNECTION_AUTH_OK) &&
	    !libpq->PQsslInUse(opening->conn)) {
		n = recv(libpq->PQsocket(opening->conn), bytes, sizeof(bytes),
		         MSG_PEEK | MSG_DONTWAIT);
		read_messages(&opening->seen, bytes, bytes + (n > 0 ? n : 0));
	}
}

/* ---- the receiver of notices ---- */

void notices_detach(struct notices *opening)
{
	if (opening->conn == NULL || opening->detached) {
		return;
	}
	opening->detached = true;
	put(opening, opening->receiver, opening->receiver_arg);
}

/* ---- connecting ---- */

/* Until the socket is ready for the next step; false at the deadline, or if a rival has won. */
static bool wait_for_step(int fd, short events, struct notices_rival *rival,
                          uint64_t deadline_ns)
{
	struct pollfd polls[2] = {{.fd = fd, .events = events}, {.fd = -1, .events = POLLIN}};
	int ready;

	if (rival == NULL) {
		return fd_wait(fd, events, deadline_ns);
	}
	polls[1].fd = rival->fd;
	do {
		ready = poll(polls, 2, clock_ms_until(clock_monotonic_ns(), deadline_ns));
	} while (ready < 0 && errno == EINTR);
	rival->won = ready > 0 && polls[1].revents != 0;
	return ready > 0 && !rival->won;
}

/*
 * How long to wait for which host, and what to say of one that never answers, libpq alone
 * knows: a slow server is left to its PQreset, which connects as PQconnectdb does, and keeps
 * the receiver.
 */
static PGconn *connect_in_steps(struct notices *opening, const struct libpq *libpq,
                                const char *conninfo)
{
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
	PGconn *conn = libpq->PQconnectStart(conninfo);
	struct notices_rival *rival = opening->meanwhile.rival;
	uint64_t deadline_ns =
		rival != NULL ? rival->until_ns : clock_monotonic_ns() + PATIENCE_NS;

	if (conn == NULL) {
		return NULL;
	}
	note_begun(opening, libpq, conn);
	while (libpq->PQstatus(conn) != CONNECTION_BAD && wants != PGRES_POLLING_OK &&
	       wants != PGRES_POLLING_FAILED) {
		if (!wait_for_step(libpq->PQsocket(conn),
		                   wants == PGRES_POLLING_READING ? POLLIN : POLLOUT, rival,
		                   deadline_ns)) {
			if (rival == NULL || !rival->won) {
				notices_again(opening);
				libpq->PQreset(conn);
			}
			break;
		}
		notices_look(opening);
		wants = libpq->PQconnectPoll(conn);
		note_waiting(opening, wants);
	}
	notices_detach(opening);
	note(opening, NULL);
	return conn;
}

PGconn *notices_connect(struct notices *opening, const struct libpq *libpq,
                        const char *conninfo, PGconn **noted,
                        const struct notices_meanwhile *meanwhile)
{
	PGconn *conn;

	*opening = (struct notices){.noted = noted};
	if (meanwhile != NULL) {
		opening->meanwhile = *meanwhile;
	}
	if (libpq_calls_itself(libpq) || opening->meanwhile.rival != NULL) {
		return connect_in_steps(opening, libpq, conninfo);
	}
	begun.opening = opening;
	begun.conninfo = conninfo;
	conn = libpq->PQconnectdb(conninfo);
	begun.conninfo = NULL;
	notices_forget(conn);
	note(opening, NULL);
	if (conn != NULL) {
		notices_detach(opening);
	}
	if (opening->conn == NULL && conn != NULL && libpq->PQstatus(conn) == CONNECTION_OK) {
		libpq_note_calls_itself(libpq);
	}
	return conn;
}

enum drop_reason notices_verdict(const struct notices *opening)
{
	if (opening->conn == NULL || opening->replaced) {
		return DROP_CONNECT_UNSEEN;
	}
	return opening->notices > 0 ? DROP_CONNECT_NOTICE : DROP_NONE;
}
