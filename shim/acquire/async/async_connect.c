/* SPDX-License-Identifier: PostgreSQL */
/* Asynchronous connects: how one begins, is reset and given up. async_steps.c has the rest. */
#include "acquire/async/async_connect.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acquire/async/async_answers.h"
#include "acquire/async/async_lent.h"
#include "acquire/async/async_steps.h"
#include "acquire/async/async_unpooled.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/acquisition.h"
#include "acquire/lend/borrow.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/cancellation.h"
#include "session/reset.h"
#include "share/shared_session.h"
#include "trace/stack/stack.h"

/* ---- start ---------------------------------------------------------------------- */

/* A session for `conn`, on the way of its connect; NULL: out of memory. */
static struct session *follow(const struct acquisition *a, enum handshake_state state,
                              PGconn *conn)
{
	struct session *session = session_adopt(a->libpq, conn);

	if (session == NULL) {
		return NULL;
	}
	if (!lending_enter(session, a->lender)) {
		session_free(session);
		return NULL;
	}
	if (!async_state_begin(session, a, state)) {
		lease_forget(&session->lease);
		discard_free(session);
		return NULL;
	}
	notices_attach(&session->handshake->connecting.opening, a->libpq, conn);
	return session;
}

/*
 * Begins a real connection for the program. NULL: out of memory. `*session` is NULL if the
 * connection failed at once, or cannot be followed: it is the program's as it is.
 */
static PGconn *begin_connection(const struct acquisition *a, enum handshake_state state,
                                struct start_tape *tape, struct session **session)
{
	PGconn *conn;

	errno = a->error;
	start_tape = tape;
	conn = a->libpq->PQconnectStart(a->spelling->conninfo);
	start_tape = NULL;
	*session = NULL;
	if (conn == NULL || a->libpq->PQstatus(conn) == CONNECTION_BAD) {
		return conn;
	}
	*session = follow(a, state, conn);
	if (*session == NULL && tape != NULL && start_tape_holds(tape)) {
		/* It leads to no server. */
		a->libpq->PQfinish(conn);
		return NULL;
	}
	return conn;
}

/* In line while connects are paused: the server, which may be away, is not called. */
static PGconn *begin_paused(const struct acquisition *a, struct session **session)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct start_tape *tape = fd >= 0 ? start_tape_of(a->libpq, NULL, fd) : NULL;
	PGconn *conn = begin_connection(a, WAITING, tape, session);
	int error = errno;

	start_tape_free(tape);
	if (fd >= 0) {
		close(fd);
	}
	errno = error;
	return conn;
}

/* In the room that was granted, or that a session has which is closed first, or in line. */
static PGconn *start_connection(struct acquisition *a, enum pool_grant grant,
                                struct pool_waiter *granted)
{
	static const enum handshake_state states[] = {
		[POOL_REPLACE] = CLEARING, [POOL_OPEN] = OPENING, [POOL_FULL] = WAITING};
	struct session *session;
	PGconn *conn = grant == POOL_FULL && orders_are_paused()
	                       ? begin_paused(a, &session)
	                       : begin_connection(a, states[grant], NULL, &session);
	int error = errno;

	if (session != NULL && (grant == POOL_OPEN || async_state_show_wakeup(session))) {
		if (grant == POOL_REPLACE) {
			steps_clear(session, granted->slot, granted->why);
		} else if (grant == POOL_FULL) {
			steps_queue(session, false);
		}
		async_state_rest(session, PGRES_POLLING_WRITING);
		return conn;
	}
	error = session != NULL ? errno : error;
	discard_grant(&a->lender->pool, grant, granted);
	if (session != NULL) {
		async_state_refuse_by(session, error);
	} else {
		acquisition_end(a);
	}
	errno = error;
	return conn;
}

/* An idle session: it is lent when the program polls, if its answer is there by then. */
static PGconn *start_checking(struct acquisition *a, struct pool_waiter *granted)
{
	struct session *session = session_of_slot(granted->slot);

	if (reset_check_begin(session, &lend_settings.care, clock_monotonic_ns(),
	                      &granted->why) == CHECK_UNFIT) {
		discard_unfit(session, granted->why);
		return start_connection(a, POOL_REPLACE, granted);
	}
	/* Even if it is fit already: no connect is over before the program has polled. */
	if (async_state_begin(session, a, CHECKING)) {
		notices_stand_by(&session->handshake->connecting.opening, a->libpq,
		                 session->conn);
		async_state_rest(session, PGRES_POLLING_WRITING);
		return session->conn;
	}
	/* Out of memory. */
	discard_session(session, DROP_RESET_FAILED);
	acquisition_end(a);
	return NULL;
}

