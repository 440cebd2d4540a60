/* SPDX-License-Identifier: PostgreSQL */
/* Sessions that the keeper knows. */
#include "share/shared_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/text/hash.h"
#include "pool/registry.h"
#include "session/socket/epoll_registrations.h"
#include "session/socket/idle_number.h"
#include "share/identity_digest.h"
#include "share/start_record.h"
#include "trace/status/status.h"

static struct shared *make(const uint8_t digest[KEEPER_DIGEST_LEN],
                           const struct keeper_record *record)
{
	size_t size = start_record_size(record);
	struct shared *shared = malloc(sizeof(*shared) - sizeof(*record) + size);

	if (shared != NULL) {
		memcpy(shared->digest, digest, sizeof(shared->digest));
		memcpy(&shared->record, record, size);
	}
	return shared;
}

static struct shared *of(const struct session *session)
{
	return session->shared != NULL && member_is_mine(session->shared->member)
	               ? session->shared
	               : NULL;
}

static void take_word_of(struct shared *shared, struct ask *ask)
{
	shared->member = ask->member;
	shared->word = ask->word;
	shared->told = true;
	ask_settle(ask);
}

bool shared_lent(struct session *session, struct ask *ask,
                 const uint8_t digest[KEEPER_DIGEST_LEN], const struct keeper_record *record)
{
	session->shared = make(digest, record);
	if (session->shared == NULL) {
		return false;
	}
	take_word_of(session->shared, ask);
	status_session_shared(session->lease.row);
	epoll_note_copied(session->libpq->PQsocket(session->conn));
	return true;
}

static bool tell(const struct session *session, const struct shared *shared,
                 uint64_t patience_ns)
{
	return member_tell_opened(shared->member, shared->word, shared->digest, &shared->record,
	                          session->lease.pool, session->libpq->PQsocket(session->conn),
	                          patience_ns);
}

bool shared_opened(struct session *session, struct ask *ask,
                   const uint8_t digest[KEEPER_DIGEST_LEN], const struct start_tape *tape)
{
	struct keeper_record *record = start_record_make(tape, session->libpq, session->conn);
	struct shared *shared = NULL;

	if (record != NULL) {
		record->opened_ns = session->slot.began_ns;
		record->local = session->local;
		shared = make(digest, record);
		free(record);
	}
	if (shared == NULL ||
	    !member_move(ask->member, ask->word, KEEPER_WORD_ROOM, KEEPER_WORD_LEASED, 0)) {
		free(shared);
		ask_drop(ask);
		return false;
	}
	take_word_of(shared, ask);
	/* Else it is slow, or has ended: shared_give tells it, or the next one. */
	shared->told = tell(session, shared, 0);
	session->shared = shared;
	status_session_shared(session->lease.row);
	epoll_note_copied(session->libpq->PQsocket(session->conn));
	return true;
}

enum shared_hold shared_take(struct session *session)
{
	struct shared *shared = of(session);

	if (shared == NULL || member_word(shared->member, shared->word) == KEEPER_WORD_LEASED) {
		return SHARED_HELD;
	}
	if (member_is_wanted(shared->member) && member_now() == shared->member) {
		return SHARED_WANTED;
	}
	return shared_take_to_close(session) ? SHARED_HELD : SHARED_LOST;
}

bool shared_take_to_close(struct session *session)
{
	struct shared *shared = of(session);

	return shared == NULL ||
	       member_word(shared->member, shared->word) == KEEPER_WORD_LEASED ||
	       member_move(shared->member, shared->word, KEEPER_WORD_IDLE, KEEPER_WORD_LEASED,
	                   0);
}

static void forget(struct session *session)
{
	free(session->shared);
	session->shared = NULL;
}

void shared_closed(struct session *session)
{
	struct shared *shared = of(session);

	if (shared != NULL) {
		member_move(shared->member, shared->word, KEEPER_WORD_LEASED, KEEPER_WORD_GONE,
		            0);
		member_nudge(shared->member);
		member_leave_word(shared->member, shared->word, MEMBER_UNUSED);
		forget(session);
	}
}

