/* SPDX-License-Identifier: PostgreSQL */
/* PQfinish: the lease ends, and its session is reset and kept, or finished for a reason. */
#include "acquire/release.h"

#include <stdatomic.h>

#include "acquire/async/async_connect.h"
#include "acquire/async/async_unpooled.h"
#include "acquire/conn_use.h"
#include "acquire/deferred_finish.h"
#include "acquire/fork_exec_exit.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/acquisition.h"
#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "base/thread/pid.h"
#include "session/check_return.h"
#include "session/own_query.h"
#include "session/reset.h"
#include "session/socket/idle_number.h"
#include "share/shared_session.h"
#include "trace/lease/snapshot.h"
#include "trace/log/record.h"
#include "trace/script/program_end.h"
#include "trace/stack/stack.h"

/* If a session's leases end this far apart, its reset's answer is awaited for that long. */
#define QUIET_NS      (10 * NS_PER_MS)
#define QUIET_WAIT_NS NS_PER_MS

static COLD void release_inherited(struct session *session)
{
	/* A pool's slot is the parent's; only the PGconn is freed here. */
	session->lender = NULL;
	lease_forget(&session->lease);
	if (acquire_owner_lives(session->owner)) {
		session_finish_inherited(session);
	} else {
		session_finish(session);
	}
	session_free(session);
}

/* Finishes a session that is not kept. */
static COLD void drop_leased(struct session *session, enum drop_reason why)
{
	struct lender *lender = session->lender;
	struct blocked_call ticket = {0};

	/* Out of the table first: the address is free for a new PGconn after the finish. */
	lease_forget(&session->lease);
	log_event_session_close(session, why);
	discard_explain(session, why);
	/* An event procedure of the program's may never return. */
	if (lender != NULL && blocked_call_begin(&ticket)) {
		blocked_call_hold_slot(&ticket, BLOCKED_CALL_CLEARING, &session->slot);
	}
	session_finish(session);
	shared_closed(session);
	blocked_call_end(&ticket);
	/* If the finish called a callback that forked, this may be the child. */
	if (lender == NULL || session->owner != pid_self()) {
		session_free(session);
		return;
	}
	if (why == DROP_BROKEN) {
		pool_invalidate(&lender->pool, clock_monotonic_ns());
	}
	lender_hold(lender);
	discard_drop(session);
	sweep_pool(lender, clock_monotonic_ns());
	lender_release(lender);
}

/* The whole stack if the log shows it, else the place alone. */
static uint32_t capture_end(const void *caller)
{
	return stack_capture(caller, record_wants(LEVEL_INFO) ? lend_settings.stack_depth : 0);
}

/* A lease that only the program's end releases is a leak of the second kind. */
static void note_lateness(const struct session *session, struct lease *ended,
                          const void *caller)
{
	if (ended->begun_at_exit || !program_end_now(caller)) {
		return;
	}
	ended->at_exit = true;
	lease_read_activity(ended);
	lease_keep_late(ended);
	if (session->lender != NULL) {
		/* For good: the report needs its label. */
		lender_hold(session->lender);
	}
}

/*
 * If the program is killed before the answer to the reset is read, the server logs a connection
 * reset. So it is awaited here, unless leases follow each other quickly, or the answer, read at
 * the next connect, is the only proof that the server is alive.
 */
static enum drop_reason await_reset(struct session *session, const struct lease *ended)
{
	if (session->flight == FLIGHT_NONE || lend_settings.care.pre_ping == PRE_PING_OFF ||
	    ended->ended_ns - session->slot.idle_ns < QUIET_NS ||
	    pool_count(&session->lender->pool).waiting > 0) {
		return DROP_NONE;
	}
	return own_query_await(session, clock_monotonic_ns() + QUIET_WAIT_NS);
}

/*
 * Sends the reset. But after the first lease of all the program may be about to end, which
 * needs none: if nobody can tell the difference, the next acquire sends it. A shared session's
 * next acquire may be another process's.
 */
static enum drop_reason send_reset(struct session *session)
{
	static atomic_bool first_is_over;

