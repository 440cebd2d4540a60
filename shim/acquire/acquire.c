/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connect that blocks, in a pool or past it; acquire.h has the picture.
 *
 * It may never return from where it blocks. What it has in hand there is noted in the
 * acquisition's ticket (blocked_call.h); where it does return it first asks whether that is
 * still its own.
 */
#include "acquire/acquire.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "acquire/full/refusal.h"
#include "acquire/full/wait.h"
#include "acquire/keeper_turn.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/acquisition.h"
#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/prewarm.h"
#include "acquire/race.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/thread/cancellation.h"
#include "key/connect_draft.h"
#include "session/opened/connect_notices.h"
#include "session/reset.h"
#include "share/shared_session.h"
#include "trace/status/status.h"

/* Puts what libpq made on a lease that is only tracked, if it succeeded. */
static COLD PGconn *track(const struct acquisition *a, PGconn *conn)
{
	if (conn != NULL && a->libpq->PQstatus(conn) == CONNECTION_OK) {
		lending_track(a, conn);
	}
	return conn;
}

/* Not to be pooled: the program's own connect. */
static COLD PGconn *connect_plain(struct acquisition *a, const struct connect_call *call)
{
	acquisition_locate(a);
	lock_assert_none();
	errno = a->error;
	return track(a, conninfo_connect(a->libpq, call));
}

/* Gives the connection to the program, and frees the session. */
static PGconn *hand_over(struct session *session)
{
	PGconn *conn = session->conn;
	int error = session->error;

	session_free(session);
	errno = error;
	return conn;
}

static bool failed(const struct session *session)
{
	return session->conn == NULL ||
	       session->libpq->PQstatus(session->conn) != CONNECTION_OK;
}

/* Has the status page show where the connection is taken. */
static COLD void make_page(void *arg)
{
	const struct acquisition *a = arg;

	cancellation_forbid();
	status_make();
	status_stack(a->stack);
	cancellation_allow();
}

static struct session *open_on(const struct acquisition *a, struct start_tape *tape,
                               const struct notices_meanwhile *meanwhile)
{
	PGconn **noted = blocked_call_conn(&a->ticket, a->libpq);
	struct session *session;

	start_tape = tape;
	session = session_open(a->libpq, a->spelling->conninfo, a->error, noted, meanwhile);
	start_tape = NULL;
	return session;
}

/*
 * Opens a session; once more, if closing our idle ones may help. NULL: out of memory. Its start
 * is recorded on the tape, unless that is NULL.
 */
static struct session *open_session(struct acquisition *a, struct start_tape *tape)
{
	const struct notices_meanwhile meanwhile = {.waiting = make_page, .arg = a};
	struct session *session = open_on(a, tape, &meanwhile);

	if (session == NULL || session->conn == NULL || !failed(session) ||
	    !sweep_may_help(session) || !sweep_make_room(clock_monotonic_ns() + END_WAIT_NS)) {
		return session;
	}
	a->libpq->PQfinish(session->conn);
	session_free(session);
	return open_on(a, tape, NULL);
}

/*
 * What came of opening a session in a room of this acquisition's, for the program; and for all
 * processes, if there is a `borrow`, with its tape.
 */
static COLD PGconn *settle(struct acquisition *a, struct session *session, uint64_t took_ns,
                           struct borrow *borrow, struct start_tape *tape)
{
	if (session != NULL && !failed(session) && lending_enter(session, a->lender)) {
		lending_admit(session, took_ns);
		if (borrow != NULL) {
			borrow_opened(borrow, session, tape);
		}
		return lending_begin(a, session);
	}
	if (borrow != NULL) {
		ask_drop(borrow->ask);
	}
	pool_open_failed(&a->lender->pool);
	sweep_pool(a->lender, clock_monotonic_ns());
	if (session == NULL || session->conn == NULL) {
		free(session);
		return NULL;
	}
	if (failed(session)) {
		log_event_open_failed(a->lender, a->libpq->PQerrorMessage(session->conn),
		                      took_ns);
	}
	return hand_over(session);
}