/* The keeper under which it was opened has ended: hands it over to the one that there is now.
 */
static COLD void move_over(struct session *session, struct member *now,
                           const struct session_care *care, uint64_t patience_ns)
{
	struct shared *shared = session->shared;
	struct shared before = {.member = shared->member, .word = shared->word};
	uint8_t digest[KEEPER_DIGEST_LEN];
	int word;

	/* By another secret. */
	if (!identity_digest(session->lender->identity, care, now->secret, digest) ||
	    (word = member_take_word(now)) < 0) {
		return;
	}
	memcpy(shared->digest, digest, sizeof(digest));
	shared->member = now;
	shared->word = (unsigned)word;
	now->page->labels[word] =
		(uint32_t)hash_bytes(0, session->lease.pool, strlen(session->lease.pool));
	if (member_move(now, shared->word, KEEPER_WORD_FREE, KEEPER_WORD_LEASED, 0) &&
	    tell(session, shared, patience_ns)) {
		/* Where the new one has counted it so far. */
		member_move(before.member, before.word, KEEPER_WORD_LEASED, KEEPER_WORD_FREE,
		            0);
		shared->told = true;
		return;
	}
	member_move(now, shared->word, KEEPER_WORD_LEASED, KEEPER_WORD_GONE, 0);
	member_leave_word(now, shared->word, MEMBER_UNUSED);
	shared->member = before.member;
	shared->word = before.word;
}

static unsigned answers_due(const struct session *session)
{
	switch (session->flight) {
	case FLIGHT_STATEMENT:
		return 1;
	case FLIGHT_PIPELINE:
		return session->check.syncs_due;
	case FLIGHT_NONE:
		break;
	}
	return 0;
}

void shared_give(struct session *session, const struct session_care *care, uint64_t patience_ns)
{
	struct shared *shared = of(session);
	struct member *now;

	/* What is not sent yet only libpq can send. */
	if (shared == NULL ||
	    (session->flight != FLIGHT_NONE && session->libpq->PQflush(session->conn) != 0)) {
		return;
	}
	now = member_last();
	if (now != NULL && now != shared->member) {
		move_over(session, now, care, patience_ns);
	} else if (!shared->told) {
		shared->told = tell(session, shared, patience_ns);
	}
	if (!shared->told) {
		return;
	}
	/* The keeper may claim it from here on. */
	now = shared->member;
	if (member_move(now, shared->word, KEEPER_WORD_LEASED, KEEPER_WORD_IDLE,
	                answers_due(session)) &&
	    member_is_wanted(now)) {
		member_nudge(now);
	}
}

/*
 * The keeper has the socket, too, so libpq's Terminate must not be sent. That is answered
 * without a system call, and a dead socket put under the PGconn only where there is no memory.
 */
static void finish_mutely(struct session *session)
{
	lock_assert_none();
	idle_number_forget(session->libpq->PQsocket(session->conn));
	if (!start_tape_finish(session->libpq, session->conn)) {
		session_finish_inherited(session);
	}
}

void shared_let_go(struct session *session)
{
	struct shared *shared = of(session);

	/* The program may have closed the descriptor, and have another file there. */
	if (session_is_ours(session)) {
		finish_mutely(session);
	}
	session->conn = NULL;
	if (shared != NULL) {
		bool claimed = member_move(shared->member, shared->word, KEEPER_WORD_CLAIMED,
		                           KEEPER_WORD_FREE, 0);

		member_leave_word(shared->member, shared->word,
		                  claimed ? MEMBER_UNUSED : MEMBER_LEFT);
		forget(session);
	}
}

bool shared_is_idle(const struct session *session)
{
	const struct shared *shared = of(session);

	return shared != NULL &&
	       member_word(shared->member, shared->word) != KEEPER_WORD_LEASED;
}

int shared_used_password(const struct session *session)
{
	return session->shared != NULL && session->shared->record.used_password ? 1 : -1;
}
