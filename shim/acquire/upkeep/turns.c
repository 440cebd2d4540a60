/* SPDX-License-Identifier: PostgreSQL */
/* Takes sessions back from asynchronous connects that their program does not poll. */
#include "acquire/upkeep/turns.h"

#include <poll.h>
#include <sys/socket.h>

#include "acquire/upkeep/log_events.h"
#include "base/lock.h"
#include "base/text/hash.h"

/* For how long a connect may be able to continue and not be polled. */
#define PATIENCE_NS (250 * NS_PER_MS)

/* Lines in the log about one look. */
#define LOGGED_MAX 8

struct losses {
	unsigned count;
	struct log_event_turn of[LOGGED_MAX];
};

void turn_take(struct turn *turn)
{
	turn->busy = true;
	turn->lost = false;
	lock_take(&turn->pool->lock);
	DL_APPEND(turn->pool->turns, turn);
	lock_drop(&turn->pool->lock);
}

static void take_out_locked(struct turn *turn)
{
	/* In utlist the first one's prev is the last; NULL only if it is in no list. */
	if (turn->prev != NULL) {
		DL_DELETE(turn->pool->turns, turn);
		turn->prev = NULL;
	}
}

void turn_leave(struct turn *turn)
{
	lock_take(&turn->pool->lock);
	take_out_locked(turn);
	lock_drop(&turn->pool->lock);
}

bool turn_go(struct turn *turn)
{
	bool lost;

	lock_take(&turn->pool->lock);
	turn->busy = true;
	turn->neglected_ns = 0;
	lost = turn->lost;
	lock_drop(&turn->pool->lock);
	return !lost;
}

void turn_rest(struct turn *turn, const struct turn_rest *rest)
{
	lock_take(&turn->pool->lock);
	turn->rest = *rest;
	turn->busy = false;
	lock_drop(&turn->pool->lock);
}

static bool is_there(const struct turn_rest *rest)
{
	struct stat st;

	return fd_is(rest->fd, &rest->id, &st);
}

/* What its program waits for is ready, or is gone. */
static bool can_continue(const struct turn_rest *rest)
{
	struct pollfd p = {.fd = rest->fd, .events = rest->events};

	return !is_there(rest) || poll(&p, 1, 0) > 0;
}

/* Ends what is under way, for the server and for the program. */
static void cut_off(const struct turn_rest *rest)
{
	if (rest->own && is_there(rest)) {
		shutdown(rest->fd, SHUT_RDWR);
	}
}

/* Takes from it what it has, and gives that to the first in line. */
static void lose_locked(struct turn *turn, struct losses *losses)
{
	enum pool_grant had = turn->waits ? turn->waiter->grant : POOL_OPEN;
	const struct lease *lease = turn->lease;

	take_out_locked(turn);
	turn->lost = true;
	cut_off(&turn->rest);
	lease_place(turn->lease, false);
	if (losses->count < LOGGED_MAX) {
		losses->of[losses->count++] =
			(struct log_event_turn){lease->tid, lease->began_ns, lease->stack};
	}
	pool_pass_on_locked(turn->pool, had, had == POOL_OPEN ? NULL : turn->waiter->slot);
}

bool turns_look(struct lender *lender, uint64_t now_ns, uint64_t *next_ns)
{
	struct pool *pool = &lender->pool;
	struct losses losses = {.count = 0};
	struct turn *turn;
	struct turn *after;
	bool any = false;

	*next_ns = DEADLINE_NEVER;
	lock_take(&pool->lock);
	DL_FOREACH_SAFE (pool->turns, turn, after) {
		bool in_line = turn->waits && turn->waiter->grant == POOL_FULL;

		any = any || !in_line;
		if (pool->waiters == NULL || pool->paused || turn->busy || in_line ||
		    !can_continue(&turn->rest)) {
			turn->neglected_ns = 0;
			continue;
		}
		if (turn->neglected_ns == 0) {
			turn->neglected_ns = now_ns;
		}
		if (now_ns >= turn->neglected_ns + PATIENCE_NS) {
			lose_locked(turn, &losses);
		} else if (turn->neglected_ns + PATIENCE_NS < *next_ns) {
			*next_ns = turn->neglected_ns + PATIENCE_NS;
		}
	}
	lock_drop(&pool->lock);
	for (unsigned i = 0; i < losses.count; i++) {
		log_event_turn_lost(lender, &losses.of[i], now_ns);
	}
	return any;
}

void turns_wake(struct lender *lender, uint64_t now_ns)
{
	struct turn *turn;

	lock_take(&lender->pool.lock);
	DL_FOREACH (lender->pool.turns, turn) {
		if (!turn->busy && now_ns >= turn->rest.answer_by_ns) {
			cut_off(&turn->rest);
		}
	}
	lock_drop(&lender->pool.lock);
}
