/* SPDX-License-Identifier: PostgreSQL */
/*
 * One question to the keeper, for a session or for room to open one. ask_take() takes a word
 * for it, then:
 *
 *   ask_send ───► asked ── ask_read ──► lent ───── shared_lent ────► a session's word
 *                   │  ▲ waiting        ├► room ── shared_opened ──┘
 *                   │  └──────┘         ├► refused
 *                   │                   ├► ended: ask the next keeper
 *                   │                   └► unanswered: go on without
 *                   └── ask_drop, from any state: what it has of the keeper is given back
 *
 * Its descriptor becomes readable when there is something for ask_read. An ask belongs to the
 * connect that it is for. Nothing here waits. Locks: none.
 */
#ifndef PQPOOL_SHARE_ASK_H
#define PQPOOL_SHARE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "share/keeper_protocol.h"
#include "share/member.h"

struct ask {
	struct member *member; /* NULL: it has nothing */
	unsigned word;
	int fd; /* -1: not asked yet, or answered */
};

struct ask_question {
	uint8_t digest[KEEPER_DIGEST_LEN];
	uint64_t timeout_ns; /* how long to wait in line */
	bool ping;           /* the session must prove that it lives */
	const char *label;
	const char *place; /* "": ask_note_place() will tell */
};

enum ask_answer {
	ASK_UNANSWERED,
	ASK_ENDED, /* the keeper has ended, or closed the connection */
	ASK_WAITING,
	ASK_LENT,
	ASK_ROOM,
	ASK_REFUSED,
	ASK_NOTHING_YET
};

struct ask_reply {
	int server;                   /* LENT: the session's socket; else -1 */
	struct keeper_record *record; /* LENT: malloc'ed */
	char *text;                   /* REFUSED: a line for each holder, malloc'ed */
};

/* Takes a word to ask for. False: there is none, and it has nothing. */
COLD bool ask_take(struct ask *ask, struct member *member);

/* False: it could not be asked, and has nothing any more. */
COLD bool ask_send(struct ask *ask, const struct ask_question *question);

/*
 * Whether the place may be told after the question, and before its answer is read: by
 * ask_note_place(), without a system call. Does nothing for one that has nothing, or is of
 * another process.
 */
static inline bool ask_may_note_place(const struct ask *ask)
{
	return ask->word < KEEPER_PLACES;
}
COLD void ask_note_place(const struct ask *ask, const char *place);

/*
 * What has come. LENT and ROOM leave the word with the ask, until it becomes a session's; the
 * reply's contents are the caller's.
 */
COLD enum ask_answer ask_read(struct ask *ask, struct ask_reply *reply);

/*
 * Has the keeper shut the socket `bell` down for reading when there is something to read on the
 * connection `fd`, an ask's or a hail's. False: there is, or will not be.
 */
COLD bool ask_bell(int fd, int bell);

/* Its word is a session's now. */
static inline void ask_settle(struct ask *ask)
{
	ask->member = NULL;
}

/*
 * Takes the question back, or gives the room back; closes no session. Does nothing for one that
 * has nothing, or is of another process.
 */
COLD void ask_drop(struct ask *ask);

/* What was lent was not used, and goes back. */
COLD void ask_return(struct ask *ask);

/* Child of a fork: closes its copy of the descriptor. */
void ask_fork_child(struct ask *ask);

#endif
