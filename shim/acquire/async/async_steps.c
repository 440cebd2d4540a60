/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps of a handshake.
 *
 * The program watches one socket, under one number (shown_socket.h). The server's answer
 * arrives on the connection's own, which is shown while a session is checked or opened; a
 * wakeup is put in its place while something else is waited for.
 */
#include "acquire/async/async_steps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acquire/async/async_turns.h"
#include "acquire/full/exhaustion_report.h"
#include "acquire/full/refusal.h"
#include "acquire/full/wait.h"
#include "acquire/lend/log_events.h"
#include "acquire/lend/long_hold.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/pid.h"
#include "session/cancel/cancel_scope.h"
#include "session/own_query.h"
#include "session/reset.h"
#include "trace/lease/counters.h"
#include "trace/status/status.h"

/* How long one step may take to close idle sessions that are in the way. */
#define MAKE_ROOM_NS (40 * NS_PER_MS)
/* When to look for a backend's end for the second time, and how late that may be seen. */
#define CLEARING_NS  NS_PER_MS

/* Under the pool's lock, by whoever grants. */
static void ring(struct pool_waiter *waiter)
{
	struct async_connect *h =
		(struct async_connect *)((char *)waiter -
	                                 offsetof(struct async_connect, waiter));

	lease_place(h->lease, true);
	wakeup_ring(&h->shown.wakeup);
}

/* ---- beginning and end ----------------------------------------------------------- */

static void enter_state(struct session *session, enum handshake_state state)
{
	session->handshake->state = state;
	session->unready = state != OPENING;
}

bool steps_begin(struct session *session, const struct acquisition *a,
                 enum handshake_state state)
{
	const struct lease_origin origin = {
		.now_ns = clock_monotonic_ns(), .stack = a->stack, .at_exit = a->at_exit};
	struct async_connect *h = session->spare;

	if (h == NULL) {
		h = malloc(sizeof(*h));
	}
	if (h == NULL) {
		return false;
	}
	session->spare = NULL;
	memset(h, 0, sizeof(*h));
	shown_init(&h->shown);
	h->connecting.held_fd = -1;
	h->connecting.began_ns = clock_monotonic_ns();
	h->a = *a;
	h->lease = &session->lease;
	session->handshake = h;
	enter_state(session, state);
	session_show_socket(session);
	lease_pend(&session->lease, &origin, state != WAITING);
	turn_take(h);
	return true;
}

void steps_end(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->handshake = NULL;
	session->unready = false;
	session->vanished = NULL;
	turn_leave(h);
	notices_detach(&h->connecting.opening);
	async_conn_forget(&h->connecting);
	shown_own(&h->shown);
	lending_answered(&h->a);
	session->spare = h;
}

void steps_let_go(struct session *session)
{
	steps_end(session);
	lease_forget(&session->lease);
	session->conn = NULL;
	lending_write_off(session);
}

static PostgresPollingStatusType succeed(struct session *session)
{
	struct acquisition a = session->handshake->a;

	/* Still needed to begin the lease; steps_end() gives it back after. */
	lending_begin(&a, session);
	steps_end(session);
	return PGRES_POLLING_OK;
}

static PostgresPollingStatusType fail_open(struct session *session)
{
	struct async_connect *h = session->handshake;
	int error = session->error;

	log_event_open_failed(h->a.lender, session->libpq->PQerrorMessage(session->conn),
	                      clock_monotonic_ns() - h->connecting.began_ns);
	pool_open_failed(&h->a.lender->pool);
	steps_let_go(session);
	errno = error;
	return PGRES_POLLING_FAILED;
}

void steps_refuse(struct session *session, char *message)
{
	if (message == NULL) {
		steps_let_go(session);
		return;
	}
	steps_end(session);
	lease_fail(&session->lease);
	session->refusal = message;
	session->vanished = lending_forget_refused;
	async_conn_give_up(session->libpq, session->conn);
}

static PostgresPollingStatusType refuse(struct session *session)
{
	struct async_connect *h = session->handshake;
	struct exhaustion_report p;
	char *message;

	exhaustion_report_make(&p, h->a.lender, clock_monotonic_ns() - h->a.began_ns,
	                       WAITER_IN_STEPS);
	message = refusal_message(&p);
	exhaustion_report_log(&p);
	exhaustion_report_end(&p);
	steps_refuse(session, message);
	return PGRES_POLLING_FAILED;
}

