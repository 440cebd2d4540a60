/* SPDX-License-Identifier: PostgreSQL */
/* One session: how it is opened and closed. */
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/thread/pid.h"
#include "session/cancel/cancel_scope.h"
#include "session/opened/connect_notices.h"
#include "session/socket/epoll_registrations.h"
#include "session/socket/idle_number.h"

/* Out of the low numbers, which programs expect and select(2) can take. */
#define END_FD_MIN 200

/*
 * A program that has closed one of its standard streams may write to its number all the same,
 * and opens what is to have it next: a session must not lie there.
 */
static bool is_stream(int fd)
{
	return fd <= STDERR_FILENO;
}

static struct session *make(const struct libpq *libpq)
{
	static atomic_uint_fast64_t last_id;
	struct session *session = calloc(1, sizeof(*session));

	if (session != NULL) {
		session->libpq = libpq;
		session->owner = pid_self();
		session->end_fd = -1;
		session->id = atomic_fetch_add(&last_id, 1) + 1;
		session->lease.session = session->id;
		session->lease.activity = &session->activity;
	}
	return session;
}

void session_note_connection(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);
	struct sockaddr address = {.sa_family = AF_UNSPEC};
	socklen_t len = sizeof(address);
	enum drop_reason unfit;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return;
	}
	/* One that connects in steps has known the descriptor: the first release looks. */
	session->calls_seen = atomic_load(&socket_options_calls) - 1;
	session->socket_dev = st.st_dev;
	session->socket_ino = st.st_ino;
	session->backend_pid = session->libpq->PQbackendPID(session->conn);
	session->opened = escaping_settings(session->libpq, session->conn);
	login_state_note(&session->login, session->libpq, session->conn);
	idle_limit_note(&session->limit, session->libpq, session->conn);
	start_settings_note(&session->settings, session->libpq, session->conn);
	unfit = target_attrs_note(&session->attrs, session->libpq, session->conn);
	unfit = is_stream(fd) ? DROP_DESCRIPTOR : unfit;
	session->taint = session->taint != DROP_NONE ? session->taint : unfit;
	getsockname(fd, &address, &len);
	session->local = address.sa_family == AF_UNIX;
	session->keepalive = (struct keepalive){0};
}

/* The calls are our own: its options are those that were looked at. */
void session_lower_keepalive(struct session *session)
{
	if (session->keepalive_s > 0 && !session->local && session->shared == NULL &&
	    keepalive_lower(&session->keepalive, session->libpq->PQsocket(session->conn),
	                    session->keepalive_s)) {
		session->calls_seen += KEEPALIVE_CALLS;
	}
}

void session_put_keepalive_back(struct session *session)
{
	keepalive_put_back(&session->keepalive, session->libpq->PQsocket(session->conn));
	session->calls_seen += KEEPALIVE_CALLS;
}

void session_note_options(struct session *session)
{
	if (session->options == NULL) {
		session->options = malloc(sizeof(*session->options));
	}
	if (session->options != NULL) {
		session->options_ino = session->socket_ino;
		socket_options_note(session->options, session->libpq->PQsocket(session->conn));
	}
}

struct session *session_adopt(const struct libpq *libpq, PGconn *conn)
{
	struct session *session = make(libpq);

	if (session != NULL) {
		session->conn = conn;
		session->lease.conn = conn;
		session_note_connection(session);
		session->proven_ns = clock_monotonic_ns();
	}
	return session;
}

struct session *session_open(const struct libpq *libpq, const char *conninfo, int error,
                             PGconn **noted, const struct notices_meanwhile *meanwhile)
{
	struct session *session = make(libpq);
	struct notices opening;

	lock_assert_none();
	if (session == NULL) {
		return NULL;
	}
	errno = error;
	session->conn = notices_connect(&opening, libpq, conninfo, noted, meanwhile);
	session->error = errno;
	session->lease.conn = session->conn;
	session->taint = notices_verdict(&opening);
	session->seen = opening.seen;
	if (session->conn != NULL) {
		session_note_connection(session);
	}
	session->proven_ns = clock_monotonic_ns();
	return session;
}

static bool is_socket_of(const struct session *session, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == session->socket_dev &&
	       st.st_ino == session->socket_ino;
}

bool session_is_ours(const struct session *session)
{
	return session->owner == pid_self() &&
	       is_socket_of(session, session->libpq->PQsocket(session->conn));
}

