/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a connect needs and the process has not, from the keeper: a session that another process
 * opened, or the permission to open one that others will be lent.
 *
 * The ask is where the caller keeps it, as it may outlast the call; the caller drops it if it
 * is not settled. Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_LEND_BORROW_H
#define PQPOOL_ACQUIRE_LEND_BORROW_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/acquisition.h"
#include "base/cold.h"
#include "share/ask.h"
#include "share/start_tape.h"

struct borrow {
	struct ask *ask;
	uint64_t proven_ns; /* what is lent proves after that that it lives; 0: not */
	uint8_t digest[KEEPER_DIGEST_LEN];

	/* By steps: */
	struct member_hail hail; /* to be a member, before anything can be asked */
	unsigned attempts;       /* keepers that were asked */
	uint64_t since_ns;       /* when what is waited for was begun */
	bool in_line;            /* the keeper has said WAIT */
	bool belled;             /* it is to ring a bell when it answers */
};

/*
 * How long a connect waits for each answer of the keeper, as for a server's:
 * PQPOOL_PING_TIMEOUT, or a quarter of the program's own connect_timeout.
 */
COLD uint64_t borrow_patience(const struct acquisition *a);

/* False: this process does not share, or not what `a` wants. */
COLD bool borrow_is_possible(const struct acquisition *a);

/*
 * Asks for what `a` wants; with `proven`, or if the pool has reason to doubt what was
 * opened before and the process does not ping, for one that the keeper has seen to live since.
 * Becomes a member first, for which it may wait that long. False: there is no keeper, or its
 * sessions cannot be shared: the process goes on by itself.
 */
COLD bool borrow_begin(struct borrow *borrow, struct acquisition *a, struct ask *ask,
                       bool proven, uint64_t patience_ns);

/* Notes where the program asked, if that was not done yet, and tells the keeper, which answers
 * meanwhile. */
COLD void borrow_locate(const struct borrow *borrow, struct acquisition *a);

/*
 * The same, and what has come, by steps that do not wait; asks the next keeper if one has
 * ended. The borrow is zero at first but for its ask, which has nothing. NOTHING_YET: call it
 * again when there is something to read at borrow_socket(), or borrow_deadline() is over: then
 * it is the last time, and UNANSWERED or REFUSED.
 */
COLD enum ask_answer borrow_step(struct borrow *borrow, const struct acquisition *a,
                                 struct ask_reply *reply);
COLD int borrow_socket(const struct borrow *borrow);
COLD uint64_t borrow_deadline(const struct borrow *borrow, const struct acquisition *a);

/*
 * Has the keeper shut the socket `bell` down for reading when there is something to read at
 * borrow_socket(). False: there is already, or will not be.
 */
COLD bool borrow_bell(struct borrow *borrow, int bell);

/* Gives up what it has of the keeper; and in the child of a fork, where it has nothing. */
COLD void borrow_drop(struct borrow *borrow);
void borrow_fork_child(struct borrow *borrow);

/*
 * Before an idle session is taken: if a new keeper has found this process's page, it gets what
 * is idle here (keeper_page.attention). No system call otherwise. Without `waits` it gets that
 * at the next call if it does not answer at once.
 */
COLD void borrow_come_over(bool waits);
static inline void borrow_keep_up(bool waits)
{
	const struct member *member = member_last();

	if (member != NULL && member_is_mine(member) && member_is_wanted(member)) {
		borrow_come_over(waits);
	}
}

/*
 * The session that was lent, put under a PGconn, in the room that the caller has in the pool:
 * entered, admitted and settled, not on a lease. Consumes the reply. With `ping` an empty query
 * is in flight, for reset_check. NULL: it is not fit to be lent, and closed. Does not wait for
 * the server, but may for a name service.
 */
COLD struct session *borrow_lent(struct borrow *borrow, const struct acquisition *a,
                                 struct ask_reply *reply, bool ping);

/* The reply's session is not used: it ends. And: what is left of the reply is freed. */
COLD void borrow_give_up(struct borrow *borrow, struct ask_reply *reply);
COLD void borrow_end(struct ask_reply *reply);

/* For one that was put under a PGconn otherwise: the word is its own. False: no memory. */
COLD bool borrow_settle(struct borrow *borrow, struct session *session,
                        const struct keeper_record *record);

/*
 * An admitted session was opened in the room that the keeper gave; `tape` is its start, or
 * NULL. Others will be lent it when it is given back, if it can be shared.
 */
COLD void borrow_opened(struct borrow *borrow, struct session *session,
                        const struct start_tape *tape);

/* Whether a session can be asked for its sign of life while it is put under a PGconn. */
COLD bool borrow_may_ping(void);

/*
 * Why an admitted session that was lent is not to be used: its age, or its proof of life is
 * older than the pool's doubts, or this process has altered since what sessions are made of.
 */
COLD enum drop_reason borrow_fate(const struct session *session,
                                  const struct keeper_record *record);

/* How a session that was lent is looked after: who lends it has proven that it lives. */
COLD struct session_care borrow_care(void);

#endif