/*
 * Opens a session in the room that the pool reserved for this acquisition, which its ticket
 * holds; for all processes to share, if there is a `borrow`. Without `room` it is the program's
 * alone.
 */
static COLD PGconn *open_really(struct acquisition *a, bool room, struct borrow *borrow)
{
	uint64_t began_ns = clock_monotonic_ns();
	struct pool *pool = &a->lender->pool;
	struct start_tape *tape = borrow != NULL ? start_tape_blank(a->libpq) : NULL;
	struct session *session;
	uint64_t took_ns;
	PGconn *conn;

	blocked_call_block(&a->ticket, began_ns + CONNECT_OVERDUE_NS);
	session = open_session(a, tape);
	took_ns = clock_monotonic_ns() - began_ns;
	if (!blocked_call_back(&a->ticket)) {
		/* What was asked of the keeper was given back. */
		borrow = NULL;
		room = pool_reserve(pool, 1) == 1;
	}
	if (!room) {
		/* It was given to another connect meanwhile. */
		start_tape_free(tape);
		return session != NULL ? track(a, hand_over(session)) : NULL;
	}
	blocked_call_hold_nothing(&a->ticket);
	conn = settle(a, session, took_ns, borrow, tape);
	start_tape_free(tape);
	return conn;
}

/* The same, from the keeper if there is one. */
static COLD PGconn *open_in_room(struct acquisition *a)
{
	struct pool *pool = &a->lender->pool;
	struct session *session;
	struct borrow borrow;
	PGconn *conn;
	char *holders;
	enum keeper_turn turn;

	blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	turn = keeper_turn_take(a, &borrow, &session, &holders);
	acquisition_locate(a);
	switch (turn) {
	case KEEPER_TURN_ALONE:
		return open_really(a, true, NULL);
	case KEEPER_TURN_LOST:
		return open_really(a, pool_reserve(pool, 1) == 1, NULL);
	case KEEPER_TURN_OPEN:
		return open_really(a, true, &borrow);
	case KEEPER_TURN_LENT:
		blocked_call_hold_nothing(&a->ticket);
		return lending_begin(a, session);
	case KEEPER_TURN_REFUSED:
		break;
	}
	blocked_call_hold_nothing(&a->ticket);
	pool_open_failed(pool);
	conn = refusal_by_keeper(a, holders);
	free(holders);
	return conn;
}

/* ---- the first connect of a process ------------------------------------------------- */

/* One that is opened before it is known what it asks for (acquisition_begin_first). */
struct first_connect {
	struct acquisition *a;
	const struct connect_call *call;
	bool room; /* its pool has reserved one */
};

static void reserve_room(struct first_connect *first, const PGconn *conn)
{
	struct acquisition *a = first->a;

	acquisition_resolve(a, first->call, conn);
	first->room =
		first->room || (a->lender != NULL && pool_reserve(&a->lender->pool, 1) == 1);
}

/* Before libpq waits: other coroutines of the program may take rooms and change variables. */
static COLD void resolve_begun(void *arg, PGconn *conn)
{
	struct first_connect *first = arg;
	struct acquisition *a = first->a;

	blocked_call_back(&a->ticket);
	reserve_room(first, conn);
	if (first->room) {
		blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	}
	blocked_call_block(&a->ticket, a->began_ns + CONNECT_OVERDUE_NS);
}

static COLD void locate_waiting(void *arg)
{
	const struct first_connect *first = arg;

	cancellation_forbid();
	acquisition_locate(first->a);
	make_page(first->a);
}

