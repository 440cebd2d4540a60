/* SPDX-License-Identifier: PostgreSQL */
/* The exhaustion post-mortem. */
#include "acquire/full/exhaustion_report.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "acquire/lend/log_events.h"
#include "base/clock.h"
#include "base/thread/pid.h"
#include "pool/deadlock.h"
#include "trace/lease/snapshot.h"

/* Lines on holders for one refusal, and how often at most. */
#define HOLDERS_LOGGED   100
#define HOLDERS_EVERY_NS NS_PER_SEC

/* How often a pool is looked at while threads wait for it. */
#define SUSPECT_EVERY_NS (NS_PER_SEC / 2)

static enum holder_thread thread_of(const struct lease *lease,
                                    enum exhaustion_report_waiter waiter)
{
	/* The caller's own thread is out of the line already. */
	if (waiter != WAITER_IN_STEPS && lease->tid == tid_self()) {
		return THREAD_WAITS;
	}
	if (deadlock_is_blocked(lease->tid)) {
		return THREAD_WAITS;
	}
	if (tgkill(pid_self(), lease->tid, 0) != 0 && errno == ESRCH) {
		return THREAD_ENDED;
	}
	return THREAD_AT_LARGE;
}

/* Of all leases, those of the pool come to stand at the front. */
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
                            uint64_t waited_ns, enum exhaustion_report_waiter waiter)
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
	p->verdict = exhaustion_cause_of(&p->known);
}

void exhaustion_report_end(struct exhaustion_report *p)
{
	lease_snapshot_free(p->holders, p->mapped);
	p->holders = NULL;
}

/* True for one caller in each span of that length. */
static bool is_due(atomic_uint_fast64_t *due_ns, uint64_t now_ns, uint64_t every_ns)
{
	uint_fast64_t due = atomic_load(due_ns);

	return now_ns >= due && atomic_compare_exchange_strong(due_ns, &due, now_ns + every_ns);
}

static void log_holders(const struct exhaustion_report *p)
{
	if (!is_due(&p->lender->holders_due_ns, p->known.now_ns, HOLDERS_EVERY_NS)) {
		return;
	}
	for (size_t i = 0; i < p->count && i < HOLDERS_LOGGED; i++) {
		log_event_holder(&p->holders[i], thread_of(&p->holders[i], p->waiter),
		                 p->known.now_ns);
	}
}

void exhaustion_report_log(const struct exhaustion_report *p)
{
	log_event_timeout(p->lender, p->counts, &p->known, p->verdict);
	log_holders(p);
}

void exhaustion_report_suspect(struct lender *lender, uint64_t waited_ns)
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

bool exhaustion_report_all_own(struct lender *lender, uint64_t waited_ns)
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

void exhaustion_report_relieve(struct lender *lender)
{
	atomic_store(&lender->suspected, false);
}
