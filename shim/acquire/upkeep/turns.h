/* SPDX-License-Identifier: PostgreSQL */
/*
 * Takes sessions back from asynchronous connects that their program does not poll.
 *
 * A program may begin a connect and never poll it again (its task was cancelled), or poll
 * late. That matters only if another connect waits, so every waiter looks: a connect that could
 * have continued for PATIENCE_NS and was not polled loses its turn, and what it had goes to the
 * first in line. If it is polled later, it gets in line again, at the front.
 *
 * A turn is what an asynchronous connect has of its pool: a room, whatever is done in it, or
 * what its waiter was granted. It is embedded in the connect.
 *
 * Locks: the pool's, taken by every function here.
 */
#ifndef PQPOOL_ACQUIRE_UPKEEP_TURNS_H
#define PQPOOL_ACQUIRE_UPKEEP_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/fd.h"
#include "pool/registry.h"
#include "trace/lease/lease.h"

/* What the program waits for. */
struct turn_rest {
	int fd;
	struct fd_id id;       /* the file that is at `fd` */
	short events;          /* as of poll(2) */
	bool own;              /* it is the connection's own socket, and can be shut down */
	uint64_t answer_by_ns; /* when a session being checked, or the keeper, must have
	                          answered */
};

struct turn {
	struct pool *pool;
	struct lease *lease;
	struct pool_waiter *waiter;
	atomic_bool waits; /* it has no more than what its waiter was granted */

	/* turns.c's */
	struct turn_rest rest;
	bool busy;             /* its program is in a step */
	bool lost;             /* it has nothing any more */
	uint64_t neglected_ns; /* since when it could continue, and does not; 0 = it cannot */
	struct turn *prev;
	struct turn *next;
};

/* From take to leave the turn can be lost, but not while its program is in a step. */
void turn_take(struct turn *turn);
void turn_leave(struct turn *turn);

/* Before a step, and before the connect is given up: false if the turn was lost. */
bool turn_go(struct turn *turn);

/* After a step, and at first. */
void turn_rest(struct turn *turn, const struct turn_rest *rest);

/*
 * Takes from the pool's connects what they neglect, for a waiter; `*next_ns` gets the time to
 * look again. True if any of them has a session or a room, which it will give back sooner or
 * later.
 */
bool turns_look(struct lender *lender, uint64_t now_ns, uint64_t *next_ns);

/*
 * Wakes the programs whose sessions, or the keeper, did not answer in time, by shutting the
 * socket down: nothing else would, as long as the server is there.
 */
COLD void turns_wake(struct lender *lender, uint64_t now_ns);

#endif
