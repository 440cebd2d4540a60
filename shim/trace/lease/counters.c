/* SPDX-License-Identifier: PostgreSQL */
/* What this process has done so far, in numbers. */
#include "trace/lease/counters.h"

struct counters tally;

static const char *(*name_of)(unsigned reason);
static unsigned reasons;

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* True if `value` is the largest so far. */
static bool raise_to(atomic_uint_fast64_t *highest, uint64_t value)
{
	uint_fast64_t known = atomic_load_explicit(highest, memory_order_relaxed);

	while (value > known) {
		if (atomic_compare_exchange_weak_explicit(highest, &known, value,
		                                          memory_order_relaxed,
		                                          memory_order_relaxed)) {
			return true;
		}
	}
	return false;
}

void counters_name_reasons(const char *(*name)(unsigned reason), unsigned count)
{
	name_of = name;
	reasons = count < COUNTERS_REASONS ? count : COUNTERS_REASONS;
}

const char *counters_reason_name(unsigned reason)
{
	return reason < reasons ? name_of(reason) : NULL;
}

void counters_opened(void)
{
	add(&tally.opened, 1);
}

void counters_open_failed(void)
{
	add(&tally.open_failed, 1);
}

void counters_closed(unsigned reason)
{
	if (reason < COUNTERS_REASONS) {
		add(&tally.closed[reason], 1);
	}
}

void counters_wait(void)
{
	add(&tally.waits, 1);
}

void counters_waited(uint64_t ns)
{
	add(&tally.waited_ns, ns);
	raise_to(&tally.longest_ns, ns);
}

void counters_timeout(void)
{
	add(&tally.timeouts, 1);
}

/* All pools of a process have the same limit, so the peak belongs to whichever it is. */
void counters_in_use(uint64_t in_use, uint64_t limit)
{
	if (raise_to(&tally.peak, in_use)) {
		atomic_store_explicit(&tally.limit, limit, memory_order_relaxed);
	}
}

static void clear(atomic_uint_fast64_t *counter)
{
	atomic_store_explicit(counter, 0, memory_order_relaxed);
}

void counters_fork_child(void)
{
	clear(&tally.opened);
	clear(&tally.open_failed);
	for (size_t i = 0; i < COUNTERS_REASONS; i++) {
		clear(&tally.closed[i]);
	}
	clear(&tally.waits);
	clear(&tally.waited_ns);
	clear(&tally.longest_ns);
	clear(&tally.timeouts);
	clear(&tally.peak);
	clear(&tally.limit);
}
