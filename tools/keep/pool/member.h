/* SPDX-License-Identifier: PostgreSQL */
/*
 * The processes that share, each with its page of words; and the pages that a killed keeper
 * left, whose processes are still to say HELLO.
 *
 * A page's file is PREFIX.NUMBER.member in the keeper's directory. An open file of it is
 * locked, sent to the process, which maps it, and closed here: the lock lasts as long as that
 * mapping, so it tells a process that lives from one that ended or executed another program,
 * whatever became of its number. The keeper maps another open file of it.
 */
#ifndef PQPOOL_TOOLS_KEEP_POOL_MEMBER_H
#define PQPOOL_TOOLS_KEEP_POOL_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text/hash.h"
#include "keep/loop.h"
#include "share/keeper_protocol.h"

struct session;

struct member {
	uint64_t id;
	pid_t pid; /* 0: of another pid namespace */
	char *program;
	int socket; /* -1: closed, or a page that was left */
	struct watch connection;
	struct watch death; /* a pidfd */
	int pidfd;
	int page_fd; /* to ask for the lock */
	char *page_name;
	struct keeper_page *page;
	unsigned attended; /* sessions of it for whose identity somebody waits */
	struct session *sessions[KEEPER_WORDS];
	ino_t claimed[KEEPER_WORDS]; /* the socket that was claimed in this word last */
	UT_hash_handle hh;
};

/* Where pages are: a directory, and the beginning of their names. Both stay the caller's. */
void members_begin(int dir, const char *prefix);

/*
 * Takes over the pages that were left: those of living processes become members without a
 * connection, others are removed. `ended` is called at the end of such a process, to call
 * member_free().
 */
void members_adopt(void (*ended)(struct watch *death));

/*
 * Makes a member of the process `pid`; `*page` gets the open file for it, which is the
 * caller's. NULL: see errno.
 */
struct member *member_make(pid_t pid, char *program, int *page);

/* NULL: there is none. */
struct member *member_find(uint64_t id);

/* All, in hh.next. */
struct member *members_all(void);

/* True while the process has the page. */
bool member_lives(const struct member *member);

/* Watches for the end of its process; false: it cannot be. */
bool member_watch_death(struct member *member, void (*ended)(struct watch *death));

/* Closes its connection, if it is open. */
void member_disconnect(struct member *member);

/* Removes it and its page's file; it has no session any more. */
void member_free(struct member *member);

/*
 * Ends all at the keeper's end; the files of those whose words are in use stay for the next
 * one.
 */
void members_end(void);

/*
 * Puts empty memory in the place of a page whose file was cut short (SIGBUS at this address):
 * its member has nothing from then on. False: no member's. Async-signal-safe.
 */
bool members_lost_page(const void *address);

/*
 * How many sessions with this label processes have, of whom only a page was left, or who hand
 * them over and what they said was not read yet.
 */
unsigned members_left_with(uint32_t label);

/* True if it is only a page, and its process has handed over all that is in it. */
bool member_is_over(const struct member *member);

/* ---- words ---- */

uint32_t member_word(const struct member *member, unsigned word);

/*
 * Where the process says that it connects, of a word for which it asked without (keeper_page):
 * a line of UTF-8 of at most KEEPER_PLACE_BYTES - 1 bytes, in `buf`; "" if it has not said that
 * yet, or cannot.
 */
const char *member_place(const struct member *member, unsigned word,
                         char buf[KEEPER_PLACE_BYTES]);

/*
 * Changes a word from what was seen to another state; `*now`, unless it is NULL, gets the new
 * one. False: it is something else by now.
 */
bool member_change(struct member *member, unsigned word, uint32_t seen,
                   enum keeper_word_state state, uint32_t *now);

/* One more, or one less, of its sessions is waited for. True: the process has to be told now.
 */
bool member_attend(struct member *member, bool more);

#endif
