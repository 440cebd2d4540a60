/* SPDX-License-Identifier: PostgreSQL */
/*
 * The exhaustion post-mortem: who had the sessions that somebody was refused, and why
 * none came back. It is made once for a refused connect and told twice: whole in the log,
 * in short in the connection's error message (refusal.h).
 *
 * It is made of copies, so nothing is held while it is told. No malloc.
 */
#ifndef PQPOOL_ACQUIRE_FULL_EXHAUSTION_REPORT_H
#define PQPOOL_ACQUIRE_FULL_EXHAUSTION_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/cold.h"
#include "pool/exhaustion_cause.h"
#include "pool/pool.h"
#include "pool/registry.h"
#include "trace/lease/lease.h"

enum exhaustion_report_waiter {
	WAITER_IN_STEPS, /* its thread goes on meanwhile, and may release what it holds */
	WAITER_BLOCKED,
	WAITER_DOOMED /* blocked, and no release can come: see deadlock.h */
};

struct exhaustion_report {
	struct lender *lender;
	enum exhaustion_report_waiter waiter;
	struct pool_counts counts;
	struct exhaustion known;
	enum verdict verdict;
	/* The pool's leases, and its connects in steps, the oldest first; NULL: none. */
	struct lease *holders;
	size_t count;
	size_t mapped; /* leases that the memory behind `holders` has room for */
};

/*
 * Looks into the pool that the calling thread has waited for, in vain so far. To be ended
 * by exhaustion_report_end. Only the leases that this process began are known.
 */
void exhaustion_report_make(struct exhaustion_report *p, struct lender *lender,
                            uint64_t waited_ns, enum exhaustion_report_waiter waiter);
void exhaustion_report_end(struct exhaustion_report *p);

/*
 * Tells the log: a line on the refusal and one for each holder. Where many are refused at
 * once the holders are listed for one of them, once in a second and pool.
 */
void exhaustion_report_log(const struct exhaustion_report *p);

/*
 * Looks whether the pool's sessions are all on leases of threads that wait themselves,
 * and tells the log so, once until somebody is served. For a thread that is blocked.
 */
COLD void exhaustion_report_suspect(struct lender *lender, uint64_t waited_ns);

/*
 * True if every session of the pool is on a lease of the calling thread, which waits: if no
 * other thread has ever used libpq, none will release one.
 */
COLD bool exhaustion_report_all_own(struct lender *lender, uint64_t waited_ns);

/* Somebody who waited was served after all. */
void exhaustion_report_relieve(struct lender *lender);

#endif
