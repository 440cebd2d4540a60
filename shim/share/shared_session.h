/* SPDX-License-Identifier: PostgreSQL */
/*
 * A session that the keeper knows, too: it holds a copy of its socket, and a word of the
 * member's page says who may use it (keeper_protocol.h).
 *
 *   (ask) ── shared_lent, shared_opened ──► leased ── shared_give ──► idle
 *                                             ▲  │                     │ │
 *                                             │  └ shared_closed       │ └ the keeper claims it
 *                                             └────── shared_take ─────┘
 *
 * While it is idle nobody touches its socket but the keeper, who reads the answer to the reset.
 * All of these do nothing, and answer as for a session of this process alone, if it is not
 * shared (session->shared is NULL).
 *
 * Belongs to the thread that the session belongs to. Locks: none is held by a caller.
 */
#ifndef PQPOOL_SHARE_SHARED_SESSION_H
#define PQPOOL_SHARE_SHARED_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "session/reset.h"
#include "session/session.h"
#include "share/ask.h"
#include "share/start_tape.h"

/* In one piece of memory, which session_free frees. */
struct shared {
	struct member *member;
	unsigned word;
	bool told; /* the keeper has its socket; until then it counts by its word, and nobody
	              else gets it */
	uint8_t digest[KEEPER_DIGEST_LEN];
	struct keeper_record record; /* with its bytes */
};

/* Its word comes from the ask, to which the keeper has lent it. False: no memory. */
COLD bool shared_lent(struct session *session, struct ask *ask,
                      const uint8_t digest[KEEPER_DIGEST_LEN],
                      const struct keeper_record *record);

/*
 * It was opened in the room of the ask, and recorded: the keeper is told. False: it cannot be
 * shared, and the room was given back.
 */
COLD bool shared_opened(struct session *session, struct ask *ask,
                        const uint8_t digest[KEEPER_DIGEST_LEN], const struct start_tape *tape);

/* Idle, and about to be used. LOST: the keeper has it. WANTED: ask the keeper as others do. */
enum shared_hold { SHARED_HELD, SHARED_WANTED, SHARED_LOST };
enum shared_hold shared_take(struct session *session);

/*
 * Idle, and about to be closed, whoever waits: false, the keeper has it. And after it was
 * closed really.
 */
bool shared_take_to_close(struct session *session);
void shared_closed(struct session *session);

/*
 * Its reset was sent, and nothing of the answer read: any process may be lent it from now on.
 * Goes to the keeper that there is now, if it was opened under another. `care` is what it was
 * reset by. Waits for that long if the keeper does not read.
 */
void shared_give(struct session *session, const struct session_care *care,
                 uint64_t patience_ns);

/* Idle: it is left to the keeper, and only its PGconn is finished. */
COLD void shared_let_go(struct session *session);

/* True while the keeper may claim it. Async-signal-safe. */
bool shared_is_idle(const struct session *session);

/* What PQconnectionUsedPassword says of one that was lent; -1: ask libpq. */
int shared_used_password(const struct session *session);

#endif