/* A program that wants signals of its socket gets none of our copy. */
static void silence(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_ASYNC) != 0) {
		fcntl(fd, F_SETFL, flags & ~O_ASYNC);
	}
}

/* The server waits for a statement or works on one of ours: it will read the Terminate. */
static bool is_heard(const struct session *session)
{
	const struct libpq *pq = session->libpq;

	if (pq->PQstatus(session->conn) != CONNECTION_OK) {
		return false;
	}
	switch (pq->PQtransactionStatus(session->conn)) {
	case PQTRANS_IDLE:
	case PQTRANS_INTRANS:
	case PQTRANS_INERROR:
		return true;
	case PQTRANS_ACTIVE:
		return session->flight != FLIGHT_NONE;
	default:
		return false;
	}
}

void session_finish(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);
	int copied = -1;

	lock_assert_none();
	idle_number_forget(fd);
	/* A registration with an epoll instance lasts as long as there is a copy. */
	if (fd >= 0 && is_heard(session) && session_is_ours(session) && epoll_forget(fd)) {
		session->end_fd = fcntl(fd, F_DUPFD_CLOEXEC, END_FD_MIN);
		silence(session->end_fd);
	} else if (session->shared != NULL && fd >= 0 && session_is_ours(session)) {
		copied = fcntl(fd, F_DUPFD_CLOEXEC, END_FD_MIN);
	}
	session->libpq->PQfinish(session->conn);
	session->conn = NULL;
	if (copied >= 0) {
		shutdown(copied, SHUT_RDWR);
		close(copied);
	}
}

void session_close(struct session *session)
{
	if (session->conn == NULL) {
		return;
	}
	/* Without a descriptor, as after an error, there is only memory to free. */
	if (session->libpq->PQsocket(session->conn) >= 0 && !session_is_ours(session)) {
		idle_number_forget(session->libpq->PQsocket(session->conn));
		session->conn = NULL;
		return;
	}
	session_finish(session);
}

void session_close_copy(const struct session *session)
{
	int fd = session->conn == NULL ? session->end_fd
	                               : session->libpq->PQsocket(session->conn);

	if (fd >= 0 && is_socket_of(session, fd)) {
		close(fd);
	}
}

static void forget_end(struct session *session)
{
	if (session->end_fd >= 0) {
		close(session->end_fd);
		session->end_fd = -1;
	}
}

bool session_gone(struct session *session)
{
	if (session->end_fd >= 0 && !fd_wait(session->end_fd, POLLRDHUP, 0)) {
		return false;
	}
	forget_end(session);
	return true;
}

void session_await_end(struct session *session, uint64_t deadline_ns)
{
	lock_assert_none();
	if (session->end_fd >= 0) {
		fd_wait(session->end_fd, POLLRDHUP, deadline_ns);
	}
	forget_end(session);
}

bool session_cancel_scope(const PGconn *conn, struct cancel_scope **scope)
{
	struct lease *lease;
	struct session *session;

	*scope = NULL;
	if (lock_barred() || lease_find(conn, &lease) == LEASE_UNKNOWN) {
		return true;
	}
	/* Where its connect is in progress, it is the lease to come that counts. */
	session = session_of_lease(lease);
	if (session->handshake == NULL && !lease->open) {
		return !lease_is_stale(conn);
	}
	*scope = cancel_scope_join(&session->cancels);
	return *scope != NULL;
}

bool session_lost_settings(struct session *session, const char **question)
{
	bool due = !session->check.restored && session->check.discards;

	session->check.restored = true;
	*question = NULL;
	return !due || start_settings_question(&session->settings, session->libpq,
	                                       session->conn, question);
}

void session_free(struct session *session)
{
	forget_end(session);
	cancel_scope_close(&session->cancels);
	start_settings_drop(&session->settings);
	free(session->refusal);
	free(session->options);
	free(session->spare);
	free(session->shared);
	free(session);
}

bool session_deaden(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);
	int dead = fd >= 0 ? fd_dead_socket() : -1;

	if (dead < 0) {
		return false;
	}
	idle_number_forget(fd);
	dup3(dead, fd, O_CLOEXEC);
	close(dead);
	return true;
}

void session_finish_inherited(struct session *session)
{
	lock_assert_none();
	if (session_deaden(session)) {
		session->libpq->PQfinish(session->conn);
	}
	session->conn = NULL;
}
