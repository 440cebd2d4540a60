/* SPDX-License-Identifier: PostgreSQL */
/* What the program does to a connection that it has, or had. */
#include "acquire/conn_use.h"

#include <sys/socket.h>

#include "acquire/async/async_connect.h"
#include "acquire/async/async_unpooled.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "session/check_return.h"
#include "session/session.h"
#include "sql/effects.h"
#include "trace/stack/stack.h"

/* The message of a connection that the program has finished. */
static const char finished_before[] = "pqpool: the connection was already finished\n";

/* Log lines about the misuse of one lease's connection. */
#define MISUSES_LOGGED 8

/*
 * The program leaves the session for another one. A server that is blocked in sending must see
 * that, though the keeper has a copy of the socket; one that is not reads a Terminate.
 */
static COLD void cut_off_shared(const struct session *session)
{
	const struct libpq *pq = session->libpq;

	if (session->shared != NULL && session_is_ours(session) &&
	    pq->PQtransactionStatus(session->conn) == PQTRANS_ACTIVE) {
		shutdown(pq->PQsocket(session->conn), SHUT_RDWR);
	}
}

void conn_use_taint(PGconn *conn, enum drop_reason why)
{
	struct lease *lease;

	switch (lease_find(conn, &lease)) {
	case LEASE_OPEN:
		session_of_lease(lease)->taint = why;
		if (why == DROP_PROGRAM_RESET) {
			cut_off_shared(session_of_lease(lease));
		}
		break;
	case LEASE_IDLE:
		if (session_of_lease(lease)->handshake != NULL) {
			async_taint(session_of_lease(lease), why);
		}
		break;
	case LEASE_UNKNOWN:
		break;
	}
}

bool conn_use_is_misuse(const PGconn *conn, const char *function, const void *caller)
{
	struct lease last;

	if (!lease_misused(conn, &last)) {
		return false;
	}
	if (last.misuses <= MISUSES_LOGGED) {
		log_event_misuse(&last, function,
		                 stack_capture(caller, lend_settings.stack_depth));
	}
	return true;
}

void conn_use_effects(PGconn *conn, unsigned effects)
{
	enum drop_reason why = check_effects(effects, &lend_settings.care);
	struct lease *lease;

	if (why != DROP_NONE) {
		conn_use_taint(conn, why);
	}
	if ((effects & STATEMENT_ALTERS) && lease_find(conn, &lease) == LEASE_OPEN) {
		session_of_lease(lease)->altered = true;
		sweep_invalidate_all();
		sweep_idle(DROP_ALTERED, clock_monotonic_ns() + END_WAIT_NS, true);
	}
}

void conn_use_note_reset(PGconn *conn)
{
	struct lease *lease;
	struct session *session;

	if (async_unpooled_over(conn) || lease_find(conn, &lease) != LEASE_OPEN) {
		return;
	}
	session = session_of_lease(lease);
	if (session->libpq->PQstatus(conn) != CONNECTION_OK) {
		return;
	}
	log_event_session_close(session, DROP_PROGRAM_RESET);
	session_note_connection(session);
	lease_set_backend(lease, session->backend_pid);
	lease_forget_statement(&session->activity);
	lease_note_transaction(&session->activity, LEASE_TRANSACTION_IDLE,
	                       clock_monotonic_ns());
	status_transaction(lease->row, STATUS_TRANSACTION_IDLE);
	log_event_session_open(session, 0);
}

const char *conn_use_refusal(const PGconn *conn)
{
	struct lease *lease;

	if (lease_find(conn, &lease) != LEASE_IDLE) {
		return NULL;
	}
	return lease_is_stale(conn) ? finished_before : session_of_lease(lease)->refusal;
}