/* In a room, by what the keeper has answered so far; the ask is settled, or the connect's. */
static PGconn *start_asked(struct acquisition *a, struct borrow *borrow, enum ask_answer answer)
{
	bool asking = answer != ASK_ROOM;
	struct start_tape *tape = asking ? start_tape_of(a->libpq, NULL, borrow_socket(borrow))
	                                 : start_tape_blank(a->libpq);
	struct session *session;
	PGconn *conn = begin_connection(a, asking ? ASKING : OPENING, tape, &session);
	int error = errno;
	struct async_connect *h;

	/* libpq is bound past us, and has begun a connection. */
	bool loose = asking && (tape == NULL || tape->fd < 0);

	if (session == NULL || asking) {
		start_tape_free(tape);
	}
	if (session == NULL || loose) {
		borrow_drop(borrow);
	}
	if (session == NULL) {
		pool_open_failed(&a->lender->pool);
		acquisition_end(a);
		errno = error;
		return conn;
	}
	h = session->handshake;
	h->borrow = *borrow;
	h->ask = *borrow->ask;
	h->borrow.ask = &h->ask;
	if (loose) {
		async_state_enter(session, OPENING);
	} else if (asking) {
		h->deadline_ns = borrow_deadline(&h->borrow, a);
	} else {
		h->connecting.tape = tape;
	}
	async_state_rest(session, PGRES_POLLING_WRITING);
	return conn;
}

/* There is a line, and no time to wait in it. Frees `holders`. */
static PGconn *start_refused(struct acquisition *a, char *holders)
{
	struct session *session;
	PGconn *conn;

	pool_open_failed(&a->lender->pool);
	conn = begin_connection(a, OPENING, NULL, &session);
	if (session != NULL) {
		async_state_refuse_shared(session, holders);
	} else {
		acquisition_end(a);
	}
	free(holders);
	return conn;
}

/* In a room of the pool, from the keeper if there is one. */
static PGconn *start_in_room(struct acquisition *a, struct pool_waiter *granted)
{
	struct ask ask = {.fd = -1};
	struct borrow borrow = {.ask = &ask};
	struct ask_reply reply;
	struct session *session;
	enum ask_answer answer = borrow_step(&borrow, a, &reply);

	switch (answer) {
	case ASK_LENT:
		session = borrow_lent(&borrow, a, &reply, borrow_may_ping());
		if (session == NULL) {
			break;
		}
		reset_park(session);
		granted->slot = &session->slot;
		return start_checking(a, granted);
	case ASK_ROOM:
	case ASK_NOTHING_YET:
		return start_asked(a, &borrow, answer);
	case ASK_REFUSED:
		return start_refused(a, reply.text);
	default:
		break;
	}
	borrow_drop(&borrow);
	return start_connection(a, POOL_OPEN, granted);
}

/* What the pool has; an idle session only if it may be used, or others wait for it. */
static enum pool_grant ask_pool(const struct acquisition *a, struct pool_waiter *waiter)
{
	struct pool *pool = &a->lender->pool;
	enum shared_hold hold = SHARED_LOST;
	enum pool_grant grant;

	borrow_keep_up(false);
	while ((grant = pool_acquire(pool, a->began_ns, waiter, NULL)) == POOL_LEND &&
	       (hold = shared_take(session_of_slot(waiter->slot))) == SHARED_LOST) {
		discard_leave(session_of_slot(waiter->slot));
		discard_drop(session_of_slot(waiter->slot));
	}
	if (grant == POOL_LEND && hold == SHARED_WANTED) {
		discard_leave(session_of_slot(waiter->slot));
		discard_free(session_of_slot(waiter->slot));
		return POOL_OPEN;
	}
	/* Its place in line must be in the async_connect, which does not exist yet. */
	return grant == POOL_FULL ? pool_leave(pool, waiter) : grant;
}

PGconn *async_start(const struct libpq *libpq, const struct connect_call *call,
                    const void *caller)
{
	struct acquisition a;
	struct pool_waiter waiter;
	enum pool_grant grant;
	PGconn *conn;

	abandoned_call_tend();
	acquisition_begin(&a, libpq, call, caller);
	acquisition_locate(&a);
	acquisition_keep(&a);
	if (a.lender == NULL) {
		conn = async_unpooled_start(&a, call);
		acquisition_end(&a);
		return conn;
	}
	orders_look();
	sweep_pool(a.lender, a.began_ns);
	sweep_others(a.began_ns);
	grant = ask_pool(&a, &waiter);
	long_hold_look_at(a.lender, a.began_ns);
	switch (grant) {
	case POOL_LEND:
		return start_checking(&a, &waiter);
	case POOL_OPEN:
		return start_in_room(&a, &waiter);
	default:
		return start_connection(&a, grant, &waiter);
	}
}