static COLD PGconn *connect_first(struct acquisition *a, const struct connect_call *call)
{
	struct first_connect first = {.a = a, .call = call};
	const struct notices_meanwhile meanwhile = {
		.begun = resolve_begun, .waiting = locate_waiting, .arg = &first};
	PGconn **noted = blocked_call_conn(&a->ticket, a->libpq);
	struct session *session;
	uint64_t took_ns;

	/* No room yet: if the call never returns, the connection alone is finished. */
	blocked_call_hold_rooms(&a->ticket, NULL, 0);
	blocked_call_block(&a->ticket, a->began_ns + CONNECT_OVERDUE_NS);
	session = session_open(a->libpq, a->draft->conninfo, a->error, noted, &meanwhile);
	took_ns = clock_monotonic_ns() - a->began_ns;
	if (!blocked_call_back(&a->ticket)) {
		first.room = false;
	}
	blocked_call_hold_nothing(&a->ticket);
	reserve_room(&first, session != NULL ? session->conn : NULL);
	acquisition_locate(a);
	if (first.room) {
		return settle(a, session, took_ns, NULL, NULL);
	}
	return session != NULL ? track(a, hand_over(session)) : NULL;
}

/* ---- what the pool has --------------------------------------------------------------- */

/*
 * Closes a session that is not to be lent, so that a new one can be opened in its room. False:
 * the room was given to another connect meanwhile.
 */
static COLD bool clear_room(struct acquisition *a, struct pool_slot *slot, enum drop_reason why)
{
	struct session *session = session_of_slot(slot);
	bool back;

	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CLEARING, slot);
	blocked_call_block(&a->ticket, clock_monotonic_ns() + END_WAIT_NS);
	if (session->conn != NULL) {
		discard_close(session, why, 0);
	}
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		session_await_end(session, clock_monotonic_ns() + END_WAIT_NS);
	}
	back = blocked_call_back(&a->ticket);
	blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	discard_free(session);
	return back;
}

/* Replaces one that did not pass its check; `in_time`: its room is still ours. Likewise. */
static COLD bool replace_checked(struct acquisition *a, struct session *session,
                                 enum drop_reason why, bool in_time)
{
	if (!in_time) {
		discard_close(session, DROP_ABANDONED, 0);
		discard_free(session);
		return false;
	}
	discard_unfit(session, why);
	return clear_room(a, &session->slot, why);
}

static PGconn *lend_checked(struct acquisition *a, struct session *session)
{
	blocked_call_hold_nothing(&a->ticket);
	pool_lent(&session->slot);
	return lending_begin(a, session);
}

/*
 * The same of one that says nothing: itself, or what was opened beside it, in its room.
 */
static COLD PGconn *lend_silent(struct acquisition *a, struct session *session, bool *room)
{
	enum drop_reason why;
	struct race race;

	*room = false;
	if (!race_run(a, session, &race, &why)) {
		replace_checked(a, session, DROP_ABANDONED, false);
		return race.opened != NULL ? track(a, hand_over(race.opened)) : NULL;
	}
	if (why == DROP_NONE) {
		return lend_checked(a, session);
	}
	if (race.opened == NULL) {
		*room = replace_checked(a, session, why, true);
		return NULL;
	}
	discard_unfit(session, why);
	discard_close(session, why, 0);
	blocked_call_hold_nothing(&a->ticket);
	discard_free(session);
	return settle(a, race.opened, race.took_ns, NULL, NULL);
}

/* The idle session that was granted, if it passes its check. Else NULL; `*room`: in its room
 * another can be opened. */
static PGconn *lend_idle(struct acquisition *a, struct pool_slot *slot, bool *room)
{
	struct session *session = session_of_slot(slot);
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t silence_ns = race_begins_after_ns(session);
	enum drop_reason why;
	bool in_time;

	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CHECK, slot);
	blocked_call_block(&a->ticket, now_ns + silence_ns);
	why = reset_check(session, &lend_settings.care, now_ns, silence_ns);
	in_time = blocked_call_back(&a->ticket);
	if (in_time && why == DROP_PING_FAILED && session->check.silent &&
	    silence_ns < reset_patience_ns(session, &lend_settings.care)) {
		return lend_silent(a, session, room);
	}
	if (!in_time || why != DROP_NONE) {
		*room = replace_checked(a, session, why, in_time);
		return NULL;
	}
	return lend_checked(a, session);
}

/*
 * Opens a session for a call that was lent none. If a signal handler or a coroutine of the same
 * thread connected meanwhile, what is asked for is no longer known.
 */
