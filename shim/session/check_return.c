/* SPDX-License-Identifier: PostgreSQL */
/* What a program may have done to a connection that it gives back. */
#include "session/check_return.h"

#include <fcntl.h>

#include "base/lock.h"
#include "session/cancel/cancel_scope.h"
#include "session/query_call.h"
#include "session/socket/epoll_registrations.h"

/* The program may have changed how the descriptor behaves; libpq sets both flags. */
static bool flags_are_libpqs(int fd)
{
	int status = fcntl(fd, F_GETFL);
	int descriptor = fcntl(fd, F_GETFD);

	return status >= 0 && (status & (O_NONBLOCK | O_ASYNC)) == O_NONBLOCK &&
	       descriptor >= 0 && (descriptor & FD_CLOEXEC) != 0;
}

static bool socket_is_as_before(struct session *session)
{
	int fd = session->libpq->PQsocket(session->conn);
	bool shown = session->socket_shown;

	session->socket_shown = false;
	return !shown ||
	       (session_is_ours(session) && session->options_ino == session->socket_ino &&
	        socket_options_put_back(session->options, fd));
}

enum drop_reason check_returned(struct session *session, const struct lease *ended)
{
	const struct libpq *pq = session->libpq;
	PGconn *conn = session->conn;

	lock_assert_none();
	if (!cancel_scope_close(&session->cancels)) {
		return DROP_CANCEL_UNDER_WAY;
	}
	if (session->taint != DROP_NONE) {
		return session->taint;
	}
	/* Left in the middle, or under way in another thread: its state is not known. */
	if (query_call_is_inside(session) || session->unseen != query_call_unseen()) {
		return DROP_BUSY;
	}
	if (ended->crossed_fork) {
		return DROP_FORKED;
	}
	if (pq->PQstatus(conn) != CONNECTION_OK) {
		return DROP_BROKEN;
	}
	/* Registrations are ended by its number, which must not be another's. */
	if (pq->PQbackendPID(conn) != session->backend_pid ||
	    !flags_are_libpqs(pq->PQsocket(conn)) ||
	    (epoll_noted(pq->PQsocket(conn)) && !session_is_ours(session)) ||
	    !socket_is_as_before(session)) {
		return DROP_DESCRIPTOR;
	}
	if (pq->can_pipeline && pq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF) {
		return DROP_PIPELINE;
	}
	switch (pq->PQtransactionStatus(conn)) {
	case PQTRANS_ACTIVE:
		return DROP_BUSY;
	case PQTRANS_UNKNOWN:
		return DROP_BROKEN;
	default:
		break;
	}
	/* A blocking connection leaves nothing unsent, and asking it could block. */
	if (pq->PQisnonblocking(conn) && pq->PQflush(conn) != 0) {
		return DROP_UNSENT_OUTPUT;
	}
	if (escaping_must_not_return(&session->opened, pq, conn)) {
		return DROP_ESCAPING;
	}
	return epoll_forget(pq->PQsocket(conn)) ? DROP_NONE : DROP_REGISTERED;
}
