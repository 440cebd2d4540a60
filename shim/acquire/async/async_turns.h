/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connects in steps that are not gone on with: a program may begin one and never poll again
 * (a task was cancelled), or poll late. Nobody notices until somebody else waits for what it
 * has: so every waiter looks, and what could have been gone on with for a moment, and was not,
 * goes to the next in line. A connect that goes on after that gets in line again, in front.
 *
 * A turn is what a connect in steps has of its pool: a room, whatever is done in it, or what
 * its waiter was granted. It is embedded in the handshake.
 *
 * Locks: the pool's, taken by every function here.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_TURNS_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/async/async_steps.h"
#include "base/cold.h"
#include "pool/registry.h"

/* From take to leave the turn can be lost; not while its program is in a step, as at first. */
void turn_take(struct async_connect *h);
void turn_leave(struct async_connect *h);

/* Before a step, and before it is given up: false if it was lost. */
bool turn_go(struct async_connect *h);

/*
 * After a step: the program is to go on when `fd`, which is the file `id`, is ready for what it
 * `wants`.
 */
void turn_rest(struct async_connect *h, PostgresPollingStatusType wants, int fd,
               const struct fd_id *id);

/*
 * Looks at all of a pool, for one who is in line; `*next_ns` gets the time to look again. True
 * if there are any that have a session's place, and so will give it on sooner or later.
 */
bool turns_look(struct lender *lender, uint64_t now_ns, uint64_t *next_ns);

/*
 * Wakes the programs whose sessions have not answered in time: nothing else would, where the
 * server is there. For any pool call, now and then.
 */
COLD void turns_wake(struct lender *lender, uint64_t now_ns);

#endif
