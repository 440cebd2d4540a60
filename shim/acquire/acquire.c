/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire and release.
 *
 * Owner of a session at each moment: the pool while idle, else whoever holds its slot.
 * Each session counts its lender, and gives that up in lending_write_off().
 */
#include "acquire/acquire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acquire/async/async_connect.h"
#include "acquire/async/async_unpooled.h"
#include "acquire/blocking.h"
#include "acquire/deferred_finish.h"
#include "acquire/full/refusal.h"
#include "acquire/lend/lending.h"
#include "acquire/lend/log_events.h"
#include "acquire/lend/long_hold.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/thread/pid.h"
#include "session/cancel/cancel_scope.h"
#include "session/check_return.h"
#include "session/own_query.h"
#include "session/reset.h"
#include "sql/effects.h"
#include "trace/lease/snapshot.h"
#include "trace/log/record.h"
#include "trace/script/program_end.h"
#include "trace/stack/stack.h"

/* Leases of a session that follow each other more slowly leave time to see its reset answered.
 */
#define QUIET_NS      (10 * NS_PER_MS)
#define QUIET_WAIT_NS NS_PER_MS

/* The message of a connection that the program has finished. */
static const char finished_before[] = "pqpool: the connection was already finished\n";

/* Lines in the log about the stale pointer to one lease. */
#define MISUSES_TOLD 8

/* ---- acquire ------------------------------------------------------------------- */

PGconn *acquire_connection(const struct libpq *libpq, const struct connect_call *call,
                           const void *caller)
{
	struct acquisition a;
	PGconn *conn;
	int error = errno;

	blocked_call_tend();
	errno = error;
	lending_ask(&a, libpq, call, caller);
	if (a.lender != NULL && blocked_call_begin(&a.ticket)) {
		conn = blocking_pooled(&a, call);
		error = errno;
		blocked_call_end(&a.ticket);
		errno = error;
	} else {
		conn = blocking_plain(&a, call);
	}
	lending_answered(&a);
	return conn;
}

/* ---- release ------------------------------------------------------------------- */

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

/* Ends what the program was given and we do not keep. */
static COLD void drop_leased(struct session *session, enum drop_reason why)
{
	struct lender *lender = session->lender;
	struct blocked_call ticket = {0};

	/* Out of the table first: the address is free for a new PGconn after the finish. */
	lease_forget(&session->lease);
	log_event_session_close(session, why);
	lending_explain(session, why);
	/* An event procedure of the program's may leave for good. */
	if (lender != NULL && blocked_call_begin(&ticket)) {
		blocked_call_hold_slot(&ticket, BLOCKED_CALL_CLEARING, &session->slot);
	}
	session_finish(session);
	blocked_call_end(&ticket);
	/* Whose lender it is not, where a callback has forked that the finish had called. */
	if (lender == NULL || session->owner != pid_self()) {
		session_free(session);
		return;
	}
	if (why == DROP_BROKEN) {
		pool_invalidate(&lender->pool, clock_monotonic_ns());
	}
	lender_hold(lender);
	lending_drop(session);
	lending_tend(lender, clock_monotonic_ns());
	lender_release(lender);
}

/* The whole stack if the log is to show it, else the place alone. */
static uint32_t capture_end(const void *caller)
{
	return stack_capture(caller,
	                     record_wants(LEVEL_INFO) ? lending_settings.stack_depth : 0);
}

/* Held to the end and released by nothing else: a leak of the second kind. */
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
		/* For good: the report will want its label. */
		lender_hold(session->lender);
	}
}

/*
 * A program that does not come back soon may be killed before it reads the answer to the reset,
 * and the server would log an answer that nobody read as a connection reset. Where leases
 * follow each other quickly the answer is left to the next, and so it is where that is the only
 * proof of life.
 */
static enum drop_reason await_reset(struct session *session, const struct lease *ended)
{
	if (session->flight == FLIGHT_NONE || lending_settings.care.pre_ping == PRE_PING_OFF ||
	    ended->ended_ns - session->slot.idle_ns < QUIET_NS ||
	    pool_count(&session->lender->pool).waiting > 0) {
		return DROP_NONE;
	}
	return own_query_await(session, clock_monotonic_ns() + QUIET_WAIT_NS);
}

