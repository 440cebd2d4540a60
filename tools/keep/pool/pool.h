/* SPDX-License-Identifier: PostgreSQL */
/*
 * The sessions of one identity over all processes, and the line of connects that ask for one.
 *
 * One rule serves: pool_serve() goes through the line from its head, and gives each what there
 * is: a session that the keeper holds, one that lies idle in a process, a room below the limit;
 * it stops at the first for whom there is nothing. So it is first come, first served over all
 * processes, but that one whose session is still being proven does not hold up those behind,
 * and that a process has what it was lent for some milliseconds, in as many leases as it likes,
 * as long as it uses it.
 *
 * No wake-up is lost: while somebody waits, the pages of the members whose time is over say so
 * (keeper_page.attention), and then their words are looked at once more; at the others' words
 * the keeper looks each millisecond.
 */
#ifndef PQPOOL_TOOLS_KEEP_POOL_POOL_H
#define PQPOOL_TOOLS_KEEP_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text/hash.h"
#include "keep/pool/member.h"
#include "keep/session/session.h"
#include "share/keeper_protocol.h"

struct pool {
	uint8_t digest[KEEPER_DIGEST_LEN];
	char *label;
	uint32_t label_hash;
	struct session *sessions; /* and rooms */
	unsigned used;            /* how many */
	struct session *closing;  /* whose server's end is awaited; theirs are no rooms yet */
	unsigned ending;          /* how many */
	struct ask *line;
	unsigned waiting;
	uint64_t again_ns;   /* when it is to be served again for the line's sake */
	uint64_t suspect_ns; /* a session proved dead then: proofs from before count for nothing
	                      */
	UT_hash_handle hh;
};

/* A connect's question. In its pool's line until it is answered. */
struct ask {
	struct ask *prev, *next;
	struct pool *pool; /* NULL: not in line */
	uint64_t member;
	unsigned word;
	bool pings;
	char *place;
	uint64_t asked_ns;
	uint64_t refused_ns;     /* when it is to be refused */
	uint64_t told_ns;        /* when it is to be told to wait; DEADLINE_NEVER: it was */
	struct session *session; /* being proven for it */
	uint32_t offered;        /* the word that it was answered with; 0: none */
	int socket;
	int bell; /* rung when it is answered; -1: none */
	/* Called when it cannot be answered: the process has gone, or broke the rules. */
	void (*failed)(struct ask *ask);
};

/* While true nothing is lent, and no room granted. */
extern bool pools_are_paused;

/* The pool of an identity, made if there is none. */
struct pool *pool_get(const uint8_t digest[KEEPER_DIGEST_LEN], const char *label);

/* All, in hh.next. */
struct pool *pools_all(void);

/* Puts a question in line and serves the line; it is answered, or told to wait in time. */
void pool_ask(struct pool *pool, struct ask *ask, uint64_t now_ns);

/*
 * Rings the bell of a question, if there is one; pool_bell() gives it one, which is rung at
 * once if the question was answered.
 */
void pool_ring(struct ask *ask);
void pool_bell(struct ask *ask, int bell);

/* Takes it out of the line; an offered session that its process has not taken comes back. */
void pool_withdraw(struct ask *ask, uint64_t now_ns);

/*
 * A member opened a session: in the room of its word, or before this keeper knew it. The pool
 * takes over `fd` and `bytes`. False: not in this word; nothing was taken.
 */
bool pool_opened(struct pool *pool, struct member *member, unsigned word, int fd,
                 const struct keeper_record *record, uint8_t *bytes, uint64_t now_ns);

/*
 * A member asks by NUDGE to look at its words. The first notes what has come to nothing, the
 * second acts: all messages must be read in between, for OPENED is sent before that.
 */
void pool_note_failed(struct member *member);
void pool_look_at(struct member *member, uint64_t now_ns);

/* Takes in what a member that has ended leaves behind: it has no session afterwards. */
void pool_inherit(struct member *member, uint64_t now_ns);

/* Goes through the line, as the head of this file says. */
void pool_serve(struct pool *pool, uint64_t now_ns);
void pools_serve(uint64_t now_ns);

/* Answers with WAIT: another answer follows. */
void pool_tell_to_wait(struct ask *ask);

/* Takes a question out of the line, if it is in it, with the session that is proven for it. */
void pool_leave(struct ask *ask);

/* Closes an idle session that did not stand a test, whoever it was meant for. */
void pool_found_bad(struct session *session, const char *why, bool suspect, uint64_t now_ns);

/* Frees a pool that has neither sessions nor a line. */
void pool_free(struct pool *pool);

#endif
