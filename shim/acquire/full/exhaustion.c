/* SPDX-License-Identifier: PostgreSQL */
/* Why a full pool had no session for a connect, and who holds them. */
#include "acquire/full/exhaustion.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "acquire/upkeep/log_events.h"
#include "acquire/upkeep/orders.h"
#include "base/clock.h"
#include "base/thread/pid.h"
#include "pool/deadlock.h"
#include "trace/lease/snapshot.h"

/* Lines on holders for one refusal, and how often at most. */
#define HOLDERS_LOGGED   100
#define HOLDERS_EVERY_NS NS_PER_SEC

/* How often a pool is looked at while threads wait for it. */
#define SUSPECT_EVERY_NS (NS_PER_SEC / 2)

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

enum verdict exhaustion_verdict(const struct exhaustion *e)
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

const char *exhaustion_verdict_name(enum verdict verdict)
{
	static const char names[][16] = {
		[CAUSE_SELF_DEADLOCK] = "self_deadlock",
		[CAUSE_LEAK] = "leak",
		[CAUSE_TOO_SMALL] = "too_small",
		[CAUSE_SLOW] = "slow",
		[CAUSE_PAUSED] = "paused",
	};

	return names[verdict];
}

static enum holder_thread thread_of(const struct lease *lease, enum exhaustion_waiter waiter)
{
	/* The caller's own thread is out of the line already. */
	/* No holder without memory. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	bool own = waiter != WAITER_IN_STEPS && lease->tid == tid_self();

	if (own || deadlock_is_blocked(lease->tid)) {
		return THREAD_WAITS;
	}
	if (tgkill(pid_self(), lease->tid, 0) != 0 && errno == ESRCH) {
		return THREAD_ENDED;
	}
	return THREAD_AT_LARGE;
}

/* Moves the leases of the pool to the front. */
static void select_holders(struct exhaustion_report *p)
{
	const char *label = p->lender->identity->label;

	for (size_t i = 0; i < p->mapped; i++) {
		if (p->holders[i].pool == label) {
			p->holders[p->count++] = p->holders[i];
		}
	}
}

void exhaustion_report_make(struct exhaustion_report *p, struct lender *lender,
                            uint64_t waited_ns, enum exhaustion_waiter waiter)
{
	struct lease_totals totals;

	*p = (struct exhaustion_report){.lender = lender, .waiter = waiter};
	p->counts = pool_count(&lender->pool);
	p->holders = lease_holders(&p->mapped, &totals);
	if (p->holders != NULL) {
		select_holders(p);
	}
	p->known.now_ns = clock_monotonic_ns();
	p->known.waited_ns = waited_ns;
	p->known.proven = waiter == WAITER_DOOMED;
	p->known.in_use = p->counts.used - p->counts.idle;
	for (size_t i = 0; i < p->count; i++) {
		exhaustion_add(&p->known, &p->holders[i], thread_of(&p->holders[i], waiter));
	}
	p->verdict = orders_are_paused() ? CAUSE_PAUSED : exhaustion_verdict(&p->known);
}

void exhaustion_report_end(struct exhaustion_report *p)
{
	lease_snapshot_free(p->holders, p->mapped);
	p->holders = NULL;
}

/* True for one caller in each such interval. */
static bool is_due(atomic_uint_fast64_t *due_ns, uint64_t now_ns, uint64_t every_ns)
{
	uint_fast64_t due = atomic_load(due_ns);

	return now_ns >= due && atomic_compare_exchange_strong(due_ns, &due, now_ns + every_ns);
}

static void log_holders(const struct exhaustion_report *p)
{
	static const char *const states[] = {
		[THREAD_WAITS] = "waiting", [THREAD_ENDED] = "ended"};

	if (!is_due(&p->lender->holders_due_ns, p->known.now_ns, HOLDERS_EVERY_NS)) {
		return;
	}
	for (size_t i = 0; i < p->count && i < HOLDERS_LOGGED; i++) {
		log_event_holder(&p->holders[i], states[thread_of(&p->holders[i], p->waiter)],
		                 p->known.now_ns);
	}
}

void exhaustion_report_log(const struct exhaustion_report *p)
{
	log_event_timeout(p->lender, p->counts, p->known.waited_ns,
	                  exhaustion_verdict_name(p->verdict), p->known.proven);
	log_holders(p);
}

void exhaustion_suspect(struct lender *lender, uint64_t waited_ns)
{
	struct exhaustion_report p;

	if (atomic_load(&lender->suspected) ||
	    !is_due(&lender->suspect_due_ns, clock_monotonic_ns(), SUSPECT_EVERY_NS)) {
		return;
	}
	exhaustion_report_make(&p, lender, waited_ns, WAITER_BLOCKED);
	if (p.verdict == CAUSE_SELF_DEADLOCK && !atomic_exchange(&lender->suspected, true)) {
		log_event_suspected_deadlock(lender, p.counts, waited_ns);
		log_holders(&p);
	}
	exhaustion_report_end(&p);
}

bool exhaustion_all_own(struct lender *lender, uint64_t waited_ns)
{
	struct exhaustion_report p;
	uint32_t own = 0;

	exhaustion_report_make(&p, lender, waited_ns, WAITER_BLOCKED);
	for (size_t i = 0; i < p.count; i++) {
		own += p.holders[i].open && p.holders[i].tid == tid_self();
	}
	exhaustion_report_end(&p);
	return own == p.known.in_use;
}

void exhaustion_relieve(struct lender *lender)
{
	atomic_store(&lender->suspected, false);
}