void steps_refuse_by(struct session *session, int error)
{
	struct lender *lender = session->handshake->a.lender;
	char *message = refusal_by_error(lender, error);

	if (message != NULL) {
		log_event_open_failed(lender, message, 0);
	}
	steps_refuse(session, message);
}

PostgresPollingStatusType steps_rest(struct session *session, PostgresPollingStatusType wants)
{
	struct async_connect *h = session->handshake;
	int fd = session->libpq->PQsocket(session->conn);
	struct fd_id id;
	struct stat st;

	if (shown_is_wakeup(&h->shown)) {
		turn_rest(h, wants, h->shown.wakeup.shown.fd, &h->shown.wakeup.shown.id);
		return wants;
	}
	if (h->state == CHECKING) {
		id = (struct fd_id){true, session->socket_dev, session->socket_ino};
	} else {
		fd_identify(fd, &id, &st);
	}
	turn_rest(h, wants, fd, &id);
	return wants;
}

/* ---- opening --------------------------------------------------------------------- */

/* Begins the connection anew in the room that is ours. */
static PostgresPollingStatusType renew(struct session *session)
{
	struct async_connect *h = session->handshake;

	enter_state(session, OPENING);
	if (!async_conn_anew(&h->connecting, session)) {
		session->error = errno;
		return fail_open(session);
	}
	return steps_rest(session, PGRES_POLLING_WRITING);
}

static PostgresPollingStatusType opened(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->flight = FLIGHT_NONE;
	session->proven_ns = clock_monotonic_ns();
	notices_detach(&h->connecting.opening);
	if (session->taint == DROP_NONE) {
		session->taint = notices_verdict(&h->connecting.opening);
	}
	session->seen = h->connecting.opening.seen;
	session_note_connection(session);
	session_show_socket(session);
	lending_admit(session, session->proven_ns - h->connecting.began_ns);
	return succeed(session);
}

/* Room for one more attempt, where our own idle sessions may have been in the way. */
static bool may_try_again(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->seen = h->connecting.opening.seen;
	if (h->made_room || !lending_wants_room(session)) {
		return false;
	}
	h->made_room = true;
	return lending_close_all_idle(DROP_MAKE_ROOM, clock_monotonic_ns() + MAKE_ROOM_NS,
	                              true);
}

/* A callback has forked, and this is the child. */
static bool is_of_parent(const struct session *session)
{
	return session->owner != pid_self();
}

static PostgresPollingStatusType go_on_opening(struct session *session)
{
	struct async_connect *h = session->handshake;
	PostgresPollingStatusType wants = async_conn_poll(&h->connecting, session);

	session->error = errno;
	if (is_of_parent(session)) {
		steps_let_go(session);
		return wants;
	}
	if (wants == PGRES_POLLING_OK) {
		return opened(session);
	}
	if (wants != PGRES_POLLING_FAILED) {
		return steps_rest(session, wants);
	}
	if (async_conn_was_hung_up(&h->connecting) || may_try_again(session)) {
		return renew(session);
	}
	return fail_open(session);
}

/* The room is free: lets the withheld connection go on. */
static PostgresPollingStatusType release_withheld(struct session *session)
{
	struct async_connect *h = session->handshake;

	enter_state(session, OPENING);
	shown_own(&h->shown);
	return async_conn_release(&h->connecting, session) ? go_on_opening(session)
	                                                   : renew(session);
}

/* ---- clearing -------------------------------------------------------------------- */

/* Without a time to be woken at there is no looking for it again and again. */
static bool other_is_gone(struct async_connect *h)
{
	if (!session_gone(h->other) && clock_monotonic_ns() < h->deadline_ns &&
	    h->shown.wakeup.timed) {
		return false;
	}
	lending_write_off(h->other);
	h->other = NULL;
	return true;
}

