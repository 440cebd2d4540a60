/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps of an asynchronous connect.
 *
 * The program watches one number (wakeup_socket.h). It shows the connection's own socket while
 * a session is checked or opened, as the server's answer arrives there, and a wakeup while
 * something else is waited for.
 */
#include "acquire/async/async_steps.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "acquire/async/async_lent.h"
#include "acquire/full/wait.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "base/thread/pid.h"
#include "session/reset.h"
#include "trace/lease/counters.h"
#include "trace/status/status.h"

/* How long one step may take to close idle sessions that are in the way. */
#define MAKE_ROOM_NS (40 * NS_PER_MS)
/* When to look for a backend's end for the second time. */
#define CLEARING_NS  NS_PER_MS

/* The waiter is granted something: called by the thread that grants, under the pool's lock. */
static void ring(struct pool_waiter *waiter)
{
	struct async_connect *h =
		(struct async_connect *)((char *)waiter -
	                                 offsetof(struct async_connect, waiter));

	lease_place(h->turn.lease, true);
	wakeup_ring(&h->shown.wakeup);
}

/* ---- the last step --------------------------------------------------------------- */

static PostgresPollingStatusType succeed(struct session *session)
{
	struct acquisition a = session->handshake->a;

	/* A copy, as async_state_end() ends the connect's own. */
	lending_begin(&a, session);
	async_state_end(session);
	return PGRES_POLLING_OK;
}

static PostgresPollingStatusType fail_open(struct session *session)
{
	struct async_connect *h = session->handshake;
	int error = session->error;

	log_event_open_failed(h->a.lender, session->libpq->PQerrorMessage(session->conn),
	                      clock_monotonic_ns() - h->connecting.began_ns);
	pool_open_failed(&h->a.lender->pool);
	sweep_pool(h->a.lender, clock_monotonic_ns());
	async_state_let_go(session);
	errno = error;
	return PGRES_POLLING_FAILED;
}

/* ---- opening --------------------------------------------------------------------- */

/* Begins the connection again in the room that is ours. */
static PostgresPollingStatusType renew(struct session *session)
{
	struct async_connect *h = session->handshake;

	async_state_enter(session, OPENING);
	shown_own(&h->shown);
	if (!async_conn_again(&h->connecting, session)) {
		session->error = errno;
		return fail_open(session);
	}
	return async_state_rest(session, PGRES_POLLING_WRITING);
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
	if (h->ask.member != NULL) {
		borrow_opened(&h->borrow, session, h->connecting.tape);
	}
	return succeed(session);
}

/* True for one more attempt, if closing our idle sessions may have helped. */
static bool may_try_again(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->seen = h->connecting.opening.seen;
	if (h->made_room || !sweep_may_help(session)) {
		return false;
	}
	h->made_room = true;
	return sweep_make_room(clock_monotonic_ns() + MAKE_ROOM_NS);
}

/* A callback forked, and this is the child. */
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
		async_state_let_go(session);
		return wants;
	}
	if (wants == PGRES_POLLING_OK) {
		return opened(session);
	}
	if (wants != PGRES_POLLING_FAILED) {
		return async_state_rest(session, wants);
	}
	if (async_conn_was_hung_up(&h->connecting) || may_try_again(session)) {
		return renew(session);
	}
	return fail_open(session);
}

/* ---- asking the keeper -------------------------------------------------------- */

