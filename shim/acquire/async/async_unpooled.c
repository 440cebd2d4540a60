/* SPDX-License-Identifier: PostgreSQL */
/* Asynchronous connects that are not pooled: libpq's alone, and followed for the report. */
#include "acquire/async/async_unpooled.h"

#include <errno.h>

#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "base/clock.h"
#include "base/lock.h"

static void follow(const struct acquisition *a, PGconn *conn)
{
	const struct lease_origin origin = {
		.now_ns = a->began_ns, .stack = a->stack, .at_exit = a->at_exit};
	struct session *session = session_adopt(a->libpq, conn);

	if (session == NULL) {
		return;
	}
	session->taint = DROP_NOT_POOLED;
	session->passing = true;
	if (!lending_enter(session, NULL)) {
		session_free(session);
		return;
	}
	lease_pend(&session->lease, &origin, false);
}

PGconn *async_unpooled_start(const struct acquisition *a, const struct connect_call *call)
{
	PGconn *conn;

	errno = a->error;
	conn = conninfo_start(a->libpq, call);

	if (conn != NULL && a->libpq->PQstatus(conn) != CONNECTION_BAD) {
		follow(a, conn);
	}
	return conn;
}

/* The connection stays with the program. */
static void forget(struct session *session)
{
	lease_forget(&session->lease);
	session->conn = NULL;
	discard_free(session);
}

static void arrive(struct session *session)
{
	const struct lease *lease = &session->lease;
	const struct acquisition a = {.libpq = session->libpq,
	                              .began_ns = lease->began_ns,
	                              .stack = lease->stack,
	                              .at_exit = lease->begun_at_exit};

	session->passing = false;
	session_note_connection(session);
	session->proven_ns = clock_monotonic_ns();
	lending_show(session);
	log_event_session_open(session, session->proven_ns - a.began_ns);
	lending_begin(&a, session);
}

bool async_unpooled_over(const PGconn *conn)
{
	struct lease *lease;
	struct session *session;

	if (lease_find(conn, &lease) != LEASE_IDLE || !session_of_lease(lease)->passing) {
		return false;
	}
	session = session_of_lease(lease);
	if (session->libpq->PQstatus(session->conn) == CONNECTION_OK) {
		arrive(session);
	} else {
		forget(session);
	}
	return true;
}

void async_unpooled_abandon(struct session *session)
{
	const struct libpq *libpq = session->libpq;
	PGconn *conn = session->conn;

	lock_assert_none();
	/* Out of the table first: the address is free for a new PGconn after the finish. */
	forget(session);
	libpq->PQfinish(conn);
}
