/* SPDX-License-Identifier: PostgreSQL */
/* What the program's operator has ordered through the status page. */
#include "acquire/upkeep/orders.h"

#include "acquire/upkeep/sweep.h"
#include "pool/registry.h"

atomic_uint_fast64_t orders_seen;
atomic_bool orders_paused;

/* One thread obeys at a time; the others do at their next call, if need be. */
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void drain(struct lender *lender)
{
	uint64_t order = status_drain(lender->pool.row);
	uint64_t now_ns = clock_monotonic_ns();

	if (order != lender->drained) {
		lender->drained = order;
		pool_outdate(&lender->pool, now_ns);
		status_drained(lender->pool.row, order, now_ns);
	}
}

void orders_obey(void)
{
	struct lender *lender = NULL;
	uint64_t order;
	bool paused;
	bool fresh;

	if (atomic_flag_test_and_set(&busy)) {
		return;
	}
	order = status_order();
	fresh = atomic_exchange(&orders_seen, order) != order;
	paused = status_is_paused();
	atomic_store(&orders_paused, paused);
	while ((lender = registry_next(lender)) != NULL) {
		if (fresh) {
			drain(lender);
		}
		pool_pause(&lender->pool, paused, clock_monotonic_ns());
	}
	atomic_flag_clear(&busy);
	if (fresh) {
		sweep_all(clock_monotonic_ns());
	}
}

void orders_fork_child(void)
{
	atomic_store(&orders_seen, 0);
	atomic_store(&orders_paused, false);
	atomic_flag_clear(&busy);
}
