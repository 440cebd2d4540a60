/* SPDX-License-Identifier: PostgreSQL */
/* Waits for the keeper's answer, and makes a session of it. */
#include "acquire/keeper_turn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "acquire/full/wait.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "base/clock.h"
#include "base/lock.h"
#include "session/reset.h"
#include "trace/lease/counters.h"
#include "trace/script/script_signals.h"
#include "trace/status/status.h"
#include "trace/status/status_page.h"

/* Sessions that were lent and are not fit, and keepers that end, before the process goes on by
 * itself. */
#define ATTEMPTS_MAX 8

enum waited { WAITED_READY, WAITED_LATE, WAITED_RAISED, WAITED_LOST };

/* Until the keeper has said something. */
static enum waited await(struct acquisition *a, const struct ask *ask, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = ask->fd, .events = POLLIN};
	uint64_t now_ns = clock_monotonic_ns();
	int ready;
	bool raised;

	lock_assert_none();
	blocked_call_block(&a->ticket, deadline_ns);
	ready = poll(&p, 1, clock_ms_until(now_ns, wait_next_look(deadline_ns, now_ns)));
	raised = ready < 0 && errno == EINTR && script_signals_run();
	if (!blocked_call_back(&a->ticket)) {
		return WAITED_LOST;
	}
	now_ns = clock_monotonic_ns();
	long_hold_look(now_ns);
	return raised ? WAITED_RAISED : now_ns >= deadline_ns ? WAITED_LATE : WAITED_READY;
}

static void note_line(struct acquisition *a, bool served)
{
	a->queued_ns = clock_monotonic_ns() - a->began_ns;
	counters_waited(a->queued_ns);
	status_waited(a->lender->pool.row, a->queued_ns, served);
}

/*
 * The final answer; LOST as NOTHING_YET. Who was told that it is in line has waited as long as
 * it would in any: if nothing comes then, it is refused.
 */
static enum ask_answer await_answer(struct acquisition *a, struct ask *ask,
                                    struct ask_reply *reply)
{
	uint64_t patience_ns = borrow_patience(a);
	uint64_t deadline_ns = clock_monotonic_ns() + member_patience(patience_ns);
	enum ask_answer answer;
	bool in_line = false;

	while ((answer = ask_read(ask, reply)) == ASK_NOTHING_YET || answer == ASK_WAITING) {
		enum waited waited;

		if (answer == ASK_WAITING && !in_line) {
			in_line = true;
			deadline_ns = a->began_ns + lend_settings.timeout_ns + patience_ns;
			log_event_wait(a->lender);
		}
		waited = await(a, ask, deadline_ns);
		if (waited == WAITED_READY) {
			continue;
		}
		if (waited == WAITED_LOST) {
			return ASK_NOTHING_YET;
		}
		if (waited == WAITED_LATE) {
			member_note_silence();
		}
		ask_drop(ask);
		answer = waited == WAITED_RAISED || in_line ? ASK_REFUSED : ASK_UNANSWERED;
		break;
	}
	if (in_line) {
		note_line(a, answer == ASK_LENT || answer == ASK_ROOM);
	}
	return answer;
}

/* What was lent, if it passes its check; `ping`: as in borrow_lent. `*lost`: the room was given
 * away meanwhile. */
static struct session *check_lent(struct acquisition *a, struct borrow *borrow,
                                  struct ask_reply *reply, bool ping, bool *lost)
{
	struct session_care care = borrow_care();
	struct session *session = borrow_lent(borrow, a, reply, ping);
	uint64_t now_ns = clock_monotonic_ns();
	enum drop_reason why;

	*lost = false;
	if (session == NULL) {
		return NULL;
	}
	reset_park(session);
	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CHECK, &session->slot);
	blocked_call_block(&a->ticket, now_ns + reset_patience_ns(session, &care));
	why = reset_check(session, &care, now_ns, reset_patience_ns(session, &care));
	*lost = !blocked_call_back(&a->ticket);
	if (!*lost && why == DROP_NONE) {
		blocked_call_hold_nothing(&a->ticket);
		return session;
	}
	if (!*lost) {
		discard_unfit(session, why);
	}
	discard_close(session, *lost ? DROP_ABANDONED : why, 0);
	blocked_call_hold_rooms(&a->ticket, a->lender, 1);
	discard_free(session);
	return NULL;
}

enum keeper_turn keeper_turn_take(struct acquisition *a, struct borrow *borrow,
                                  struct session **session, char **holders)
{
	struct ask *ask = blocked_call_ask(&a->ticket);

	*session = NULL;
	*holders = NULL;
	/* In a handler that interrupted a call of ours, or where coroutines go on meanwhile. */
	if (!member_is_on() || ask == NULL || abandoned_call_others(&a->ticket) ||
	    wait_yields()) {
		return KEEPER_TURN_ALONE;
	}
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		/* Those that follow one that is dead the keeper is to prove. */
		bool ping = i == 0 && borrow_may_ping();
		bool proven = !ping && lend_settings.care.pre_ping == PRE_PING_ON;
		struct ask_reply reply;
		bool lost;

		if (!borrow_begin(borrow, a, ask, proven, borrow_patience(a))) {
			return KEEPER_TURN_ALONE;
		}
		/* While the keeper works this thread has time for what is to be done anyway. */
		borrow_locate(borrow, a);
		status_make();
		switch (await_answer(a, ask, &reply)) {
		case ASK_NOTHING_YET:
			return KEEPER_TURN_LOST;
		case ASK_ROOM:
			return KEEPER_TURN_OPEN;
		case ASK_REFUSED:
			*holders = reply.text;
			return KEEPER_TURN_REFUSED;
		case ASK_ENDED:
			continue;
		case ASK_LENT:
			break;
		default:
			return KEEPER_TURN_ALONE;
		}
		*session = check_lent(a, borrow, &reply, ping, &lost);
		if (lost) {
			return KEEPER_TURN_LOST;
		}
		if (*session != NULL) {
			return KEEPER_TURN_LENT;
		}
	}
	return KEEPER_TURN_ALONE;
}
