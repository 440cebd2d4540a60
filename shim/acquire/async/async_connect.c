/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquiring in steps: how it begins, what the program may ask and do meanwhile, and what
 * becomes of what it gives up. The steps between are in async_steps.c.
 */
#include "acquire/async/async_connect.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "acquire/async/async_steps.h"
#include "acquire/async/async_turns.h"
#include "acquire/async/async_unpooled.h"
#include "acquire/full/refusal.h"
#include "acquire/full/wait.h"
#include "acquire/lend/log_events.h"
#include "acquire/lend/long_hold.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/cancellation.h"
#include "session/reset.h"
#include "trace/stack/stack.h"

/* ---- giving up ------------------------------------------------------------------------- */

/* What the pool has granted, or will have granted by now, is given on to the next. */
static void decline(struct async_connect *h)
{
	struct pool *pool = &h->a.lender->pool;

	switch (pool_leave(pool, &h->waiter)) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		pool_keep(pool, h->waiter.slot, clock_monotonic_ns());
		break;
	case POOL_REPLACE:
		if (session_of_slot(h->waiter.slot)->conn != NULL) {
			lending_close(session_of_slot(h->waiter.slot), h->waiter.why, 0);
		}
		lending_drop(session_of_slot(h->waiter.slot));
		break;
	case POOL_OPEN:
		pool_open_failed(pool);
		break;
	}
}

/* The room that a handshake has, or will have been granted by now. */
static void give_room_up(struct async_connect *h)
{
	struct pool *pool = &h->a.lender->pool;

	switch (h->state) {
	case OPENING:
	case RENEWED:
		pool_open_failed(pool);
		break;
	case CLEARING:
		lending_drop(h->other);
		break;
	case WAITING:
		decline(h);
		break;
	case CHECKING:
		break;
	}
}

/* What it had was given to another connect already. */
static void forget_lost(struct async_connect *h)
{
	if (h->state == CLEARING) {
		lending_write_off(h->other);
	}
}

static void abandon_checked(struct session *session, bool kept)
{
	log_event_session_close(session, DROP_ABANDONED);
	session_finish(session);
	if (kept) {
		lending_drop(session);
	} else {
		lending_write_off(session);
	}
}

void async_abandon(struct session *session)
{
	struct async_connect *h = session->handshake;
	bool checked = h->state == CHECKING;
	bool kept = turn_go(h);

	lease_forget(&session->lease);
	if (kept) {
		give_room_up(h);
	} else {
		forget_lost(h);
	}
	steps_end(session);
	if (checked) {
		abandon_checked(session, kept);
		return;
	}
	session->libpq->PQfinish(session->conn);
	session->conn = NULL;
	lending_write_off(session);
}

/* Somebody freed the PGconn past us: it must not be touched. */
static void vanish(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (!turn_go(h)) {
		forget_lost(h);
	} else if (h->state == CHECKING) {
		pool_forget(&h->a.lender->pool, &session->slot);
	} else {
		give_room_up(h);
	}
	h->connecting.opening.detached = true;
	shown_forget(&h->shown);
	steps_end(session);
}

/* ---- start ---------------------------------------------------------------------- */

/*
 * Begins a real connection for the program. NULL: out of memory. A connection that failed
 * at once is handed to the program as it is, and `*session` is NULL.
 */
static PGconn *begin_connection(const struct acquisition *a, enum handshake_state state,
                                struct session **session)
{
	PGconn *conn;

	errno = a->error;
	conn = a->libpq->PQconnectStart(a->spelling->conninfo);
	*session = NULL;
	if (conn == NULL || a->libpq->PQstatus(conn) == CONNECTION_BAD) {
		return conn;
	}
	*session = session_adopt(a->libpq, conn);
	if (*session == NULL) {
		return conn;
	}
	if (!lending_enter(*session, a->lender)) {
		session_free(*session);
		*session = NULL;
	} else if (!steps_begin(*session, a, state)) {
		lease_forget(&(*session)->lease);
		lending_write_off(*session);
		*session = NULL;
	} else {
		(*session)->vanished = vanish;
		notices_attach(&(*session)->handshake->connecting.opening, a->libpq, conn);
	}
	return conn;
}

