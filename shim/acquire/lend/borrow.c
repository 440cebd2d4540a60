/* SPDX-License-Identifier: PostgreSQL */
/* Sessions from the keeper, and for it. */
#include "acquire/lend/borrow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "share/identity_digest.h"
#include "share/shared_session.h"
#include "share/start_record.h"
#include "trace/stack/stack.h"

/* Keepers that a connect in steps asks, as each ends, before it goes on by itself. */
#define ATTEMPTS_MAX 8

/* The part of the program's connect_timeout that an answer may take. */
#define ANSWER_SHARE 4

/*
 * There is a new keeper: what is idle here is handed over to it, as another process may want
 * it. What is leased follows when it is given back.
 */
static COLD void hand_over_idle(uint64_t patience_ns)
{
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		struct pool_slot *slot = pool_drain(&lender->pool);

		while (slot != NULL) {
			struct session *session = session_of_slot(slot);

			slot = slot->next;
			if (shared_take_to_close(session)) {
				shared_give(session, &lend_settings.care, patience_ns);
				pool_keep(&lender->pool, &session->slot, session->slot.idle_ns);
			} else {
				discard_session(session, DROP_SHARED);
			}
		}
	}
}

/* Where the program connects, without looking anything up. */
static void put_place(struct strbuf *t, uint32_t id)
{
	const struct stack *stack = stack_get(id);
	const struct stack_frame *frame;
	const char *slash;

	if (stack == NULL || stack->depth == 0 || stack->script != NULL) {
		strbuf_str(t, stack != NULL && stack->script != NULL ? stack->script : "");
		return;
	}
	frame = &stack->frames[0];
	if (frame->module != NULL) {
		slash = strrchr(frame->module->path, '/');
		strbuf_str(t, slash != NULL ? slash + 1 : frame->module->path);
		strbuf_char(t, '+');
	}
	strbuf_hex(t, frame->offset);
	if (frame->symbol != NULL) {
		strbuf_str(t, " (");
		strbuf_str(t, frame->symbol);
		strbuf_char(t, ')');
	}
}

uint64_t borrow_patience(const struct acquisition *a)
{
	uint64_t limit_ns = a->lender->identity->connect_timeout_ns / ANSWER_SHARE;
	uint64_t patience_ns = lend_settings.care.ping_timeout_ns;

	return limit_ns > 0 && limit_ns < patience_ns ? limit_ns : patience_ns;
}

void borrow_come_over(bool waits)
{
	bool fresh = false;

	if (member_now() == NULL &&
	    (waits ? member_join(MEMBER_PATIENCE_NS, &fresh, NULL, NULL)
	           : member_join_at_once(&fresh)) != NULL &&
	    fresh) {
		hand_over_idle(waits ? MEMBER_PATIENCE_NS : 0);
	}
}

bool borrow_is_possible(const struct acquisition *a)
{
	return member_is_on() && !atomic_load(&a->lender->unshared);
}

/* Will ask as this member. */
static bool prepare(struct borrow *borrow, const struct acquisition *a, struct member *member)
{
	if (!identity_digest(a->lender->identity, &lend_settings.care, member->secret,
	                     borrow->digest)) {
		atomic_store(&a->lender->unshared, true);
		return false;
	}
	return ask_take(borrow->ask, member);
}

static bool ask_keeper(struct borrow *borrow, const struct acquisition *a, bool proven)
{
	struct ask_question question = {.label = a->lender->identity->label};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t waited_ns = now_ns - a->began_ns;
	char place[KEEPER_PLACE_BYTES];
	struct strbuf t;

	strbuf_init(&t, place, sizeof(place));
	put_place(&t, a->stack);
	question.place = place;
	question.ping = proven || (lend_settings.care.pre_ping != PRE_PING_ON &&
	                           pool_doubts(&a->lender->pool, now_ns));
	/* If not by the keeper, then by its check here. */
	borrow->proven_ns =
		question.ping || lend_settings.care.pre_ping == PRE_PING_ON ? now_ns : 0;
	question.timeout_ns =
		waited_ns < lend_settings.timeout_ns ? lend_settings.timeout_ns - waited_ns : 0;
	memcpy(question.digest, borrow->digest, sizeof(question.digest));
	return ask_send(borrow->ask, &question);
}

