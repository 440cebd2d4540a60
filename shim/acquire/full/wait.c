/* SPDX-License-Identifier: PostgreSQL */
/* Waiting in a full pool's line, for connects that block. */
#include "acquire/full/wait.h"

#include <dlfcn.h>

#include "acquire/full/exhaustion.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/long_hold.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/turns.h"
#include "base/clock.h"
#include "base/dl.h"
#include "base/thread/thread_block.h"
#include "pool/deadlock.h"
#include "trace/lease/counters.h"
#include "trace/script/script_signals.h"
#include "trace/status/status.h"

/* How long a new thread may take until it first uses libpq. */
#define HANDED_OVER_NS (250 * NS_PER_MS)

/*
 * Most waits are over sooner. So only after this time does a waiter look around, which takes
 * the longer the more threads there are.
 */
#define UNWATCHED_NS (10 * NS_PER_MS)

static uint64_t first_look(uint64_t now_ns)
{
	return lend_settings.timeout_ns > 2 * UNWATCHED_NS ? now_ns + UNWATCHED_NS : now_ns;
}

static void look_around(const struct acquisition *a, uint64_t now_ns)
{
	uint64_t waited_ns = now_ns - a->began_ns;

	abandoned_call_tend_overdue(now_ns);
	long_hold_look(now_ns);
	long_hold_look_at(a->lender, now_ns);
	if (waited_ns >= WAIT_LOOK_NS) {
		exhaustion_suspect(a->lender, waited_ns);
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t wait_next_look(uint64_t deadline_ns, uint64_t now_ns)
{
	return earlier(now_ns + WAIT_LOOK_NS, deadline_ns);
}

/* Another thread may be about to use what this one has taken. */
static bool has_all_itself(const struct acquisition *a, uint64_t now_ns)
{
	return thread_block_users() <= 1 && now_ns >= a->began_ns + HANDED_OVER_NS &&
	       exhaustion_all_own(a->lender, now_ns - a->began_ns);
}

static uint64_t next_look(const struct acquisition *a, uint64_t before_ns, uint64_t now_ns)
{
	uint64_t handed_over_ns = a->began_ns + HANDED_OVER_NS;

	before_ns = wait_next_look(before_ns, now_ns);
	return now_ns < handed_over_ns ? earlier(handed_over_ns, before_ns) : before_ns;
}

/* The object that the program's calls of `name` go to; NULL: not known. */
static void *answered_by(const char *name)
{
	void *function = dl_symbol(RTLD_DEFAULT, name);
	Dl_info info;

	return function != NULL && dladdr1(function, &info, NULL, 0) != 0 ? info.dli_fbase
	                                                                  : NULL;
}

bool wait_yields(void)
{
	bool yields = answered_by("poll") != answered_by("gnu_get_libc_version");

	dl_forget_error();
	return yields;
}

/* False: no release can come. Notes when to look again. */
static bool look_up(struct acquisition *a, uint64_t now_ns, uint64_t deadline_ns,
                    uint64_t *next_ns)
{
	struct pool_waiter *waiter = blocked_call_waiter(&a->ticket);
	uint64_t turns_ns;

	orders_look();
	if (orders_are_paused()) {
		*next_ns = earlier(now_ns + ORDERS_LOOK_NS, deadline_ns);
		return true;
	}
	pool_block(&a->lender->pool, waiter);
	/* Asynchronous connects may give back what they have. */
	if (!turns_look(a->lender, now_ns, &turns_ns) && !wait_yields() &&
	    (deadlock_proven(&waiter->blocked) || has_all_itself(a, now_ns))) {
		return false;
	}
	look_around(a, now_ns);
	*next_ns = next_look(a, earlier(turns_ns, deadline_ns), now_ns);
	return true;
}

/* False: it was too late, and is out of the line. */
static bool sleep_in_line(struct acquisition *a, uint64_t deadline_ns, uint64_t until_ns,
                          bool *interrupted)
{
	blocked_call_block(&a->ticket, deadline_ns);
	*interrupted = !blocked_call_sleep(&a->ticket, until_ns) && script_signals_run();
	return blocked_call_back(&a->ticket);
}

static void note_end(struct acquisition *a, enum pool_grant grant)
{
	a->queued_ns = clock_monotonic_ns() - a->began_ns;
	counters_waited(a->queued_ns);
	status_waited(a->lender->pool.row, a->queued_ns, grant != POOL_FULL);
	if (grant != POOL_FULL) {
		exhaustion_relieve(a->lender);
	}
}

enum pool_grant wait_for_turn(struct acquisition *a, bool *doomed)
{
	struct pool *pool = &a->lender->pool;
	struct pool_waiter *waiter = blocked_call_waiter(&a->ticket);
	uint64_t deadline_ns = a->began_ns + lend_settings.timeout_ns;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t look_ns = first_look(now_ns);
	enum pool_grant grant = POOL_FULL;
	bool interrupted = false;

	*doomed = false;
	blocked_call_hold_line(&a->ticket, a->lender);
	log_event_wait(a->lender);
	if (now_ns < deadline_ns) {
		pool_block(pool, waiter);
	}
	while (grant == POOL_FULL && now_ns < deadline_ns && !interrupted) {
		if (now_ns >= look_ns && !look_up(a, now_ns, deadline_ns, &look_ns)) {
			*doomed = true;
			break;
		}
		if (!sleep_in_line(a, deadline_ns, look_ns, &interrupted)) {
			note_end(a, POOL_FULL);
			return POOL_FULL;
		}
		grant = pool_granted(pool, waiter);
		now_ns = clock_monotonic_ns();
	}
	grant = pool_leave(pool, waiter);
	note_end(a, grant);
	return grant;
}