/* In a room that is reserved already. */
static PGconn *start_opening(struct acquisition *a)
{
	struct session *session;
	PGconn *conn = begin_connection(a, OPENING, &session);
	int error = errno;

	if (session == NULL) {
		pool_open_failed(&a->lender->pool);
		errno = error;
		lending_answered(a);
	} else {
		steps_rest(session, PGRES_POLLING_WRITING);
	}
	return conn;
}

static bool show_wakeup(struct session *session)
{
	struct async_connect *h = session->handshake;
	uint64_t deadline_ns = h->a.began_ns + lending_settings.timeout_ns;

	return shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn),
	                    wait_next_look(deadline_ns, clock_monotonic_ns()));
}

/* In the room of a session that has to go first. */
static PGconn *start_clearing(struct acquisition *a, struct pool_slot *slot,
                              enum drop_reason why)
{
	struct session *session;
	PGconn *conn = begin_connection(a, CLEARING, &session);
	int error;

	if (session != NULL && show_wakeup(session)) {
		steps_clear(session, slot, why);
		steps_rest(session, PGRES_POLLING_WRITING);
		return conn;
	}
	error = errno;
	/* Without it the end cannot be awaited; the room is given on with the slot. */
	if (session_of_slot(slot)->conn != NULL) {
		lending_close(session_of_slot(slot), why, 0);
	}
	lending_drop(session_of_slot(slot));
	if (session != NULL) {
		steps_refuse_by(session, error);
	} else {
		lending_answered(a);
		errno = error;
	}
	return conn;
}

static PGconn *start_waiting(struct acquisition *a)
{
	struct session *session;
	PGconn *conn = begin_connection(a, WAITING, &session);

	if (session == NULL) {
		lending_answered(a);
		return conn;
	}
	if (!show_wakeup(session)) {
		steps_refuse_by(session, errno);
		return conn;
	}
	steps_queue(session, false);
	steps_rest(session, PGRES_POLLING_WRITING);
	return conn;
}

/* An idle session: it is lent when the program polls, if its answer is there by then. */
static PGconn *start_checking(struct acquisition *a, struct pool_slot *slot)
{
	struct session *session = session_of_slot(slot);
	enum drop_reason why;

	switch (reset_check_begin(session, &lending_settings.care, clock_monotonic_ns(),
	                          &why)) {
	case CHECK_FIT:
	case CHECK_PENDING:
		break;
	case CHECK_UNFIT:
		lending_unfit(session, why);
		return start_clearing(a, slot, why);
	}
	/* Fit or not yet: no connect is over before the program has polled. */
	if (steps_begin(session, a, CHECKING)) {
		session->vanished = vanish;
		notices_stand_by(&session->handshake->connecting.opening, a->libpq,
		                 session->conn);
		steps_rest(session, PGRES_POLLING_WRITING);
		return session->conn;
	}
	/* Out of memory. */
	lending_close(session, DROP_RESET_FAILED, 0);
	lending_drop(session);
	lending_answered(a);
	return NULL;
}

PGconn *async_start(const struct libpq *libpq, const struct connect_call *call,
                    const void *caller)
{
	struct acquisition a;
	struct pool_waiter waiter;
	enum pool_grant grant;
	struct pool *pool;
	PGconn *conn;

	blocked_call_tend();
	lending_ask(&a, libpq, call, caller);
	lending_keep(&a);
	if (a.lender == NULL) {
		conn = async_unpooled_start(&a, call);
		lending_answered(&a);
		return conn;
	}
	pool = &a.lender->pool;
	lending_tend(a.lender, a.began_ns);
	lending_tend_others(a.began_ns);
	grant = pool_acquire(pool, a.began_ns, &waiter, NULL);
	if (grant == POOL_FULL) {
		/* The place in line has to be a handshake's own, which there is none of yet. */
		grant = pool_leave(pool, &waiter);
	}
	long_hold_look_at(a.lender, a.began_ns);
	switch (grant) {
	case POOL_LEND:
		return start_checking(&a, waiter.slot);
	case POOL_REPLACE:
		return start_clearing(&a, waiter.slot, waiter.why);
	case POOL_OPEN:
		return start_opening(&a);
	case POOL_FULL:
		break;
	}
	return start_waiting(&a);
}

