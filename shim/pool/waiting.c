/* SPDX-License-Identifier: PostgreSQL */
/* Waiting in a full pool's line, for connects that block. */
#include "pool/waiting.h"

#include <dlfcn.h>

#include "base/clock.h"
#include "base/dl.h"
#include "pool/deadlock.h"
#include "pool/journal.h"
#include "pool/pending.h"
#include "pool/postmortem.h"
#include "pool/watchdog.h"
#include "trace/status.h"
#include "trace/tally.h"

static void look_around(const struct acquisition *a, uint64_t now_ns)
{
	uint64_t waited_ns = now_ns - a->began_ns;

	pending_tend_overdue(now_ns);
	watchdog_look(now_ns);
	watchdog_look_at(a->lender, now_ns);
	if (waited_ns >= WAITING_LOOK_NS) {
		postmortem_suspect(a->lender, waited_ns);
	}
}

uint64_t waiting_next_look(uint64_t deadline_ns, uint64_t now_ns)
{
	return now_ns + WAITING_LOOK_NS < deadline_ns ? now_ns + WAITING_LOOK_NS : deadline_ns;
}

/* The object that the program's calls of `name` go to; NULL: not known. */
static void *answered_by(const char *name)
{
	void *function = dl_symbol(RTLD_DEFAULT, name);
	Dl_info info;

	return function != NULL && dladdr1(function, &info, NULL, 0) != 0 ? info.dli_fbase
	                                                                  : NULL;
}

bool waiting_yields(void)
{
	bool yields = answered_by("poll") != answered_by("gnu_get_libc_version");

	dl_forget_error();
	return yields;
}

/* False: it was too late, and is out of the line. */
static bool sleep_in_line(struct acquisition *a, uint64_t deadline_ns, uint64_t now_ns)
{
	pending_block(&a->ticket, deadline_ns);
	pending_sleep(&a->ticket, waiting_next_look(deadline_ns, now_ns));
	return pending_back(&a->ticket);
}

static void note_end(struct acquisition *a, enum pool_grant grant)
{
	a->queued_ns = clock_monotonic_ns() - a->began_ns;
	tally_waited(a->queued_ns);
	status_waited(a->lender->pool.row, a->queued_ns, grant != POOL_FULL);
	if (grant != POOL_FULL) {
		postmortem_relieve(a->lender);
	}
}

enum pool_grant waiting_for_turn(struct acquisition *a, bool *doomed)
{
	struct pool *pool = &a->lender->pool;
	struct pool_waiter *waiter = pending_waiter(&a->ticket);
	uint64_t deadline_ns = a->began_ns + lending_settings.timeout_ns;
	uint64_t now_ns = clock_monotonic_ns();
	enum pool_grant grant = POOL_FULL;
	bool yields = waiting_yields();

	*doomed = false;
	pending_hold_line(&a->ticket, a->lender);
	journal_wait(a->lender, pool_count(pool));
	if (now_ns < deadline_ns) {
		pool_block(pool, waiter);
	}
	while (grant == POOL_FULL && now_ns < deadline_ns) {
		*doomed = !yields && deadlock_proven(&waiter->blocked);
		if (*doomed) {
			break;
		}
		look_around(a, now_ns);
		if (!sleep_in_line(a, deadline_ns, now_ns)) {
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