static COLD PGconn *open_instead(struct acquisition *a, const struct connect_call *call,
                                 bool room)
{
	struct pool *pool = &a->lender->pool;
	bool known = acquisition_lasts(a);

	if (known) {
		acquisition_keep(a);
	}
	if (!room && known) {
		room = pool_reserve(pool, 1) == 1;
	}
	if (room && known) {
		return open_in_room(a);
	}
	if (room) {
		pool_open_failed(pool);
		blocked_call_hold_nothing(&a->ticket);
	}
	return connect_plain(a, call);
}

/* What the pool has; an idle session only if it may be used, or others wait for it. */
static enum pool_grant ask_pool(struct acquisition *a, enum shared_hold *hold)
{
	struct pool_waiter *waiter = blocked_call_waiter(&a->ticket);
	enum pool_grant grant;

	*hold = SHARED_HELD;
	borrow_keep_up(true);
	while ((grant = pool_acquire(&a->lender->pool, a->began_ns, waiter, NULL)) ==
	               POOL_LEND &&
	       (*hold = shared_take(session_of_slot(waiter->slot))) == SHARED_LOST) {
		discard_leave(session_of_slot(waiter->slot));
		discard_drop(session_of_slot(waiter->slot));
	}
	return grant;
}

static PGconn *connect_pooled(struct acquisition *a, const struct connect_call *call)
{
	struct pool *pool = &a->lender->pool;
	struct pool_waiter *waiter = blocked_call_waiter(&a->ticket);
	enum pool_grant grant;
	enum shared_hold hold;
	bool doomed = false;
	bool room = true;
	PGconn *conn = NULL;

	orders_look();
	sweep_pool(a->lender, a->began_ns);
	sweep_others(a->began_ns);
	if (lend_settings.prewarm > 1 && !orders_are_paused() &&
	    !atomic_flag_test_and_set(&a->lender->prewarmed)) {
		acquisition_keep(a);
		prewarm_pool(a);
	}
	grant = ask_pool(a, &hold);
	if (grant != POOL_OPEN) {
		acquisition_locate(a);
	}
	long_hold_look_at(a->lender, a->began_ns);
	if (grant == POOL_FULL && abandoned_call_others(&a->ticket) && !wait_yields()) {
		grant = pool_leave(pool, waiter);
		if (grant == POOL_FULL) {
			return connect_plain(a, call);
		}
	} else if (grant == POOL_FULL) {
		acquisition_keep(a);
		grant = wait_for_turn(a, &doomed);
		if (grant == POOL_LEND) {
			hold = shared_take(session_of_slot(waiter->slot));
		}
	}
	switch (grant) {
	case POOL_FULL:
		return refusal_give(a, doomed);
	case POOL_LEND:
		if (hold != SHARED_HELD) {
			discard_leave(session_of_slot(waiter->slot));
			discard_free(session_of_slot(waiter->slot));
			break;
		}
		conn = lend_idle(a, waiter->slot, &room);
		break;
	case POOL_REPLACE:
		room = clear_room(a, waiter->slot, waiter->why);
		break;
	case POOL_OPEN:
		break;
	}
	return conn != NULL ? conn : open_instead(a, call, room);
}

PGconn *acquire_connection(const struct libpq *libpq, const struct connect_call *call,
                           const void *caller)
{
	struct acquisition a;
	int error = errno;
	PGconn *conn;
	bool first;

	abandoned_call_tend();
	errno = error;
	first = acquisition_begin_first(&a, libpq, call, caller);
	if (!first) {
		acquisition_begin(&a, libpq, call, caller);
	}
	/* A first one is opened even if there is no memory for its record. */
	if ((first || a.lender != NULL) && (blocked_call_begin(&a.ticket) || first)) {
		conn = first ? connect_first(&a, call) : connect_pooled(&a, call);
		error = errno;
		blocked_call_end(&a.ticket);
		errno = error;
	} else {
		conn = connect_plain(&a, call);
	}
	acquisition_end(&a);
	return conn;
}
