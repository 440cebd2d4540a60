/* SPDX-License-Identifier: PostgreSQL */
/*
 * The turn of a connect that blocks with the keeper: it asks, waits in the line of all
 * processes, and is lent a session or may open one.
 */
#ifndef PQPOOL_ACQUIRE_KEEPER_TURN_H
#define PQPOOL_ACQUIRE_KEEPER_TURN_H

#include "acquire/lend/borrow.h"
#include "base/cold.h"

/*
 * ALONE: open one, nobody else will know of it. OPEN: open one and borrow_opened(). LENT:
 * `*session` is to be put on a lease. REFUSED: `*holders`, malloc'ed or NULL, tells of them.
 * LOST: the room in the pool was given to another connect meanwhile; the ticket is void.
 */
enum keeper_turn {
	KEEPER_TURN_ALONE,
	KEEPER_TURN_OPEN,
	KEEPER_TURN_LENT,
	KEEPER_TURN_REFUSED,
	KEEPER_TURN_LOST
};

/*
 * For an acquisition whose ticket holds a room. Blocks, with no lock held, where a thread can
 * be cancelled and a handler may leave for good: for the keeper's first answer
 * borrow_patience(), in line PQPOOL_TIMEOUT and that. A keeper that ends is no answer: the next
 * one is asked, if it is there.
 */
COLD enum keeper_turn keeper_turn_take(struct acquisition *a, struct borrow *borrow,
                                       struct session **session, char **holders);

#endif
