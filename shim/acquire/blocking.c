/* SPDX-License-Identifier: PostgreSQL */
/* A connect that blocks: what the pool grants, and what is made of it. */
#include "acquire/blocking.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "acquire/full/refusal.h"
#include "acquire/full/wait.h"
#include "acquire/lend/log_events.h"
#include "acquire/lend/long_hold.h"
#include "acquire/prewarm.h"
#include "base/clock.h"
#include "session/reset.h"

PGconn *blocking_plain(const struct acquisition *a, const struct connect_call *call)
{
	PGconn *conn;

	errno = a->error;
	conn = conninfo_connect(a->libpq, call);
	if (conn != NULL && a->libpq->PQstatus(conn) == CONNECTION_OK) {
		lending_track(a, conn);
	}
	return conn;
}

/*
 * A connect takes no longer than this, with the timeouts that people set and a few hosts. If it
 * does, it may find that it has to go without its room.
 */
#define OVERDUE_NS (120 * NS_PER_SEC)

/* A session without a lease, whose connection is not to be touched again. */
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

/* Opens a session; once more, if closing our idle ones may help. NULL: out of memory. */
static struct session *open_session(const struct acquisition *a)
{
	PGconn **noted = blocked_call_conn(&a->ticket, a->libpq);
	struct session *session =
		session_open(a->libpq, a->spelling->conninfo, a->error, noted);

	if (session == NULL || session->conn == NULL || !failed(session) ||
	    !lending_wants_room(session) ||
	    !lending_close_all_idle(DROP_MAKE_ROOM, clock_monotonic_ns() + END_WAIT_NS, true)) {
		return session;
	}
	a->libpq->PQfinish(session->conn);
	session_free(session);
	return session_open(a->libpq, a->spelling->conninfo, a->error, noted);
}

/* The room was given back meanwhile, and there is no other. */
static COLD PGconn *go_without_room(const struct acquisition *a, struct session *session)
{
	PGconn *conn = session != NULL ? hand_over(session) : NULL;

	if (conn != NULL && a->libpq->PQstatus(conn) == CONNECTION_OK) {
		lending_track(a, conn);
	}
	return conn;
}

/* Opens a session in the room that the pool reserved for this acquisition. */
static COLD PGconn *open_in_room(struct acquisition *a)
{
	uint64_t began_ns = clock_monotonic_ns();
	struct pool *pool = &a->lender->pool;
	struct session *session;
	uint64_t took_ns;

	blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	blocked_call_block(&a->ticket, began_ns + OVERDUE_NS);
	session = open_session(a);
	took_ns = clock_monotonic_ns() - began_ns;
	if (!blocked_call_back(&a->ticket) && pool_reserve(pool, 1) == 0) {
		return go_without_room(a, session);
	}
	blocked_call_hold_nothing(&a->ticket);
	if (session == NULL || failed(session)) {
		pool_open_failed(pool);
		if (session == NULL || session->conn == NULL) {
			free(session);
			return NULL;
		}
		log_event_open_failed(a->lender, a->libpq->PQerrorMessage(session->conn),
		                      took_ns);
		return hand_over(session);
	}
	if (!lending_enter(session, a->lender)) {
		pool_open_failed(pool);
		return hand_over(session);
	}
	lending_admit(session, took_ns);
	return lending_begin(a, session);
}

/* Makes way for a new session in the room of one that is not to be lent. False: it is lost. */
static COLD bool clear_room(struct acquisition *a, struct pool_slot *slot, enum drop_reason why)
{
	struct session *session = session_of_slot(slot);
	bool back;

	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CLEARING, slot);
	blocked_call_block(&a->ticket, clock_monotonic_ns() + END_WAIT_NS);
	if (session->conn != NULL) {
		lending_close(session, why, 0);
	}
	/* A server that did not answer will not hang up either. */
	if (why != DROP_PING_FAILED) {
		session_await_end(session, clock_monotonic_ns() + END_WAIT_NS);
	}
	back = blocked_call_back(&a->ticket);
	blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	lending_write_off(session);
	return back;
}

/* What a check has found is to be closed, and its room to be had. False: that is lost. */
static COLD bool replace_idle(struct acquisition *a, struct pool_slot *slot,
                              enum drop_reason why)
{
	lending_unfit(session_of_slot(slot), why);
	return clear_room(a, slot, why);
}

/* The room of a session that took so long to check that it was given up. */
static COLD bool forget_checked(struct session *session)
{
	lending_close(session, DROP_ABANDONED, 0);
	lending_write_off(session);
	return false;
}

/*
 * The idle session that was granted, if it is fit. Else NULL, and `*room` tells whether its
 * room is there for another.
 */
static PGconn *lend_idle(struct acquisition *a, struct pool_slot *slot, bool *room)
{
	struct session *session = session_of_slot(slot);
	uint64_t now_ns = clock_monotonic_ns();
	enum drop_reason why;

	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CHECK, slot);
	blocked_call_block(&a->ticket,
	                   now_ns + reset_patience_ns(session, &lending_settings.care));
	why = reset_check(session, &lending_settings.care, now_ns);
	if (!blocked_call_back(&a->ticket)) {
		*room = forget_checked(session);
	} else if (why != DROP_NONE) {
		*room = replace_idle(a, slot, why);
	} else {
		blocked_call_hold_nothing(&a->ticket);
		pool_lent(slot);
		return lending_begin(a, session);
	}
	return NULL;
}

/*
 * A session of its own for a call that found none. Another connect of the thread may have come
 * in between, by a signal handler or a coroutine, with which what is asked for is forgotten.
 */
static COLD PGconn *open_instead(struct acquisition *a, const struct connect_call *call,
                                 bool room)
{
	struct pool *pool = &a->lender->pool;
	bool known = lending_remembers(a);

	if (known) {
		lending_keep(a);
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
	return blocking_plain(a, call);
}

PGconn *blocking_pooled(struct acquisition *a, const struct connect_call *call)
{
	struct pool *pool = &a->lender->pool;
	struct pool_waiter *waiter = blocked_call_waiter(&a->ticket);
	enum pool_grant grant;
	bool doomed = false;
	bool room = true;
	PGconn *conn = NULL;

	lending_tend(a->lender, a->began_ns);
	lending_tend_others(a->began_ns);
	if (lending_settings.prewarm > 1 && !atomic_flag_test_and_set(&a->lender->prewarmed)) {
		lending_keep(a);
		prewarm_pool(a);
	}
	grant = pool_acquire(pool, a->began_ns, waiter, blocked_call_granted);
	long_hold_look_at(a->lender, a->began_ns);
	if (grant == POOL_FULL && blocked_call_others(&a->ticket) && !wait_yields()) {
		grant = pool_leave(pool, waiter);
		if (grant == POOL_FULL) {
			return blocking_plain(a, call);
		}
	} else if (grant == POOL_FULL) {
		lending_keep(a);
		grant = wait_for_turn(a, &doomed);
	}
	switch (grant) {
	case POOL_FULL:
		return refusal_give(a, doomed);
	case POOL_LEND:
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
