/* SPDX-License-Identifier: PostgreSQL */
/* May a session that the program gives back be kept, and why not. */
#include "session/check_return.h"

#include <fcntl.h>

#include "base/lock.h"
#include "session/cancel/cancel_scope.h"
#include "session/query_call.h"
#include "session/socket/epoll_registrations.h"
#include "sql/effects.h"

enum drop_reason check_effects(unsigned effects, const struct session_care *care)
{
	return (effects & STATEMENT_EXTENDS) != 0      ? DROP_EXTENSION_STATE
	       : (effects & STATEMENT_ORIGIN) != 0     ? DROP_REPLICATION_ORIGIN
	       : (effects & STATEMENT_SEEDS) != 0      ? DROP_SEEDED
	       : (effects & STATEMENT_MAKES_SLOT) != 0 ? DROP_REPLICATION_SLOT
	       : (effects & STATEMENT_LOADS) != 0      ? DROP_LOADED
	       : (effects & STATEMENT_BACKS_UP) != 0   ? DROP_BACKUP
	       : (effects & STATEMENT_CUSTOM) != 0 && reset_is_whole(care) ? DROP_CUSTOM_SETTING
	                                                                   : DROP_NONE;
}

/* Left in the middle, or under way in another thread, or in a signal handler. */
static bool is_in_use(const struct session *session)
{
	return query_call_is_inside(session) || session->unseen != query_call_unseen();
}

/* libpq sets these flags; an idle session may be inherited by exec, and raise signals. */
static bool flags_are_libpqs(int fd)
{
	int status = fcntl(fd, F_GETFL);
	int descriptor = fcntl(fd, F_GETFD);

	return status >= 0 && (status & (O_NONBLOCK | O_ASYNC)) == O_NONBLOCK &&
	       descriptor >= 0 && (descriptor & FD_CLOEXEC) != 0;
}

/* Flags and options as libpq has set them. A lease knows the descriptor if it was shown it. */
static bool has_its_options(struct session *session, int fd, bool shown)
{
	return flags_are_libpqs(fd) &&
	       (!shown ||
	        (session_is_ours(session) && session->options_ino == session->socket_ino &&
	         socket_options_put_back(session->options, fd)));
}

/*
 * The same backend behind the same socket, with its options. Each look costs system calls, so
 * there is one only if the process has put something in the place of a descriptor, or set
 * options of one, since the last; or if the program watches this one by epoll.
 *
 * A socket that was closed instead is seen when the reset is sent, or by the check before the
 * next lease. If the number is another socket's by then, that is sent the reset, as libpq's own
 * finish would have sent it a Terminate.
 */
static bool has_its_socket(struct session *session, bool sends)
{
	const struct libpq *pq = session->libpq;
	int fd = pq->PQsocket(session->conn);
	unsigned calls = atomic_load(&socket_options_calls);
	bool called = session->calls_seen != calls;
	bool shown = session->socket_shown;

	session->socket_shown = false;
	if (pq->PQbackendPID(session->conn) != session->backend_pid ||
	    (((called && sends) || epoll_noted(fd)) && !session_is_ours(session)) ||
	    (called && !has_its_options(session, fd, shown))) {
		return false;
	}
	session->calls_seen = calls;
	return true;
}

enum drop_reason check_returned(struct session *session, const struct lease *ended,
                                const struct session_care *care)
{
	const struct libpq *pq = session->libpq;
	PGconn *conn = session->conn;
	PGTransactionStatusType transaction = pq->PQtransactionStatus(conn);
	bool in_transaction = transaction != PQTRANS_IDLE;

	lock_assert_none();
	if (!cancel_scope_close(&session->cancels)) {
		return DROP_CANCEL_UNDER_WAY;
	}
	/* Found at its opening, or by check_effects() or acquire_taint() during the lease. */
	if (session->taint != DROP_NONE) {
		return session->taint;
	}
	if (is_in_use(session)) {
		return DROP_BUSY;
	}
	if (ended->crossed_fork) {
		return DROP_FORKED;
	}
	if (pq->PQstatus(conn) != CONNECTION_OK || transaction == PQTRANS_UNKNOWN) {
		return DROP_BROKEN;
	}
	if (!has_its_socket(session, reset_plan(session, care, in_transaction,
	                                        ended->ended_ns - session->slot.idle_ns))) {
		return DROP_DESCRIPTOR;
	}
	if (pq->can_pipeline && pq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF) {
		return DROP_PIPELINE;
	}
	if (transaction == PQTRANS_ACTIVE) {
		return DROP_BUSY;
	}
	if (in_transaction && !reset_can_roll_back(session, care)) {
		return DROP_OPEN_TRANSACTION;
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
