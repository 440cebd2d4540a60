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

#define PLACE_MAX 256

/* The part of the program's connect_timeout that an answer may take. */
#define ANSWER_SHARE 4

/*
 * There is a new keeper: what is idle here is handed over to it, as another process may want
 * it. What is leased follows when it is given back.
 */
static COLD void hand_over_idle(void)
{
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		struct pool_slot *slot = pool_drain(&lender->pool);

		while (slot != NULL) {
			struct session *session = session_of_slot(slot);

			slot = slot->next;
			if (shared_take_to_close(session)) {
				shared_give(session, &lend_settings.care);
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

void borrow_come_over(void)
{
	bool fresh = false;

	if (member_now() == NULL && member_join(MEMBER_PATIENCE_NS, &fresh) != NULL && fresh) {
		hand_over_idle();
	}
}

bool borrow_begin(struct borrow *borrow, const struct acquisition *a, struct ask *ask,
                  bool proven, uint64_t patience_ns)
{
	struct ask_question question = {.label = a->lender->identity->label};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t waited_ns = now_ns - a->began_ns;
	char place[PLACE_MAX];
	struct member *member;
	struct strbuf t;
	bool fresh;

	if (!member_is_on() || atomic_load(&a->lender->unshared) ||
	    (member = member_join(patience_ns, &fresh)) == NULL) {
		return false;
	}
	if (fresh) {
		hand_over_idle();
	}
	if (!identity_digest(a->lender->identity, &lend_settings.care, member->secret,
	                     borrow->digest)) {
		atomic_store(&a->lender->unshared, true);
		return false;
	}
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
	borrow->ask = ask;
	return ask_begin(ask, member, &question);
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
