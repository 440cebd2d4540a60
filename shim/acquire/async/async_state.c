/* SPDX-License-Identifier: PostgreSQL */
/* The state of an asynchronous connect: its record, from begin to end. */
#include "acquire/async/async_state.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "acquire/full/refusal.h"
#include "acquire/full/wait.h"
#include "acquire/lend/acquisition.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "base/clock.h"
#include "session/cancel/cancel_scope.h"
#include "session/own_query.h"
#include "session/reset.h"
#include "share/shared_session.h"

void async_state_give_up(struct async_connect *h, bool kept)
{
	struct pool *pool = &h->a.lender->pool;

	if (h->state == CLEARING && kept) {
		discard_drop(h->other);
	} else if (h->state == CLEARING) {
		discard_free(h->other);
	} else if (h->state == WAITING && kept) {
		discard_grant(pool, pool_leave(pool, &h->waiter), &h->waiter);
	} else if (h->state != CHECKING && kept) {
		pool_open_failed(pool);
	}
}

/* The program freed the PGconn past PQfinish: it must not be touched. */
static void vanish(struct session *session)
{
	struct async_connect *h = session->handshake;
	bool kept = turn_go(&h->turn);

	if (h->state == CHECKING && kept) {
		pool_forget(&h->a.lender->pool, &session->slot);
	}
	async_state_give_up(h, kept);
	h->connecting.opening.detached = true;
	shown_forget(&h->shown);
	async_state_end(session);
}

void async_state_enter(struct session *session, enum handshake_state state)
{
	session->handshake->state = state;
	session->unready = state != OPENING;
}

bool async_state_begin(struct session *session, const struct acquisition *a,
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
	h->borrow.ask = &h->ask;
	h->turn.pool = &a->lender->pool;
	h->turn.lease = &session->lease;
	h->turn.waiter = &h->waiter;
	session->handshake = h;
	session->vanished = vanish;
	async_state_enter(session, state);
	session_show_socket(session);
	lease_pend(&session->lease, &origin, state != WAITING);
	turn_take(&h->turn);
	return true;
}

void async_state_end(struct session *session)
{
	struct async_connect *h = session->handshake;

	session->handshake = NULL;
	session->unready = false;
	session->vanished = NULL;
	turn_leave(&h->turn);
	notices_detach(&h->connecting.opening);
	async_conn_forget(&h->connecting);
	start_tape_free(h->connecting.tape);
	h->connecting.tape = NULL;
	borrow_drop(&h->borrow);
	shown_own(&h->shown);
	acquisition_end(&h->a);
	session->spare = h;
}

void async_state_let_go(struct session *session)
{
	async_state_end(session);
	lease_forget(&session->lease);
	session->conn = NULL;
	discard_free(session);
}

/* It ends as refused with this message, malloc'ed, in no room; NULL: for want of memory. */
static void refuse_with(struct session *session, char *message)
{
	if (message == NULL) {
		async_state_let_go(session);
		return;
	}
	async_state_end(session);
	lease_fail(&session->lease);
	session->refusal = message;
	refusal_fail(session->libpq, session->conn);
}

void async_state_refuse(struct session *session)
{
	const struct acquisition *a = &session->handshake->a;

	refuse_with(session, refusal_report(a->lender, clock_monotonic_ns() - a->began_ns,
	                                    WAITER_IN_STEPS));
}

void async_state_refuse_by(struct session *session, int error)
{
	struct lender *lender = session->handshake->a.lender;
	char *message = refusal_by_error(lender, error);

	if (message != NULL) {
		log_event_open_failed(lender, message, 0);
	}
	refuse_with(session, message);
}

void async_state_refuse_shared(struct session *session, const char *holders)
{
	const struct acquisition *a = &session->handshake->a;

	refuse_with(session, refusal_report_shared(a, holders));
}

PostgresPollingStatusType async_state_rest(struct session *session,
                                           PostgresPollingStatusType wants)
{
	struct async_connect *h = session->handshake;
	bool wakeup = shown_is_wakeup(&h->shown);
	struct turn_rest rest = {
		.fd = session->libpq->PQsocket(session->conn),
		.events = wants == PGRES_POLLING_WRITING ? POLLOUT : POLLIN,
		.own = !wakeup,
		.answer_by_ns = h->state == ASKING ? h->deadline_ns : DEADLINE_NEVER,
	};
	struct stat st;

	if (wakeup) {
		rest.fd = h->shown.wakeup.shown.fd;
		rest.id = h->shown.wakeup.shown.id;
	} else if (h->state == CHECKING) {
		rest.id = (struct fd_id){true, session->socket_dev, session->socket_ino};
		rest.answer_by_ns = session->check.deadline_ns;
	} else {
		fd_identify(rest.fd, &rest.id, &st);
	}
	h->wants = wants;
	turn_rest(&h->turn, &rest);
	return wants;
}

PostgresPollingStatusType async_state_await_answer(struct session *session)
{
	return async_state_rest(session, own_query_is_unsent(session) ? PGRES_POLLING_WRITING
	                                                              : PGRES_POLLING_READING);
}

void async_state_hand_out(struct session *session, enum drop_reason why)
{
	log_event_session_close(session, why);
	cancel_scope_close(&session->cancels);
	reset_hand_out(session);
	shared_closed(session);
}

bool async_state_show_wakeup(struct session *session)
{
	struct async_connect *h = session->handshake;
	uint64_t deadline_ns = h->a.began_ns + lend_settings.timeout_ns;

	return shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn),
	                    wait_next_look(deadline_ns, clock_monotonic_ns()));
}
