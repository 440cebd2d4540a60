/* SPDX-License-Identifier: PostgreSQL */
/* What this process has done so far, in numbers. */
#include "trace/lease/counters.h"

#include <stdbool.h>
#include <stddef.h>

atomic_uint_fast64_t counters[COUNTERS];

static const char *(*name_of)(unsigned reason);
static unsigned reasons;

/* True if `value` is the largest so far. */
static bool raise_to(enum counter which, uint64_t value)
{
	uint_fast64_t known = counters_get(which);

	while (value > known) {
		if (atomic_compare_exchange_weak_explicit(&counters[which], &known, value,
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

void counters_closed(unsigned reason)
{
	if (reason < COUNTERS_REASONS) {
		counters_add((enum counter)(COUNTER_CLOSED + reason), 1);
	}
}

void counters_waited(uint64_t ns)
{
	counters_add(COUNTER_WAITED_NS, ns);
	raise_to(COUNTER_LONGEST_NS, ns);
}

/* All pools of a process have the same limit, so the peak may be any pool's. */
void counters_in_use(uint64_t in_use, uint64_t limit)
{
	if (raise_to(COUNTER_PEAK, in_use)) {
		atomic_store_explicit(&counters[COUNTER_LIMIT], limit, memory_order_relaxed);
	}
}

void counters_fork_child(void)
{
	for (size_t i = 0; i < COUNTERS; i++) {
		atomic_store_explicit(&counters[i], 0, memory_order_relaxed);
	}
}
