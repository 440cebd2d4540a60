/* SPDX-License-Identifier: PostgreSQL */
/*
 * Warns of leases that are held for long, and of pools near their limit.
 *
 * due_ns is never later than the moment at which the oldest lease that was not logged yet
 * becomes a long hold. A lease that begins can only lower it, one that ends or is used does not
 * change it, so it may be too early; then a check finds nothing and moves it, by LOOKS_APART_NS
 * at least, so that many leases that end just in time do not cause many checks.
 */
#include "acquire/upkeep/long_hold.h"

#include <stdatomic.h>

#include "acquire/upkeep/log_events.h"
#include "pool/near_limit.h"
#include "trace/lease/snapshot.h"

#define LOOKS_APART_NS NS_PER_SEC
#define BATCH          4
#define NEVER          UINT64_MAX

static uint64_t threshold_ns;
static atomic_uint_fast64_t due_ns = NEVER;

void long_hold_configure(uint64_t long_hold_ns)
{
	threshold_ns = long_hold_ns;
}

static void lower(uint64_t at_ns)
{
	uint_fast64_t due = atomic_load_explicit(&due_ns, memory_order_relaxed);

	while (at_ns < due && !atomic_compare_exchange_weak(&due_ns, &due, at_ns)) {
	}
}

void long_hold_note_begin(uint64_t began_ns)
{
	if (threshold_ns > 0) {
		lower(began_ns + threshold_ns);
	}
}

void long_hold_note_end(const struct lease *ended, uint64_t now_ns)
{
	if (ended->named) {
		log_event_long_hold_ended(ended, now_ns);
	}
}

/* Not too soon after this one; short thresholds allow it sooner. */
static uint64_t next_look(uint64_t now_ns, uint64_t oldest_ns)
{
	uint64_t apart_ns =
		threshold_ns / 16 < LOOKS_APART_NS ? threshold_ns / 16 : LOOKS_APART_NS;
	uint64_t at_ns = oldest_ns + threshold_ns;

	return at_ns > now_ns + apart_ns ? at_ns : now_ns + apart_ns;
}

void long_hold_look(uint64_t now_ns)
{
	uint_fast64_t due = atomic_load_explicit(&due_ns, memory_order_relaxed);
	struct lease overdue[BATCH];
	uint64_t oldest_ns;
	size_t count;

	/* Before the leases are read: one that begins meanwhile lowers it again. */
	if (now_ns < due || !atomic_compare_exchange_strong(&due_ns, &due, NEVER)) {
		return;
	}
	do {
		count = lease_name_overdue(now_ns - threshold_ns, overdue, BATCH, &oldest_ns);
		for (size_t i = 0; i < count; i++) {
			log_event_long_hold(&overdue[i], now_ns);
		}
	} while (count == BATCH);
	if (oldest_ns != LEASE_NONE) {
		lower(next_look(now_ns, oldest_ns));
	}
}

void long_hold_look_at(struct lender *lender, uint64_t now_ns)
{
	uint64_t since_ns;

	if (pool_near_limit(&lender->pool, now_ns, NEAR_LIMIT_NS, &since_ns)) {
		log_event_near_limit(lender, pool_count(&lender->pool), now_ns - since_ns);
	}
}