/* ---- poll ------------------------------------------------------------------------ */

/* One of libpq's alone. If we did not see its start, it is tracked once it has succeeded. */
static PostgresPollingStatusType poll_unknown(const struct libpq *libpq, PGconn *conn,
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
		a.stack = stack_capture(caller, lend_settings.stack_depth);
		lending_track(&a, conn);
	}
	return wants;
}

PostgresPollingStatusType async_poll(const struct libpq *libpq, PGconn *conn,
                                     const void *caller)
{
	struct session *session = async_unleased(conn);

	lock_assert_none();
	if (session == NULL) {
		return poll_unknown(libpq, conn, caller);
	}
	return session->handshake != NULL ? steps_poll(session) : PGRES_POLLING_FAILED;
}

/* ---- giving up, tainting, resetting ------------------------------------------------ */

void async_abandon(struct session *session)
{
	bool checked = session->handshake->state == CHECKING;
	bool kept = turn_go(&session->handshake->turn);

	lease_forget(&session->lease);
	async_state_give_up(session->handshake, kept);
	async_state_end(session);
	if (checked) {
		log_event_session_close(session, DROP_ABANDONED);
		session_finish(session);
		shared_closed(session);
	} else {
		session->libpq->PQfinish(session->conn);
		session->conn = NULL;
	}
	if (checked && kept) {
		discard_drop(session);
	} else {
		discard_free(session);
	}
}

void async_taint(struct session *session, enum drop_reason why)
{
	session->taint = why;
	/* These would show the program our traffic, which is on its way already. */
	if (session->handshake->state == CHECKING &&
	    (why == DROP_EVENT_PROC || why == DROP_TRACED)) {
		steps_restart(session, false);
	}
}

bool async_reset_start(PGconn *conn, int *started)
{
	if (async_in_progress(conn) == NULL) {
		return false;
	}
	*started = steps_restart(async_unleased(conn), true);
	return true;
}

/* With the PGconn that it has, and at the end of the line. */
static bool begin_again(struct session *session)
{
	struct async_connect *h = session->handshake;

	free(session->refusal);
	session->refusal = NULL;
	notices_attach(&h->connecting.opening, session->libpq, session->conn);
	if (!async_conn_again(&h->connecting, session)) {
		async_state_let_go(session);
		return false;
	}
	if (!async_state_show_wakeup(session)) {
		async_state_refuse_by(session, errno);
		return false;
	}
	steps_queue(session, false);
	async_state_rest(session, PGRES_POLLING_WRITING);
	return true;
}

bool async_retry(PGconn *conn, const void *caller, int *started)
{
	struct session *session = async_unleased(conn);
	struct acquisition a;

	if (session == NULL || session->refusal == NULL) {
		return false;
	}
	if (session->lender == NULL) {
		/* Inherited over a fork: from now on it is unknown to us. */
		lease_forget(&session->lease);
		discard_free(session);
		return false;
	}
	a = (struct acquisition){
		.libpq = session->libpq,
		.lender = session->lender,
		.counted = true,
		.began_ns = clock_monotonic_ns(),
		.stack = stack_capture(caller, lend_settings.stack_depth),
	};
	lender_hold(a.lender);
	*started = 0;
	if (async_state_begin(session, &a, WAITING)) {
		*started = begin_again(session);
	} else {
		acquisition_end(&a);
	}
	return true;
}

static void wait_for_wakeup(const struct async_connect *h)
{
	struct pollfd p = {.fd = h->shown.wakeup.shown.fd, .events = POLLIN};
	int ms = -1;

	if (!shown_is_wakeup(&h->shown)) {
		/* ASKING, and not polled yet, or without a timed one. */
		p.fd = borrow_socket(&h->borrow);
		ms = clock_ms_until(clock_monotonic_ns(), h->deadline_ns);
	}
	lock_assert_none();
	cancellation_allow();
	poll(&p, 1, ms);
	cancellation_forbid();
}

bool async_reset(PGconn *conn)
{
	const struct async_connect *h = async_in_progress(conn);

	if (h == NULL) {
		return false;
	}
	/* It needs a room first, which may be refused; then the connection is begun again. */
	for (; h != NULL; h = async_in_progress(conn)) {
		struct session *session = async_unleased(conn);

		if (steps_hold(session) != STEPS_HELD) {
			continue;
		}
		if (h->state != WAITING && h->state != CLEARING && h->state != ASKING) {
			steps_reset(session);
			break;
		}
		wait_for_wakeup(h);
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
	borrow_fork_child(&session->handshake->borrow);
	shown_forget(&session->handshake->shown);
}