static PostgresPollingStatusType go_on_clearing(struct session *session)
{
	struct async_connect *h = session->handshake;
	uint64_t now_ns = clock_monotonic_ns();

	if (other_is_gone(h)) {
		return release_withheld(session);
	}
	/* Soon, as backends end at once or take their time. */
	wakeup_set(&h->shown.wakeup, now_ns + CLEARING_NS + (now_ns - h->cleared_ns) / 2);
	return steps_rest(session, PGRES_POLLING_READING);
}

void steps_clear(struct session *session, struct pool_slot *slot, enum drop_reason why)
{
	struct async_connect *h = session->handshake;

	h->other = session_of_slot(slot);
	if (h->other->conn != NULL) {
		lending_close(h->other, why, 0);
	}
	enter_state(session, CLEARING);
	h->cleared_ns = clock_monotonic_ns();
	h->deadline_ns = h->cleared_ns;
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		h->deadline_ns += END_WAIT_NS;
	}
}

/* ---- waiting --------------------------------------------------------------------- */

/* Looks whether others have given up what they have, and when to do so again. */
static uint64_t next_look(const struct async_connect *h, uint64_t now_ns)
{
	uint64_t next_ns;

	turns_look(h->a.lender, now_ns, &next_ns);
	return wait_next_look(next_ns < h->deadline_ns ? next_ns : h->deadline_ns, now_ns);
}

static PostgresPollingStatusType go_on_waiting(struct session *session)
{
	struct async_connect *h = session->handshake;
	struct pool *pool = &h->a.lender->pool;
	uint64_t now_ns = clock_monotonic_ns();
	enum pool_grant grant = pool_granted(pool, &h->waiter);

	if (grant == POOL_FULL && now_ns < h->deadline_ns) {
		if (wakeup_is_due(&h->shown.wakeup)) {
			long_hold_look(now_ns);
			long_hold_look_at(h->a.lender, now_ns);
			wakeup_set(&h->shown.wakeup, next_look(h, now_ns));
			/* It may have been rung just before it was set. */
			grant = pool_granted(pool, &h->waiter);
		}
		if (grant == POOL_FULL) {
			return steps_rest(session, PGRES_POLLING_READING);
		}
	}
	grant = pool_leave(pool, &h->waiter);
	h->turn.waits = false;
	h->a.queued_ns = clock_monotonic_ns() - h->a.began_ns;
	counters_waited(h->a.queued_ns);
	status_waited(pool->row, h->a.queued_ns, grant != POOL_FULL);
	switch (grant) {
	case POOL_FULL:
		return refuse(session);
	case POOL_LEND:
		steps_clear(session, h->waiter.slot, DROP_EXCHANGED);
		return go_on_clearing(session);
	case POOL_REPLACE:
		steps_clear(session, h->waiter.slot, h->waiter.why);
		return go_on_clearing(session);
	case POOL_OPEN:
		break;
	}
	return release_withheld(session);
}

void steps_queue(struct session *session, bool again)
{
	struct async_connect *h = session->handshake;
	struct pool *pool = &h->a.lender->pool;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t look_ns;

	enter_state(session, WAITING);
	h->turn.waits = true;
	h->deadline_ns = (again ? now_ns : h->a.began_ns) + lending_settings.timeout_ns;
	log_event_wait(h->a.lender, pool_count(pool));
	if (again) {
		pool_acquire_again(pool, now_ns, &h->waiter, ring);
	} else {
		pool_acquire(pool, now_ns, &h->waiter, ring);
	}
	look_ns = next_look(h, now_ns);
	/* It was made to be due by then. */
	if (again || look_ns < wait_next_look(h->deadline_ns, now_ns)) {
		wakeup_set(&h->shown.wakeup, look_ns);
	}
	/* At once, by others meanwhile, or just before the wakeup was set. */
	if (pool_granted(pool, &h->waiter) != POOL_FULL) {
		ring(&h->waiter);
	}
}

/* What is left of what it had, which is given to another connect. */
static void forget_lost(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (h->state == CHECKING) {
		log_event_session_close(session, DROP_ABANDONED);
		cancel_scope_close(&session->cancels);
		reset_hand_out(session);
	} else if (h->state == CLEARING) {
		lending_write_off(h->other);
		h->other = NULL;
	}
	enter_state(session, WAITING);
}