static PostgresPollingStatusType go_on_asking(struct session *session)
{
	struct async_connect *h = session->handshake;
	struct ask_reply reply;
	enum ask_answer answer = async_lent_read(session, &reply);
	enum drop_reason why;

	if (answer == ASK_NOTHING_YET) {
		return async_state_rest(session, PGRES_POLLING_READING);
	}
	if (h->borrow.in_line) {
		h->a.queued_ns = clock_monotonic_ns() - h->a.began_ns;
		counters_waited(h->a.queued_ns);
		status_waited(h->a.lender->pool.row, h->a.queued_ns, answer != ASK_REFUSED);
	}
	if (answer == ASK_LENT && (why = async_lent_begin(session, &reply)) == DROP_NONE) {
		return async_state_await_answer(session);
	}
	if (answer == ASK_LENT && session->shared != NULL) {
		async_state_hand_out(session, why);
	}
	if (answer == ASK_REFUSED) {
		pool_open_failed(&h->a.lender->pool);
		async_state_refuse_shared(session, reply.text);
		free(reply.text);
		return PGRES_POLLING_FAILED;
	}
	if (answer == ASK_ROOM) {
		h->connecting.tape = start_tape_blank(h->a.libpq);
	}
	return renew(session);
}

/* ---- a room is free -------------------------------------------------------------- */

/* The room is free: the keeper fills it, if there is one, or the withheld connection continues.
 */
static PostgresPollingStatusType release_withheld(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (borrow_is_possible(&h->a)) {
		h->borrow = (struct borrow){.ask = &h->ask};
		async_state_enter(session, ASKING);
		return go_on_asking(session);
	}
	async_state_enter(session, OPENING);
	shown_own(&h->shown);
	return !h->outdated && async_conn_release(&h->connecting, session)
	               ? go_on_opening(session)
	               : renew(session);
}

/* ---- clearing -------------------------------------------------------------------- */

/* Without a timed wakeup it cannot be looked for repeatedly. */
static bool other_is_gone(struct async_connect *h)
{
	if (!session_gone(h->other) && clock_monotonic_ns() < h->deadline_ns &&
	    h->shown.wakeup.timed) {
		return false;
	}
	discard_free(h->other);
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
	/* Ever later, as backends end at once or take their time. */
	wakeup_set(&h->shown.wakeup, now_ns + CLEARING_NS + (now_ns - h->cleared_ns) / 2);
	return async_state_rest(session, PGRES_POLLING_READING);
}

void steps_clear(struct session *session, struct pool_slot *slot, enum drop_reason why)
{
	struct async_connect *h = session->handshake;

	h->other = session_of_slot(slot);
	if (h->other->conn != NULL) {
		discard_close(h->other, why, 0);
	}
	async_state_enter(session, CLEARING);
	h->cleared_ns = clock_monotonic_ns();
	h->deadline_ns = h->cleared_ns;
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		h->deadline_ns += END_WAIT_NS;
	}
}

/* ---- waiting --------------------------------------------------------------------- */

/* Takes back what other connects neglect; returns when to look again. */
static uint64_t next_look(struct async_connect *h, uint64_t now_ns)
{
	uint64_t next_ns = now_ns + ORDERS_LOOK_NS;

	if (orders_are_paused()) {
		h->outdated = true;
		return next_ns < h->deadline_ns ? next_ns : h->deadline_ns;
	}
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
			orders_look();
			long_hold_look(now_ns);
			long_hold_look_at(h->a.lender, now_ns);
			wakeup_set(&h->shown.wakeup, next_look(h, now_ns));
			/* A ring just before it was set is lost. */
			grant = pool_granted(pool, &h->waiter);
		}
		if (grant == POOL_FULL) {
			return async_state_rest(session, PGRES_POLLING_READING);
		}
	}
	grant = pool_leave(pool, &h->waiter);
	h->turn.waits = false;
	h->a.queued_ns = clock_monotonic_ns() - h->a.began_ns;
	counters_waited(h->a.queued_ns);
	status_waited(pool->row, h->a.queued_ns, grant != POOL_FULL);
	switch (grant) {
	case POOL_FULL:
		async_state_refuse(session);
		return PGRES_POLLING_FAILED;
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

	async_state_enter(session, WAITING);
	h->turn.waits = true;
	h->deadline_ns = (again ? now_ns : h->a.began_ns) + lend_settings.timeout_ns;
	log_event_wait(h->a.lender);
	if (again) {
		pool_acquire_again(pool, now_ns, &h->waiter, ring);
	} else {
		pool_acquire(pool, now_ns, &h->waiter, ring);
	}
	look_ns = next_look(h, now_ns);
	/* The wakeup was made with the later time. */
	if (again || look_ns < wait_next_look(h->deadline_ns, now_ns)) {
		wakeup_set(&h->shown.wakeup, look_ns);
	}
	/* Granted at once, or just before the wakeup was set. */
	if (pool_granted(pool, &h->waiter) != POOL_FULL) {
		ring(&h->waiter);
	}
}

