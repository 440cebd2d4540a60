/* SPDX-License-Identifier: PostgreSQL */
/*
 * This process as a member of a keeper: its connection, its page of words, the keeper's secret.
 *
 *   (none) ── member_join: HELLO, WELCOME ──► member ── the keeper ends ──► (none)
 *
 * Nothing watches the keeper: its end is noticed by the next connect that asks. Then, and if it
 * is slow, absent, of another version or uid, the process goes on by itself.
 *
 * A member is never freed, as sessions point to it. Locks: none; one thread joins, others wait
 * for it for a moment. Signals: what is said to be safe may be called in a handler. Fork: the
 * child is no member; the page is not in its memory, so nothing of its parent's members may be
 * used there (member_is_mine).
 */
#ifndef PQPOOL_SHARE_MEMBER_H
#define PQPOOL_SHARE_MEMBER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/fd.h"
#include "base/thread/pid.h"
#include "share/keeper_protocol.h"

/*
 * How long to wait for a keeper that has not answered before, and with what can be done as well
 * without it.
 */
#define MEMBER_PATIENCE_NS (50 * NS_PER_MS)

/* What the process uses a word for; the word itself tells less. */
enum member_use {
	MEMBER_UNUSED,
	MEMBER_USED, /* asked for, or a session's */
	MEMBER_LEFT  /* its session was left to the keeper, who will claim it */
};

struct member {
	struct keeper_page *page;
	uint64_t number; /* the keeper's name for us */
	uint8_t secret[KEEPER_SECRET_LEN];
	struct sockaddr_un address; /* of the keeper */
	pid_t owner;
	int fd;
	struct fd_id id;
	atomic_bool hung_up; /* its descriptor is closed */
	atomic_uchar uses[KEEPER_WORDS];
};

/* PQPOOL_SHARE: "off", "on" or the path of a keeper's socket. Once, before the others. */
void member_configure(const char *share);
bool member_is_on(void);

/*
 * Says HELLO ahead, once in a process that shares: the keeper answers while this thread finds
 * out what its connect is for, and member_join need not wait for it. Waits for nothing.
 */
COLD void member_hail(void);

/*
 * The member that this process is; becomes one if it is none, or if its keeper has ended
 * (`*fresh`). NULL: there is no keeper, or it does not answer within member_patience(). Asks no
 * silent keeper again for a second. Where it has to wait for WELCOME it calls `meanwhile`
 * first, unless that is NULL.
 */
COLD struct member *member_join(uint64_t patience_ns, bool *fresh, void (*meanwhile)(void *arg),
                                void *arg);

/*
 * The same by steps that do not wait. JOINING: call it again when there is something to read on
 * hail->member->fd. ALONE: there is no keeper. A hail is zero at first, is its connect's, and
 * is dropped if that ends before; in the child of a fork it is only closed.
 */
struct member_hail {
	struct member *member; /* has said HELLO, and not heard WELCOME yet; NULL: none has */
	unsigned attempts;
};

enum member_step { MEMBER_JOINED, MEMBER_JOINING, MEMBER_ALONE };
COLD enum member_step member_join_step(struct member_hail *hail, struct member **member,
                                       bool *fresh);
COLD void member_hail_drop(struct member_hail *hail);
void member_hail_fork_child(struct member_hail *hail);

/* As member_join() with no patience: what a keeper has not answered yet the next call hears. */
COLD struct member *member_join_at_once(bool *fresh);

/*
 * How long to wait for an answer: a keeper that is there may be slow, and others than it do not
 * know the limit. But one that stands still holds up no more than one connect of each thread
 * for so long: from then on it is MEMBER_PATIENCE_NS once a second, until it answers.
 */
uint64_t member_patience(uint64_t patience_ns);

/* The same without joining: NULL, too, if its keeper has ended, or is silent. */
struct member *member_now(void);

/* The last one that it was; its keeper may have ended. No system call. */
struct member *member_last(void);

/* The keeper did not answer in time; and: it has answered. */
COLD void member_note_silence(void);
COLD void member_note_answer(void);

/* False in a child of the process. */
static inline bool member_is_mine(const struct member *member)
{
	return member->owner == pid_self();
}

/* A free word, now in use; -1: there is none. */
COLD int member_take_word(struct member *member);
/* It is free, or the keeper will make it so. */
COLD void member_leave_word(struct member *member, unsigned word, enum member_use use);

static inline enum keeper_word_state member_word(const struct member *member, unsigned word)
{
	return KEEPER_WORD_STATE(atomic_load(&member->page->words[word]));
}

/* Changes the state of a word; false: it is not `from`. Async-signal-safe. */
bool member_move(struct member *member, unsigned word, enum keeper_word_state from,
                 enum keeper_word_state to, unsigned answers);

/* True if somebody waits for a session of this process. */
static inline bool member_is_wanted(const struct member *member)
{
	return atomic_load(&member->page->attention) != 0;
}

/* Has the keeper look at the words. Never waits. */
COLD void member_nudge(const struct member *member);

/* Sends OPENED with the socket; false: it could not in time. `label` is for people. */
COLD bool member_tell_opened(const struct member *member, unsigned word,
                             const uint8_t digest[KEEPER_DIGEST_LEN],
                             const struct keeper_record *record, const char *label, int fd,
                             uint64_t patience_ns);

/*
 * Has the keeper close all sessions that it holds, and those that are in use when they are
 * given back. Waits for its answer as for any.
 */
COLD void member_drain_all(void);

/*
 * Has the keeper close all idle sessions, and waits until the server has ended them, or for
 * `deadline_ns`. False: there was none, or there is no keeper that does.
 */
COLD bool member_make_room(uint64_t deadline_ns);

/* Child of a fork: it is no member. */
void member_fork_child(void);

#endif