static void locate(void *a)
{
	acquisition_locate(a);
}

bool borrow_begin(struct borrow *borrow, struct acquisition *a, struct ask *ask, bool proven,
                  uint64_t patience_ns)
{
	struct member *member;
	bool fresh;

	borrow->ask = ask;
	if (!borrow_is_possible(a) ||
	    (member = member_join(patience_ns, &fresh, locate, a)) == NULL) {
		return false;
	}
	if (fresh) {
		hand_over_idle(MEMBER_PATIENCE_NS);
	}
	if (!prepare(borrow, a, member)) {
		return false;
	}
	if (!ask_may_note_place(ask)) {
		acquisition_locate(a);
	}
	return ask_keeper(borrow, a, proven);
}

void borrow_locate(const struct borrow *borrow, struct acquisition *a)
{
	char place[KEEPER_PLACE_BYTES];
	struct strbuf t;

	if (acquisition_is_located(a)) {
		return;
	}
	acquisition_locate(a);
	strbuf_init(&t, place, sizeof(place));
	put_place(&t, a->stack);
	ask_note_place(borrow->ask, place);
}

/* ---- by steps ---- */

uint64_t borrow_deadline(const struct borrow *borrow, const struct acquisition *a)
{
	uint64_t patience_ns = borrow_patience(a);

	return borrow->in_line ? a->began_ns + lend_settings.timeout_ns + patience_ns
	                       : borrow->since_ns + member_patience(patience_ns);
}

/* The wait for the next answer begins: its patience counts from here, and nobody is to ring
 * yet. */
static void note_begun(struct borrow *borrow)
{
	borrow->since_ns = clock_monotonic_ns();
	borrow->in_line = false;
	borrow->belled = false;
}

/* Becomes a member, and asks; ENDED: it has asked. */
static enum ask_answer step_to_ask(struct borrow *borrow, const struct acquisition *a)
{
	unsigned hails = borrow->hail.attempts;
	enum member_step step;
	struct member *member;
	bool fresh;

	if (!borrow_is_possible(a) ||
	    (borrow->attempts >= ATTEMPTS_MAX && borrow->hail.member == NULL)) {
		return ASK_UNANSWERED;
	}
	step = member_join_step(&borrow->hail, &member, &fresh);
	if (step == MEMBER_JOINING) {
		if (borrow->hail.attempts != hails) {
			note_begun(borrow);
		}
		return ASK_NOTHING_YET;
	}
	if (fresh) {
		hand_over_idle(0);
	}
	borrow->attempts++;
	note_begun(borrow);
	return step == MEMBER_JOINED && prepare(borrow, a, member) &&
	                       ask_keeper(borrow, a, false)
	               ? ASK_ENDED
	               : ASK_UNANSWERED;
}

static enum ask_answer look(struct borrow *borrow, const struct acquisition *a,
                            struct ask_reply *reply)
{
	enum ask_answer answer = ASK_ENDED;

	while (answer == ASK_ENDED || answer == ASK_WAITING) {
		borrow->in_line |= answer == ASK_WAITING;
		if (borrow->ask->member == NULL) {
			answer = step_to_ask(borrow, a);
		}
		if (borrow->ask->member != NULL) {
			answer = ask_read(borrow->ask, reply);
		}
	}
	return answer;
}

enum ask_answer borrow_step(struct borrow *borrow, const struct acquisition *a,
                            struct ask_reply *reply)
{
	bool late = borrow->since_ns != 0 && clock_monotonic_ns() >= borrow_deadline(borrow, a);
	enum ask_answer answer;

	*reply = (struct ask_reply){.server = -1};
	if (late) {
		/* No next one is asked; but what has come counts. */
		borrow->attempts = ATTEMPTS_MAX;
	}
	answer = look(borrow, a, reply);
	late = (late && answer == ASK_UNANSWERED) ||
	       (answer == ASK_NOTHING_YET &&
	        clock_monotonic_ns() >= borrow_deadline(borrow, a));
	if (late) {
		bool in_line = borrow->in_line;

		member_note_silence();
		borrow_drop(borrow);
		answer = in_line ? ASK_REFUSED : ASK_UNANSWERED;
	}
	return answer;
}

