/* SPDX-License-Identifier: PostgreSQL */
/* Puts a session that was lent under a PGconn that the program holds. */
#include "acquire/async/async_lent.h"

#include <poll.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "base/fd.h"
#include "session/reset.h"

/* How long a step waits for the keeper: with its answer there is nothing to be waited for
 * after. */
#define FIRST_ANSWER_NS (5 * NS_PER_MS)

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
	lending_admit_lent(session, reply->record->opened_ns, h->borrow.proven_ns);
	why = borrow_fate(session, reply->record);
	settled = borrow_settle(&h->borrow, session, reply->record);
	borrow_end(reply);
	if (!settled) {
		return DROP_RESET_FAILED;
	}
	return why == DROP_NONE ? begin_check(session) : why;
}

bool async_lent_wait(const struct ask *ask)
{
	return fd_wait(ask->fd, POLLIN, clock_monotonic_ns() + FIRST_ANSWER_NS);
}

void async_lent_asked(struct session *session, bool in_line)
{
	struct async_connect *h = session->handshake;
	uint64_t patience_ns = borrow_patience(&h->a);

	h->in_line = in_line;
	h->deadline_ns = in_line ? h->a.began_ns + lend_settings.timeout_ns + patience_ns
	                         : clock_monotonic_ns() + member_patience(patience_ns);
}

/* Held: libpq calls nobody, and the program watches the ask. */
static bool hold(struct session *session)
{
	struct async_connect *h = session->handshake;
	struct start_tape *tape = start_tape_of(h->a.libpq, NULL, h->ask.fd);
	bool held;

	h->connecting.tape = tape;
	held = async_conn_again(&h->connecting, session) && tape != NULL && tape->fd >= 0;
	h->connecting.tape = NULL;
	start_tape_free(tape);
	return held;
}

bool async_lent_ask(struct session *session)
{
	struct async_connect *h = session->handshake;

	if (!borrow_begin(&h->borrow, &h->a, &h->ask, false, BORROW_STEP_NS)) {
		return false;
	}
	async_lent_wait(&h->ask);
	shown_own(&h->shown);
	if (hold(session)) {
		async_state_enter(session, ASKING);
		async_lent_asked(session, false);
		return true;
	}
	ask_drop(&h->ask);
	h->outdated = true;
	return false;
}

enum ask_answer async_lent_read(struct session *session, struct ask_reply *reply)
{
	struct async_connect *h = session->handshake;
	enum ask_answer answer;

	while ((answer = ask_read(&h->ask, reply)) == ASK_WAITING) {
		async_lent_asked(session, true);
	}
	if ((answer == ASK_NOTHING_YET || answer == ASK_ENDED) &&
	    clock_monotonic_ns() >= h->deadline_ns) {
		member_note_silence();
		ask_drop(&h->ask);
		return h->in_line ? ASK_REFUSED : ASK_UNANSWERED;
	}
	if (answer == ASK_ENDED && async_lent_ask(session)) {
		return ASK_NOTHING_YET;
	}
	return answer;
}