/* ---- what the program asks and does ------------------------------------------------ */

/* One of ours on no lease: in a handshake, refused, or finished by the program before. */
static struct session *unleased(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_IDLE && !session_of_lease(lease)->passing
	               ? session_of_lease(lease)
	               : NULL;
}

/* One that nobody followed, as it was begun by somebody else, is tracked from its success on.
 */
static PostgresPollingStatusType poll_stranger(const struct libpq *libpq, PGconn *conn,
                                               const void *caller)
{
	PostgresPollingStatusType wants = libpq->PQconnectPoll(conn);
	int error = errno;
	bool over = wants == PGRES_POLLING_OK || wants == PGRES_POLLING_FAILED;
	struct acquisition a = {.libpq = libpq, .began_ns = clock_monotonic_ns()};
	struct lease *lease;

	if (over && async_unpooled_over(conn)) {
		errno = error;
		return wants;
	}
	if (wants == PGRES_POLLING_OK && lease_find(conn, &lease) == LEASE_UNKNOWN) {
		a.stack = stack_capture(caller, lending_settings.stack_depth);
		lending_track(&a, conn);
	}
	return wants;
}

PostgresPollingStatusType async_poll(const struct libpq *libpq, PGconn *conn,
                                     const void *caller)
{
	struct session *session = unleased(conn);

	lock_assert_none();
	if (session == NULL) {
		return poll_stranger(libpq, conn, caller);
	}
	if (session->handshake == NULL) {
		return PGRES_POLLING_FAILED;
	}
	return steps_poll(session);
}

bool async_status(const PGconn *conn, ConnStatusType *status)
{
	const struct session *session = unleased(conn);

	if (session == NULL) {
		return false;
	}
	if (session->handshake == NULL) {
		*status = CONNECTION_BAD;
		return true;
	}
	if (!session->unready) {
		return false;
	}
	if (session->handshake->polled) {
		*status = CONNECTION_AWAITING_RESPONSE;
	} else {
		/* A connect over the network takes its time. */
		*status = session->local ? CONNECTION_MADE : CONNECTION_STARTED;
	}
	return true;
}

bool async_socket(const PGconn *conn, int *fd)
{
	const struct session *session = unleased(conn);

	if (session == NULL) {
		return false;
	}
	if (session->handshake == NULL) {
		*fd = -1;
		return true;
	}
	return false;
}

bool async_pending(const PGconn *conn)
{
	const struct session *session = unleased(conn);

	return session != NULL && session->handshake != NULL;
}

bool async_hides(const PGconn *conn)
{
	const struct session *session = unleased(conn);

	return session != NULL && session->unready;
}

void async_fail(const PGconn *conn, const char *why)
{
	if (async_pending(conn)) {
		unleased(conn)->handshake->error = why;
	}
}

const char *async_error(const PGconn *conn)
{
	return async_pending(conn) ? unleased(conn)->handshake->error : NULL;
}

bool async_set_pipeline(const PGconn *conn, bool on)
{
	if (!async_pending(conn)) {
		return false;
	}
	unleased(conn)->handshake->pipeline = on;
	return true;
}

bool async_pipeline(const PGconn *conn, bool *on)
{
	if (!async_pending(conn)) {
		return false;
	}
	*on = unleased(conn)->handshake->pipeline;
	return true;
}

