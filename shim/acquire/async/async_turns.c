/* SPDX-License-Identifier: PostgreSQL */
/* Connects in steps that are not gone on with. */
#include "acquire/async/async_turns.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "acquire/lend/log_events.h"
#include "base/lock.h"
#include "base/text/hash.h"

/* How long a connect may be able to go on before it is taken for given up. */
#define PATIENCE_NS (250 * NS_PER_MS)

/* Lines in the log about one look. */
#define TOLD_MAX 8

struct loss {
	pid_t tid;
	uint64_t begun_ns;
	uint32_t stack;
};

struct losses {
	unsigned count;
	struct loss of[TOLD_MAX];
};

static struct pool *pool_of(const struct async_connect *h)
{
	return &h->a.lender->pool;
}

/* ---- of one connect ------------------------------------------------------------------ */

void turn_take(struct async_connect *h)
{
	h->turn.waiter = &h->waiter;
	h->turn.busy = true;
	h->turn.lost = false;
	lock_take(&pool_of(h)->lock);
	DL_APPEND(pool_of(h)->turns, &h->turn);
	lock_drop(&pool_of(h)->lock);
}

static void take_out_locked(struct pool *pool, struct pool_turn *turn)
{
	/* utlist: that of the first is the last. */
	if (turn->prev != NULL) {
		DL_DELETE(pool->turns, turn);
		turn->prev = NULL;
	}
}

void turn_leave(struct async_connect *h)
{
	lock_take(&pool_of(h)->lock);
	take_out_locked(pool_of(h), &h->turn);
	lock_drop(&pool_of(h)->lock);
}

bool turn_go(struct async_connect *h)
{
	bool lost;

	lock_take(&pool_of(h)->lock);
	h->turn.busy = true;
	h->turn.neglected_ns = 0;
	lost = h->turn.lost;
	lock_drop(&pool_of(h)->lock);
	return !lost;
}

void turn_rest(struct async_connect *h, PostgresPollingStatusType wants, int fd,
               const struct fd_id *id)
{
	h->wants = wants;
	h->rest_fd = fd;
	h->rest_id = *id;
	lock_take(&pool_of(h)->lock);
	h->turn.busy = false;
	lock_drop(&pool_of(h)->lock);
}

/* ---- of all of a pool ------------------------------------------------------------------ */

static struct async_connect *handshake_of(struct pool_turn *turn)
{
	return (struct async_connect *)((char *)turn - offsetof(struct async_connect, turn));
}

/* What its program has been told to wait for is there, or there is nothing any more. */
static bool can_go_on(const struct async_connect *h)
{
	struct pollfd p = {.fd = h->rest_fd,
	                   .events = h->wants == PGRES_POLLING_WRITING ? POLLOUT : POLLIN};
	struct stat st;

	return !fd_is(h->rest_fd, &h->rest_id, &st) || poll(&p, 1, 0) > 0;
}

/* The server is to see the end of what is under way, and so is the program. */
static void cut_off(const struct async_connect *h)
{
	struct stat st;

	if (!shown_is_wakeup(&h->shown) && fd_is(h->rest_fd, &h->rest_id, &st)) {
		shutdown(h->rest_fd, SHUT_RDWR);
	}
}

/* Takes from it what it has, and gives that to the first in line. */
static void lose_locked(struct pool *pool, struct async_connect *h, struct losses *losses)
{
	enum pool_grant had = h->turn.waits ? h->waiter.grant : POOL_OPEN;

	take_out_locked(pool, &h->turn);
	h->turn.lost = true;
	cut_off(h);
	lease_place(h->lease, false);
	if (losses->count < TOLD_MAX) {
		losses->of[losses->count++] = (struct loss){.tid = h->lease->tid,
		                                            .begun_ns = h->lease->began_ns,
		                                            .stack = h->lease->stack};
	}
	pool_pass_on_locked(pool, had, had == POOL_OPEN ? NULL : h->waiter.slot);
}

bool turns_look(struct lender *lender, uint64_t now_ns, uint64_t *next_ns)
{
	struct pool *pool = &lender->pool;
	struct losses losses = {.count = 0};
	struct pool_turn *turn;
	struct pool_turn *after;
	bool any = false;

	*next_ns = DEADLINE_NEVER;
	lock_take(&pool->lock);
	DL_FOREACH_SAFE (pool->turns, turn, after) {
		struct async_connect *h = handshake_of(turn);
		bool in_line = turn->waits && turn->waiter->grant == POOL_FULL;

		any = any || !in_line;
		if (pool->waiters == NULL || turn->busy || in_line || !can_go_on(h)) {
			turn->neglected_ns = 0;
			continue;
		}
		if (turn->neglected_ns == 0) {
			turn->neglected_ns = now_ns;
		}
		if (now_ns >= turn->neglected_ns + PATIENCE_NS) {
			lose_locked(pool, h, &losses);
		} else if (turn->neglected_ns + PATIENCE_NS < *next_ns) {
			*next_ns = turn->neglected_ns + PATIENCE_NS;
		}
	}
	lock_drop(&pool->lock);
	for (unsigned i = 0; i < losses.count; i++) {
		log_event_turn_lost(lender, losses.of[i].tid, losses.of[i].begun_ns, now_ns,
		                    losses.of[i].stack);
	}
	return any;
}

void turns_wake(struct lender *lender, uint64_t now_ns)
{
	struct pool *pool = &lender->pool;
	struct pool_turn *turn;

	lock_take(&pool->lock);
	DL_FOREACH (pool->turns, turn) {
		const struct async_connect *h = handshake_of(turn);

		if (!turn->busy && h->state == CHECKING &&
		    now_ns >= session_of_lease(h->lease)->check.deadline_ns) {
			cut_off(h);
		}
	}
	lock_drop(&pool->lock);
}