int borrow_socket(const struct borrow *borrow)
{
	return borrow->ask->member != NULL ? borrow->ask->fd : borrow->hail.member->fd;
}

bool borrow_bell(struct borrow *borrow, int bell)
{
	borrow->belled = true;
	return ask_bell(borrow_socket(borrow), bell);
}

void borrow_drop(struct borrow *borrow)
{
	member_hail_drop(&borrow->hail);
	if (borrow->ask != NULL) {
		ask_drop(borrow->ask);
	}
}

void borrow_fork_child(struct borrow *borrow)
{
	member_hail_fork_child(&borrow->hail);
	if (borrow->ask != NULL) {
		ask_fork_child(borrow->ask);
	}
}

void borrow_end(struct ask_reply *reply)
{
	close(reply->server);
	free(reply->record);
}

void borrow_give_up(struct borrow *borrow, struct ask_reply *reply)
{
	shutdown(reply->server, SHUT_RDWR);
	ask_drop(borrow->ask);
	borrow_end(reply);
}

static struct session *enter(const struct acquisition *a, PGconn *conn,
                             const struct keeper_record *record, uint64_t proven_ns)
{
	struct session *session = session_adopt(a->libpq, conn);

	if (session == NULL || !lending_enter(session, a->lender)) {
		a->libpq->PQfinish(conn);
		free(session);
		return NULL;
	}
	/* Of the last reset nothing is known. */
	login_state_was_reset(&session->login);
	lending_admit_lent(session, record->opened_ns, proven_ns);
	return session;
}

struct session *borrow_lent(struct borrow *borrow, const struct acquisition *a,
                            struct ask_reply *reply, bool ping)
{
	struct start_play play = {.ping = ping};
	PGconn *conn = start_record_play(reply->record, a->libpq, a->spelling->conninfo,
	                                 reply->server, &play);
	struct session *session =
		conn != NULL ? enter(a, conn, reply->record, borrow->proven_ns) : NULL;
	enum drop_reason why;

	if (session == NULL && !play.met) {
		atomic_store(&a->lender->unshared, true);
		ask_return(borrow->ask);
		borrow_end(reply);
		return NULL;
	}
	if (session == NULL) {
		borrow_give_up(borrow, reply);
		return NULL;
	}
	if (ping) {
		session->flight = FLIGHT_STATEMENT;
		session->ping_sent = true;
	}
	why = borrow_fate(session, reply->record);
	if (why == DROP_NONE && borrow_settle(borrow, session, reply->record)) {
		borrow_end(reply);
		return session;
	}
	discard_close(session, why == DROP_NONE ? DROP_RESET_FAILED : why, 0);
	discard_free(session);
	ask_drop(borrow->ask);
	borrow_end(reply);
	return NULL;
}

enum drop_reason borrow_fate(const struct session *session, const struct keeper_record *record)
{
	return record->opened_ns < sweep_altered_ns()
	               ? DROP_INVALIDATED
	               : pool_fate(&session->lender->pool, &session->slot,
	                           clock_monotonic_ns());
}

bool borrow_settle(struct borrow *borrow, struct session *session,
                   const struct keeper_record *record)
{
	return shared_lent(session, borrow->ask, borrow->digest, record);
}

void borrow_opened(struct borrow *borrow, struct session *session,
                   const struct start_tape *tape)
{
	const struct libpq *libpq = session->libpq;

	if ((tape != NULL && !tape->met) || libpq->PQsslInUse(session->conn) ||
	    (libpq->PQgssEncInUse != NULL && libpq->PQgssEncInUse(session->conn))) {
		atomic_store(&session->lender->unshared, true);
	}
	if (tape == NULL || session->taint != DROP_NONE ||
	    !shared_opened(session, borrow->ask, borrow->digest, tape)) {
		ask_drop(borrow->ask);
	}
}

bool borrow_may_ping(void)
{
	return lend_settings.care.pre_ping == PRE_PING_ON &&
	       lend_settings.care.ping_query[0] == '\0';
}

struct session_care borrow_care(void)
{
	struct session_care care = lend_settings.care;

	if (care.pre_ping == PRE_PING_ON) {
		care.pre_ping = PRE_PING_AUTO;
	}
	return care;
}
