/* SPDX-License-Identifier: PostgreSQL */
/* Why a full pool had no session for somebody: the rule. */
#include "pool/exhaustion_cause.h"

static uint64_t longest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_forgotten(const struct lease *lease, enum holder_thread thread, uint64_t held_ns,
                         uint64_t wait_ns)
{
	if (lease->transaction == LEASE_TRANSACTION_ACTIVE) {
		return false;
	}
	return thread == THREAD_ENDED || held_ns >= longest(LEAK_TIMES * wait_ns, LEAK_MIN_NS);
}

void exhaustion_add(struct exhaustion *e, const struct lease *lease, enum holder_thread thread)
{
	uint64_t held_ns = e->now_ns > lease->began_ns ? e->now_ns - lease->began_ns : 0;

	e->holders++;
	e->waiting += thread == THREAD_WAITS;
	if (held_ns < e->waited_ns) {
		e->young++;
	} else if (is_forgotten(lease, thread, held_ns, e->waited_ns)) {
		e->forgotten++;
	}
}

enum verdict exhaustion_cause_of(const struct exhaustion *e)
{
	if (e->proven || (e->waiting > 0 && e->waiting >= e->in_use)) {
		return CAUSE_SELF_DEADLOCK;
	}
	if (e->forgotten > 0 && e->forgotten * 2 >= e->in_use) {
		return CAUSE_LEAK;
	}
	if (e->young > 0 && e->young * 2 >= e->in_use) {
		return CAUSE_TOO_SMALL;
	}
	return CAUSE_SLOW;
}

const char *exhaustion_cause_name(enum verdict verdict)
{
	static const char names[][16] = {
		[CAUSE_SELF_DEADLOCK] = "self_deadlock",
		[CAUSE_LEAK] = "leak",
		[CAUSE_TOO_SMALL] = "too_small",
		[CAUSE_SLOW] = "slow",
	};

	return names[verdict];
}