/* What it had was given to another connect: forgets what is left of it. */
static void forget_lost(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (h->state == CHECKING) {
		async_state_hand_out(session, DROP_ABANDONED);
	} else if (h->state == CLEARING) {
		discard_free(h->other);
		h->other = NULL;
	}
	borrow_drop(&h->borrow);
	async_state_enter(session, WAITING);
}

enum steps_held steps_hold(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (turn_go(&h->turn)) {
		return STEPS_HELD;
	}
	forget_lost(session);
	if (!shown_is_wakeup(&h->shown) &&
	    !shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn), 0)) {
		async_state_refuse_by(session, errno);
		return STEPS_REFUSED;
	}
	turn_take(&h->turn);
	steps_queue(session, true);
	return STEPS_IN_LINE;
}

/* ---- checking -------------------------------------------------------------------- */

/* Dead: a new session in the room of the old one, under the same PGconn. */
static PostgresPollingStatusType replace(struct session *session, enum drop_reason why)
{
	discard_unfit(session, why);
	async_state_hand_out(session, why);
	return renew(session);
}

static PostgresPollingStatusType go_on_checking(struct session *session)
{
	struct async_connect *h = session->handshake;
	enum check_step step;
	enum drop_reason why;

	async_conn_note(&h->connecting, session);
	step = reset_check_more(session, &lend_settings.care, clock_monotonic_ns(), &why);
	if (step == CHECK_UNFIT) {
		return replace(session, why);
	}
	async_conn_forget(&h->connecting);
	if (step == CHECK_PENDING) {
		return async_state_await_answer(session);
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
		async_state_enter(session, OPENING);
		shown_own(&h->shown);
		return async_state_rest(session, PGRES_POLLING_WRITING);
	case ASKING:
		return go_on_asking(session);
	case WAITING:
		break;
	}
	return go_on_waiting(session);
}

/* Gives a checked session up for a new connection. */
static void give_up_checked(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (h->state == CHECKING) {
		async_state_hand_out(session, DROP_PROGRAM_RESET);
	}
	async_state_enter(session, OPENING);
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
	if (h->state == WAITING || h->state == CLEARING || h->state == ASKING) {
		/* It stays withheld. */
		async_state_rest(session, told ? PGRES_POLLING_WRITING : h->wants);
		return true;
	}
	give_up_checked(session);
	if (!async_conn_again(&h->connecting, session)) {
		session->error = errno;
		fail_open(session);
		return false;
	}
	/*
	 * The program was told to wait until there is something to read, which the new
	 * connection will not have before libpq has sent something.
	 */
	if (!told && h->polled &&
	    shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn), 0)) {
		async_state_enter(session, RENEWED);
		wakeup_ring(&h->shown.wakeup);
	}
	async_state_rest(session,
	                 h->state == RENEWED ? PGRES_POLLING_READING : PGRES_POLLING_WRITING);
	return true;
}

void steps_reset(struct session *session)
{
	struct async_connect *h = session->handshake;

	give_up_checked(session);
	/* What PQreset does is not recorded. */
	start_tape_free(h->connecting.tape);
	h->connecting.tape = NULL;
	notices_again(&h->connecting.opening);
	h->connecting.began_ns = clock_monotonic_ns();
	session->check.mode_is_ours = false;
	session->libpq->PQreset(session->conn);
	session->error = errno;
	if (is_of_parent(session)) {
		async_state_let_go(session);
	} else if (session->libpq->PQstatus(session->conn) == CONNECTION_OK) {
		opened(session);
	} else {
		fail_open(session);
	}
}
