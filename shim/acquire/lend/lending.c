/* SPDX-License-Identifier: PostgreSQL */
/* Puts sessions into the table of leases and on leases. */
#include "acquire/lend/lending.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "base/clock.h"
#include "base/thread/pid.h"
#include "key/home_folder.h"
#include "session/query_call.h"
#include "session/reset.h"
#include "share/shared_session.h"
#include "trace/stack/stack.h"
#include "trace/status/status.h"

/*
 * The part of the program's connect_timeout that the check of an idle session may take; the
 * rest is for the connection that replaces it if it does not answer.
 */
#define CHECK_SHARE 4

void lending_note_given_back(const struct lease *ended, enum drop_reason why)
{
	if (!ended->at_exit && why != DROP_BROKEN && ended->pid == pid_self() &&
	    stack_note_given_back(ended->stack)) {
		status_given_back(ended->stack);
	}
}

/* Spreads the ends of sessions that were opened together. */
static uint16_t jitter_of(const struct session *session)
{
	uint64_t x = (session->id + (uint64_t)session->owner) * 0x9e3779b97f4a7c15ULL;

	return (uint16_t)(x >> 48);
}

void lending_show(struct session *session)
{
	uint32_t pool = 0;

	if (session->lender != NULL) {
		lender_show(session->lender);
		pool = session->lender->pool.row;
	}
	session->said = (struct status_said){0};
	session->lease.row = status_take_session(session->id, session->backend_pid, pool);
}

bool lending_enter(struct session *session, struct lender *lender)
{
	struct lease *vanished = NULL;
	bool entered;

	session->lease.pool = lender != NULL ? lender->identity->label : "not pooled";
	session->lease.pool_plain = lender != NULL && lender->identity->label_plain;
	session->lease.pooled = lender != NULL;
	entered = lease_register(&session->lease, &vanished);
	if (vanished != NULL) {
		struct session *lost = session_of_lease(vanished);

		if (!lost->passing) {
			log_event_session_close(lost, DROP_DESCRIPTOR);
		}
		shared_closed(lost);
		if (lost->vanished != NULL) {
			lost->vanished(lost);
		} else if (lost->lender != NULL && lost->refusal == NULL) {
			pool_forget(&lost->lender->pool, &lost->slot);
		}
		discard_free(lost);
	}
	if (entered && lender != NULL) {
		session->lender = lender;
		session->check_limit_ns = lender->identity->connect_timeout_ns / CHECK_SHARE;
		session->keepalive_s =
			lender->identity->keeps_alive ? 0 : lend_settings.keepalive_s;
		lender_hold(lender);
	}
	/* A connection that is refused is no session, one that is passing none as yet. */
	if (entered && session->refusal == NULL && !session->passing) {
		lending_show(session);
	}
	return entered;
}

PGconn *lending_begin(const struct acquisition *a, struct session *session)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lease_origin origin = {
		.backend_pid = session->backend_pid,
		.now_ns = now_ns,
		.wait_ns = now_ns - a->began_ns,
		.stack = a->stack,
		.at_exit = a->at_exit,
	};

	session->unseen = query_call_unseen();
	status_stack(a->stack);
	lease_begin(&session->lease, &origin);
	long_hold_note_begin(session->lease.began_ns);
	log_event_acquire(session, a->queued_ns);
	return session->conn;
}

const struct libpq *lending_libpq(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_OPEN ? session_of_lease(lease)->libpq : NULL;
}

int lending_used_password(const PGconn *conn)
{
	struct lease *lease;

	return lease_find(conn, &lease) == LEASE_OPEN
	               ? shared_used_password(session_of_lease(lease))
	               : -1;
}

const struct libpq *lending_show_socket(const PGconn *conn)
{
	struct lease *lease;

	if (lease_find(conn, &lease) != LEASE_OPEN) {
		return NULL;
	}
	session_show_socket(session_of_lease(lease));
	return session_of_lease(lease)->libpq;
}

void lending_track(const struct acquisition *a, PGconn *conn)
{
	struct session *session = session_adopt(a->libpq, conn);

	if (session == NULL) {
		return;
	}
	session->taint = DROP_NOT_POOLED;
	if (!lending_enter(session, NULL)) {
		session_free(session);
		return;
	}
	log_event_session_open(session, clock_monotonic_ns() - a->began_ns);
	lending_begin(a, session);
}

/*
 * Whether a session just opened is what its pool's identity says. libpq has looked for the
 * home folder where there is TLS, so that we may, too, and know for the next.
 */
static bool is_as_asked(const struct session *session)
{
	struct identity *identity = session->lender->identity;

	identity_note_password(identity,
	                       session->libpq->PQconnectionUsedPassword(session->conn) != 0);
	if (identity->home_unknown && session->libpq->PQsslInUse(session->conn)) {
		free(home_folder_find(session->libpq));
		return false;
	}
	return identity_holds(identity);
}

void lending_admit(struct session *session, uint64_t took_ns)
{
	struct pool *pool = &session->lender->pool;
	uint64_t now_ns = clock_monotonic_ns();

	if (!pool_landed(pool, session->attrs.place, now_ns - took_ns, now_ns)) {
		session->taint = DROP_INVALIDATED;
	}
	if (session->taint == DROP_NONE && !is_as_asked(session)) {
		session->taint = DROP_OUTDATED;
	}
	pool_opened(pool, &session->slot, now_ns, jitter_of(session));
	pool_began(&session->slot, now_ns - took_ns);
	status_session_opened(session->lease.row, now_ns - took_ns);
	if (!atomic_flag_test_and_set(&session->lender->announced)) {
		log_event_pool_open(session->lender);
	}
	log_event_session_open(session, took_ns);
}

void lending_admit_lent(struct session *session, uint64_t opened_ns, uint64_t proven_ns)
{
	pool_opened(&session->lender->pool, &session->slot, opened_ns, jitter_of(session));
	status_session_opened(session->lease.row, opened_ns);
	/* What was wrong with other sessions before is not with this one. */
	if (proven_ns > opened_ns) {
		session->slot.opened_ns = proven_ns;
	}
	if (!atomic_flag_test_and_set(&session->lender->announced)) {
		log_event_pool_open(session->lender);
	}
	log_event_session_borrow(session);
}

void lending_stock(struct session *session, uint64_t took_ns)
{
	struct pool *pool = &session->lender->pool;

	lending_admit(session, took_ns);
	if (session->taint == DROP_NONE) {
		session_lower_keepalive(session);
		reset_limit(session, &lend_settings.care);
		pool_keep(pool, &session->slot, clock_monotonic_ns());
	} else {
		discard_close(session, session->taint, 0);
		pool_drop(pool, &session->slot);
	}
}
