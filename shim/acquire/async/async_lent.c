/* SPDX-License-Identifier: PostgreSQL */
/* Puts a session that was lent under a PGconn that the program holds. */
#include "acquire/async/async_lent.h"

#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "session/reset.h"

static enum drop_reason begin_check(struct session *session)
{
	struct async_connect *h = session->handshake;
	enum drop_reason why;

	reset_watch(session);
	async_state_enter(session, CHECKING);
	if (reset_check_begin(session, &lend_settings.care, clock_monotonic_ns(), &why) ==
	    CHECK_UNFIT) {
		return why;
	}
	if (h->connecting.nonblocking) {
		session->libpq->PQsetnonblocking(session->conn, 1);
	}
	return DROP_NONE;
}

enum drop_reason async_lent_begin(struct session *session, struct ask_reply *reply)
{
	struct async_connect *h = session->handshake;
	enum drop_reason why;
	bool settled;

	if (!async_conn_play(&h->connecting, session, reply->record, reply->server)) {
		borrow_give_up(&h->borrow, reply);
		return DROP_INVALIDATED;
	}
	session_note_connection(session);
	session_show_socket(session);
	login_state_was_reset(&session->login);
	lending_admit_lent(session, reply->record->opened_ns);
	settled = borrow_settle(&h->borrow, session, reply->record);
	borrow_end(reply);
	if (!settled) {
		return DROP_RESET_FAILED;
	}
	why = pool_fate(&h->a.lender->pool, &session->slot, clock_monotonic_ns());
	return why == DROP_NONE ? begin_check(session) : why;
}