void async_got(const PGconn *conn, const PGresult *result)
{
	struct session *session = notices_got(conn, result) ? NULL : unleased(conn);

	if (session != NULL && session->handshake != NULL) {
		notices_note_result(&session->handshake->connecting.opening, result);
	}
}

bool async_receiver(PGconn *conn, PQnoticeReceiver receiver, void *arg,
                    PQnoticeReceiver *before)
{
	struct session *session = unleased(conn);

	if (session == NULL || session->handshake == NULL) {
		return false;
	}
	*before = notices_set_receiver(&session->handshake->connecting.opening, receiver, arg);
	return true;
}

bool async_processor(PGconn *conn, PQnoticeProcessor processor, void *arg,
                     PQnoticeProcessor *before)
{
	if (!async_pending(conn)) {
		return false;
	}
	*before = unleased(conn)->libpq->PQsetNoticeProcessor(conn, processor, arg);
	return true;
}

void async_taint(struct session *session, enum drop_reason why)
{
	session->taint = why;
	/* Our traffic is on its way already, which these would show to the program. */
	if (session->handshake->state == CHECKING &&
	    (why == DROP_EVENT_PROC || why == DROP_TRACED)) {
		steps_restart(session, false);
	}
}

bool async_reset_start(PGconn *conn, int *started)
{
	if (!async_pending(conn)) {
		return false;
	}
	*started = steps_restart(unleased(conn), true);
	return true;
}

/* With the PGconn that it has, and in line behind those who came meanwhile. */
static bool begin_again(struct session *session, const struct acquisition *a)
{
	struct async_connect *h;

	free(session->refusal);
	session->refusal = NULL;
	session->vanished = vanish;
	h = session->handshake;
	notices_attach(&h->connecting.opening, a->libpq, session->conn);
	if (!async_conn_anew(&h->connecting, session)) {
		steps_let_go(session);
		return false;
	}
	if (!show_wakeup(session)) {
		steps_refuse_by(session, errno);
		return false;
	}
	steps_queue(session, false);
	steps_rest(session, PGRES_POLLING_WRITING);
	return true;
}

bool async_retry(PGconn *conn, const void *caller, int *started)
{
	struct session *session = unleased(conn);
	struct acquisition a;

	if (session == NULL || session->refusal == NULL) {
		return false;
	}
	/* It came over a fork, and from now on is a stranger. */
	if (session->lender == NULL) {
		lease_forget(&session->lease);
		lending_write_off(session);
		return false;
	}
	a = (struct acquisition){
		.libpq = session->libpq,
		.lender = session->lender,
		.counted = true,
		.began_ns = clock_monotonic_ns(),
		.stack = stack_capture(caller, lending_settings.stack_depth),
	};
	lender_hold(a.lender);
	if (steps_begin(session, &a, WAITING)) {
		*started = begin_again(session, &a);
	} else {
		*started = 0;
		lending_answered(&a);
	}
	return true;
}

static void wait_for_wakeup(const struct async_connect *h)
{
	struct pollfd p = {.fd = h->shown.wakeup.shown.fd, .events = POLLIN};

	lock_assert_none();
	cancellation_allow();
	poll(&p, 1, -1);
	cancellation_forbid();
}

bool async_reset(PGconn *conn)
{
	if (!async_pending(conn)) {
		return false;
	}
	/* Its room first, which may be denied; the connection as it is by then is given up. */
	while (async_pending(conn)) {
		struct session *session = unleased(conn);
		enum handshake_state state;

		if (steps_hold(session) != STEPS_HELD) {
			continue;
		}
		state = session->handshake->state;
		if (state != WAITING && state != CLEARING) {
			steps_reset(session);
			break;
		}
		wait_for_wakeup(session->handshake);
		steps_poll(session);
	}
	return true;
}

void async_fork_child(struct session *session)
{
	session_deaden(session);
	if (session->handshake->other != NULL) {
		session_close_copy(session->handshake->other);
	}
	shown_forget(&session->handshake->shown);
}