enum steps_held steps_hold(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (turn_go(h)) {
		return STEPS_HELD;
	}
	forget_lost(session);
	if (!shown_is_wakeup(&h->shown) &&
	    !shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn), 0)) {
		steps_refuse_by(session, errno);
		return STEPS_REFUSED;
	}
	turn_take(h);
	steps_queue(session, true);
	return STEPS_IN_LINE;
}

/* ---- checking -------------------------------------------------------------------- */

/* Dead: the same PGconn gets a new session in the room of the old one. */
static PostgresPollingStatusType replace(struct session *session, enum drop_reason why)
{
	lending_unfit(session, why);
	log_event_session_close(session, why);
	cancel_scope_close(&session->cancels);
	reset_hand_out(session);
	return renew(session);
}

/*
 * Its answer wakes the program. A network that has swallowed the question does, too
 * (reset.c); of a server that is there and does not answer nothing would.
 */
static PostgresPollingStatusType await_answer(struct session *session)
{
	return steps_rest(session, own_query_is_unsent(session) ? PGRES_POLLING_WRITING
	                                                        : PGRES_POLLING_READING);
}

static PostgresPollingStatusType go_on_checking(struct session *session)
{
	struct async_connect *h = session->handshake;
	enum check_step step;
	enum drop_reason why;

	async_conn_note(&h->connecting, session);
	step = reset_check_more(session, &lending_settings.care, clock_monotonic_ns(), &why);
	if (step == CHECK_UNFIT) {
		return replace(session, why);
	}
	async_conn_forget(&h->connecting);
	if (step == CHECK_PENDING) {
		return await_answer(session);
	}
	pool_lent(&session->slot);
	return succeed(session);
}

/* ---- all of them ----------------------------------------------------------------- */

PostgresPollingStatusType steps_poll(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->error = errno;
	h->polled = true;
	h->error = NULL;
	if (steps_hold(session) == STEPS_REFUSED) {
		return PGRES_POLLING_FAILED;
	}
	switch (h->state) {
	case CHECKING:
		return go_on_checking(session);
	case OPENING:
		return go_on_opening(session);
	case CLEARING:
		return go_on_clearing(session);
	case RENEWED:
		enter_state(session, OPENING);
		shown_own(&h->shown);
		return steps_rest(session, PGRES_POLLING_WRITING);
	case WAITING:
		break;
	}
	return go_on_waiting(session);
}

/* A checked session is given up for a connection that nobody has used. */
static void give_up_checked(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (h->state == CHECKING) {
		log_event_session_close(session, DROP_PROGRAM_RESET);
		cancel_scope_close(&session->cancels);
		reset_hand_out(session);
	}
	enter_state(session, OPENING);
	shown_own(&h->shown);
}

bool steps_restart(struct session *session, bool told)
{
	struct async_connect *h = session->handshake;

	if (steps_hold(session) == STEPS_REFUSED) {
		return false;
	}
	if (told) {
		h->polled = false;
	}
	if (h->state == WAITING || h->state == CLEARING) {
		/* Withheld as it is. */
		steps_rest(session, told ? PGRES_POLLING_WRITING : h->wants);
		return true;
	}
	give_up_checked(session);
	if (!async_conn_anew(&h->connecting, session)) {
		session->error = errno;
		fail_open(session);
		return false;
	}
	/*
	 * It was told to wait until there is something to read, which the new connection will
	 * not have before libpq has spoken.
	 */
	if (!told && h->polled &&
	    shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn), 0)) {
		enter_state(session, RENEWED);
		wakeup_ring(&h->shown.wakeup);
	}
	steps_rest(session,
	           h->state == RENEWED ? PGRES_POLLING_READING : PGRES_POLLING_WRITING);
	return true;
}

void steps_reset(struct session *session)
{
	struct async_connect *h = session->handshake;

	give_up_checked(session);
	notices_again(&h->connecting.opening);
	h->connecting.began_ns = clock_monotonic_ns();
	session->check.mode_is_ours = false;
	session->libpq->PQreset(session->conn);
	session->error = errno;
	if (is_of_parent(session)) {
		steps_let_go(session);
	} else if (session->libpq->PQstatus(session->conn) == CONNECTION_OK) {
		opened(session);
	} else {
		fail_open(session);
	}
}
