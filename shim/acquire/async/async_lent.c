/* SPDX-License-Identifier: PostgreSQL */
/* A connect that asks the keeper, and a session that it lent to it. */
#include "acquire/async/async_lent.h"

#include "acquire/full/wait.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/log_events.h"
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

	shown_own(&h->shown);
	if (!async_conn_play(&h->connecting, session, reply->record, reply->server)) {
		borrow_give_up(&h->borrow, reply);
		return DROP_INVALIDATED;
	}
	session_note_connection(session);
	session_show_socket(session);
	login_state_was_reset(&session->login);
	lending_admit_lent(session, reply->record->opened_ns, h->borrow.proven_ns);
	why = borrow_fate(session, reply->record);
	settled = borrow_settle(&h->borrow, session, reply->record);
	borrow_end(reply);
	if (!settled) {
		return DROP_RESET_FAILED;
	}
	return why == DROP_NONE ? begin_check(session) : why;
}

/* ---- until it answers ---- */

/* When to look again at the latest. */
static uint64_t next_look(struct async_connect *h)
{
	h->deadline_ns = borrow_deadline(&h->borrow, &h->a);
	return wait_next_look(h->deadline_ns, clock_monotonic_ns());
}

/* True once for each thing that is waited for, and each time that the wakeup was due. */
static bool must_bell(const struct async_connect *h)
{
	return !h->borrow.belled || wakeup_is_due(&h->shown.wakeup);
}

static void bell(struct async_connect *h, bool set)
{
	/* Before the keeper may ring: a ring just before it is set is lost. */
	if (!set) {
		wakeup_set(&h->shown.wakeup, next_look(h));
	}
	if (!borrow_bell(&h->borrow, h->shown.wakeup.shown.fd)) {
		wakeup_ring(&h->shown.wakeup);
	}
}

/*
 * Without a timed wakeup the program watches the keeper's own socket, and if that stands still
 * another connect of this process wakes it (turns_wake).
 */
static bool hold(struct session *session)
{
	struct async_connect *h = session->handshake;
	struct start_tape *tape = start_tape_of(h->a.libpq, NULL, borrow_socket(&h->borrow));
	bool held;

	shown_own(&h->shown);
	h->connecting.tape = tape;
	held = async_conn_again(&h->connecting, session) && tape != NULL && tape->fd >= 0;
	h->connecting.tape = NULL;
	start_tape_free(tape);
	h->borrow.belled = true;
	return held;
}

static bool shows_timed(const struct async_connect *h)
{
	return shown_is_wakeup(&h->shown) && h->shown.wakeup.timed;
}

/* False: there is nothing that could tell the program. */
static bool show(struct session *session)
{
	struct async_connect *h = session->handshake;
	uint64_t look_ns = next_look(h);

	/* One that is held is told by the keeper's socket: nothing may take that's place. */
	return shows_timed(h) || h->borrow.belled ||
	       (!shown_is_wakeup(&h->shown) &&
	        shown_wakeup(&h->shown, session->libpq->PQsocket(session->conn), look_ns) &&
	        h->shown.wakeup.timed) ||
	       hold(session);
}

static enum ask_answer read_answer(struct async_connect *h, struct ask_reply *reply)
{
	bool in_line = h->borrow.in_line;
	enum ask_answer answer = borrow_step(&h->borrow, &h->a, reply);

	if (!in_line && h->borrow.in_line) {
		log_event_wait(h->a.lender);
	}
	return answer;
}

enum ask_answer async_lent_read(struct session *session, struct ask_reply *reply)
{
	struct async_connect *h = session->handshake;
	enum ask_answer answer = read_answer(h, reply);
	bool shown = shown_is_wakeup(&h->shown);
	bool told = answer != ASK_NOTHING_YET || show(session);

	/* Meanwhile the keeper had time to answer, and what it answers next comes elsewhere. */
	if (told && answer == ASK_NOTHING_YET && !shown) {
		answer = read_answer(h, reply);
		told = answer != ASK_NOTHING_YET || show(session);
	}
	if (!told) {
		borrow_drop(&h->borrow);
		return ASK_UNANSWERED;
	}
	if (answer == ASK_NOTHING_YET && shows_timed(h) && must_bell(h)) {
		bell(h, !shown);
	}
	return answer;
}
