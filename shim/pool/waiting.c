/* SPDX-License-Identifier: PostgreSQL */
/* Waiting in a full pool's line, for connects that block. */
#include "pool/waiting.h"

#include "base/clock.h"
#include "pool/deadlock.h"
#include "pool/journal.h"
#include "pool/postmortem.h"
#include "pool/watchdog.h"
#include "trace/status.h"
#include "trace/tally.h"

static void look_around(const struct acquisition *a, uint64_t now_ns)
{
	uint64_t waited_ns = now_ns - a->began_ns;

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

enum pool_grant waiting_for_turn(struct acquisition *a, struct pool_waiter *waiter,
                                 bool *doomed)
{
	struct pool *pool = &a->lender->pool;
	uint64_t deadline_ns = a->began_ns + lending_settings.timeout_ns;
	uint64_t now_ns = clock_monotonic_ns();
	enum pool_grant grant = POOL_FULL;

	*doomed = false;
	journal_wait(a->lender, pool_count(pool));
	if (now_ns < deadline_ns) {
		pool_block(pool, waiter);
	}
	while (grant == POOL_FULL && now_ns < deadline_ns) {
		*doomed = deadlock_proven(&waiter->blocked);
		if (*doomed) {
			break;
		}
		look_around(a, now_ns);
		grant = pool_wait(pool, waiter, waiting_next_look(deadline_ns, now_ns));
		now_ns = clock_monotonic_ns();
	}
	if (grant == POOL_FULL) {
		grant = pool_leave(pool, waiter);
	}
	a->queued_ns = now_ns - a->began_ns;
	tally_waited(a->queued_ns);
	status_waited(pool->row, a->queued_ns, grant != POOL_FULL);
	if (grant != POOL_FULL) {
		postmortem_relieve(a->lender);
	}
	return grant;
}