	/* Once it is set it is only read, so that threads share its line. */
	if (session->shared == NULL &&
	    !atomic_load_explicit(&first_is_over, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&first_is_over, true, memory_order_relaxed) &&
	    reset_can_wait(session)) {
		reset_postpone(session);
		return DROP_NONE;
	}
	return reset_send(session, &lend_settings.care);
}

static void end_lease(struct session *session, struct lease *ended, uint32_t stack,
                      const void *caller)
{
	struct lender *lender = session->lender;
	unsigned alterations;
	enum drop_reason why;

	orders_look();
	note_lateness(session, ended, caller);
	lease_forget_statement(&session->activity);
	if (session->altered) {
		sweep_invalidate_all();
	}
	alterations = sweep_alterations();
	why = check_returned(session, ended, &lend_settings.care);
	if (why == DROP_NONE && acquisition_is_closing()) {
		why = DROP_EXIT;
	}
	if (why == DROP_NONE) {
		why = discard_keeps_none(lender, ended->ended_ns);
	}
	if (why == DROP_NONE) {
		why = pool_return(&lender->pool, &session->slot, ended->ended_ns);
	}
	if (why == DROP_NONE) {
		why = send_reset(session);
	}
	/* Of a shared session the keeper reads it. */
	if (why == DROP_NONE && session->shared == NULL) {
		why = await_reset(session, ended);
	}
	lending_note_given_back(ended, why);
	/* Before another thread can be lent the session, so that the log is in order. */
	log_event_release(ended, why, stack);
	if (why != DROP_NONE) {
		drop_leased(session, why);
		return;
	}
	/* The session, which holds the lender, is not anybody else's yet. */
	sweep_pool(lender, ended->ended_ns);
	idle_number_note(session->libpq, session->libpq->PQsocket(session->conn),
	                 session->socket_ino);
	shared_give(session, &lend_settings.care, MEMBER_PATIENCE_NS);
	pool_keep(&lender->pool, &session->slot, ended->ended_ns);
	/* A statement altered something meanwhile, and this one was not idle to be closed. */
	if (sweep_alterations() != alterations) {
		sweep_all(clock_monotonic_ns());
	}
}

static void note_hold(const struct session *session, const struct lease *ended)
{
	long_hold_note_end(ended, ended->ended_ns);
	long_hold_look(ended->ended_ns);
	if (session->lender != NULL) {
		long_hold_look_at(session->lender, ended->ended_ns);
	}
}

static COLD void finish_unleased(struct session *session, const void *caller)
{
	if (session->handshake != NULL) {
		async_abandon(session);
	} else if (session->passing) {
		async_unpooled_abandon(session);
	} else if (session->refusal != NULL) {
		lease_forget(&session->lease);
		session->libpq->PQfinish(session->conn);
		session->conn = NULL;
		discard_free(session);
	} else {
		conn_use_is_misuse(session->lease.conn, "PQfinish", caller);
	}
}

void release_connection(const struct libpq *libpq, PGconn *conn, const void *caller)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lease *lease = NULL;
	struct lease ended;
	uint32_t stack;

	abandoned_call_tend();
	stack = lease_find(conn, &lease) == LEASE_OPEN ? capture_end(caller) : 0;

	switch (lease_end(conn, now_ns, stack, &lease, &ended)) {
	case LEASE_UNKNOWN:
		if (libpq != NULL) {
			libpq->PQfinish(conn);
		}
		break;
	case LEASE_IDLE:
		finish_unleased(session_of_lease(lease), caller);
		break;
	case LEASE_OPEN:
		if (session_of_lease(lease)->owner != pid_self()) {
			release_inherited(session_of_lease(lease));
		} else {
			note_hold(session_of_lease(lease), &ended);
			end_lease(session_of_lease(lease), &ended, stack, caller);
		}
		break;
	}
}

bool release_postpone(const struct libpq *libpq, PGconn *conn, const void *caller)
{
	const struct deferred_finish finish = {.conn = conn, .libpq = libpq, .caller = caller};

	return deferred_finish_note(&finish);
}

void release_catch_up(void)
{
	struct deferred_finish finish;

	while (deferred_finish_any() && deferred_finish_next(&finish)) {
		release_connection(finish.libpq, finish.conn, finish.caller);
	}
}
