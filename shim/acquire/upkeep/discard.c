/* SPDX-License-Identifier: PostgreSQL */
/* Closes sessions that are not lent again: the connection, its room in the pool, its memory. */
#include "acquire/upkeep/discard.h"

#include <stdatomic.h>

#include "acquire/upkeep/log_events.h"
#include "base/clock.h"
#include "session/own_query.h"
#include "share/shared_session.h"

_Static_assert(DROP_REASONS <= 64, "each reason has its bit");

/* Triggers at each login: how long until a session is kept again, for they may be gone. */
#define TRIGGERED_NS (60 * NS_PER_SEC)

void discard_free(struct session *session)
{
	if (session->lender != NULL) {
		lender_release(session->lender);
	}
	session_free(session);
}

void discard_leave(struct session *session)
{
	lease_forget(&session->lease);
	log_event_session_close(session, DROP_SHARED);
	shared_let_go(session);
}

void discard_close(struct session *session, enum drop_reason why, uint64_t deadline_ns)
{
	if ((why == DROP_EXIT && shared_is_idle(session)) || !shared_take_to_close(session)) {
		discard_leave(session);
		return;
	}
	lease_forget(&session->lease);
	log_event_session_close(session, why);
	own_query_settle(session, deadline_ns);
	session_close(session);
	shared_closed(session);
}

void discard_unfit(struct session *session, enum drop_reason why)
{
	struct lender *lender = session->lender;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t before_ns = session->check.silent ? session->check.began_ns : now_ns;

	log_event_check_failed(session, why);
	discard_explain(session, why);
	if (why == DROP_LOGIN_TRIGGER) {
		atomic_store(&lender->triggered_until_ns, now_ns + TRIGGERED_NS);
	}
	if (why == DROP_PING_FAILED || why == DROP_ATTRIBUTES || why == DROP_LOGIN_TRIGGER) {
		/* What was opened while one was silent may have been opened for that. */
		pool_invalidate(&lender->pool, before_ns);
	}
}

enum drop_reason discard_keeps_none(struct lender *lender, uint64_t now_ns)
{
	return now_ns < atomic_load_explicit(&lender->triggered_until_ns, memory_order_relaxed)
	               ? DROP_LOGIN_TRIGGER
	               : DROP_NONE;
}

void discard_explain(const struct session *session, enum drop_reason why)
{
	uint64_t bit = (uint64_t)1 << why;

	if (session->lender != NULL && log_event_can_explain(why) &&
	    (atomic_fetch_or(&session->lender->explained, bit) & bit) == 0) {
		log_event_not_kept(session, why);
	}
}

void discard_drop(struct session *session)
{
	struct lender *lender = session->lender;

	/* Held: the waiter may release the session, and its lender with it, at once. */
	lender_hold(lender);
	if (!pool_drop(&lender->pool, &session->slot)) {
		discard_free(session);
	}
	lender_release(lender);
}

void discard_session(struct session *session, enum drop_reason why)
{
	if (session->conn != NULL) {
		discard_close(session, why, 0);
	}
	discard_drop(session);
}

void discard_grant(struct pool *pool, enum pool_grant grant, struct pool_waiter *waiter)
{
	switch (grant) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		pool_keep(pool, waiter->slot, clock_monotonic_ns());
		break;
	case POOL_REPLACE:
		discard_session(session_of_slot(waiter->slot), waiter->why);
		break;
	case POOL_OPEN:
		pool_open_failed(pool);
		break;
	}
}