static void end_lease(struct session *session, struct lease *ended, uint32_t stack,
                      const void *caller)
{
	struct lender *lender = session->lender;
	unsigned alterations;
	enum drop_reason why;

	note_lateness(session, ended, caller);
	if (session->altered) {
		lending_invalidate_all();
	}
	alterations = lending_alterations();
	why = check_returned(session, ended, &lending_settings.care);
	if (why == DROP_NONE && lending_is_closing()) {
		why = DROP_EXIT;
	}
	if (why == DROP_NONE) {
		why = lending_keeps_none(lender, ended->ended_ns);
	}
	if (why == DROP_NONE) {
		why = pool_return(&lender->pool, &session->slot, ended->ended_ns);
	}
	if (why == DROP_NONE) {
		why = reset_send(session);
	}
	if (why == DROP_NONE) {
		why = await_reset(session, ended);
	}
	lending_note_given_back(ended, why);
	/* Written before anybody else can be given the session, so that the log is in order. */
	log_event_release(ended, why, stack);
	if (why != DROP_NONE) {
		drop_leased(session, why);
		return;
	}
	pool_keep(&lender->pool, &session->slot, ended->ended_ns);
	/* It came back too late to be closed with the others. */
	if (lending_alterations() != alterations) {
		lending_tend_all(clock_monotonic_ns());
	}
}

/* What a finish gives occasion to look at. */
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
		lending_write_off(session);
	} else {
		acquire_misuse(session->lease.conn, "PQfinish", caller);
	}
}

void release_connection(const struct libpq *libpq, PGconn *conn, const void *caller)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lease *lease = NULL;
	struct lease ended;
	uint32_t stack;

	blocked_call_tend();
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

bool acquire_postpone(const struct libpq *libpq, PGconn *conn, const void *caller)
{
	const struct deferred_finish finish = {.conn = conn, .libpq = libpq, .caller = caller};

	return deferred_finish_note(&finish);
}

void acquire_catch_up(void)
{
	struct deferred_finish finish;

	while (deferred_finish_any() && deferred_finish_next(&finish)) {
		release_connection(finish.libpq, finish.conn, finish.caller);
	}
}

void acquire_taint(PGconn *conn, enum drop_reason why)
{
	struct lease *lease;

	switch (lease_find(conn, &lease)) {
	case LEASE_OPEN:
		session_of_lease(lease)->taint = why;
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

bool acquire_misuse(const PGconn *conn, const char *function, const void *caller)
{
	struct lease last;

	if (!lease_misused(conn, &last)) {
		return false;
	}
	if (last.misuses <= MISUSES_TOLD) {
		log_event_misuse(&last, function,
		                 stack_capture(caller, lending_settings.stack_depth));
	}
	return true;
}

void acquire_heed(PGconn *conn, unsigned effects)
{
	enum drop_reason why = check_effects(effects, &lending_settings.care);
	struct lease *lease;

	if (why != DROP_NONE) {
		acquire_taint(conn, why);
	}
	if ((effects & STATEMENT_ALTERS) && lease_find(conn, &lease) == LEASE_OPEN) {
		session_of_lease(lease)->altered = true;
		lending_invalidate_all();
		lending_close_all_idle(DROP_ALTERED, clock_monotonic_ns() + END_WAIT_NS, true);
	}
}

void acquire_note_reset(PGconn *conn)
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
	lease_note_statement(&session->activity, "");
	lease_note_transaction(&session->activity, LEASE_TRANSACTION_IDLE);
	log_event_session_open(session, 0);
}

const char *acquire_refusal(const PGconn *conn)
{
	struct lease *lease;

	if (lease_find(conn, &lease) != LEASE_IDLE) {
		return NULL;
	}
	return lease_is_stale(conn) ? finished_before : session_of_lease(lease)->refusal;
}
