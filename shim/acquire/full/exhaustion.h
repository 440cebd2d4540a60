/* SPDX-License-Identifier: PostgreSQL */
/*
 * Why a full pool had no session for a connect, and who holds them.
 *
 * The verdict. Each lease of the pool is of the first kind that fits:
 *
 *   young      taken since the wait began: sessions are given back, others got them
 *   forgotten  idle (no statement runs on it), and the thread that took it has ended, or it
 *              has been held for LEAK_TIMES times as long as the wait, LEAK_MIN_NS at least
 *   held       anything else: held since before the wait began
 *
 * and the verdict is the first that fits:
 *
 *   self-deadlock  no thread can release any more (proven), or every session in use is on the
 *                  lease of a thread that waits itself (suspected: another thread may yet
 *                  release it)
 *   leak           at least half of the sessions in use are forgotten
 *   too small      at least half of them are young
 *   slow           else: they have been held for longer than the wait
 *
 * If connects are paused (acquire/upkeep/orders.h), that is the cause.
 *
 * A report is made once for a refused connect and used twice: whole in the log, in short in the
 * connection's error message (refusal.h). It holds copies of the leases, and no lock. No
 * malloc.
 */
#ifndef PQPOOL_ACQUIRE_FULL_EXHAUSTION_H
#define PQPOOL_ACQUIRE_FULL_EXHAUSTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/cold.h"
#include "pool/pool.h"
#include "pool/registry.h"
#include "trace/lease/lease.h"

#define LEAK_TIMES  4
#define LEAK_MIN_NS (10 * NS_PER_SEC)

enum verdict { CAUSE_SELF_DEADLOCK, CAUSE_LEAK, CAUSE_TOO_SMALL, CAUSE_SLOW, CAUSE_PAUSED };

/* The thread that took a lease. */
enum holder_thread {
	THREAD_AT_LARGE, /* it may release */
	THREAD_WAITS,    /* for a session itself */
	THREAD_ENDED
};

/* What is known of a full pool. */
struct exhaustion {
	uint64_t now_ns;
	uint64_t waited_ns;
	bool proven;     /* that no release can come */
	uint32_t in_use; /* of its rooms, those being opened among them */
	uint32_t holders;
	uint32_t waiting; /* of the holders, those whose thread waits, of whatever kind */
	uint32_t young;
	uint32_t forgotten;
};

/* The rule alone, without locks, clock or memory: counts a lease; and the verdict. */
void exhaustion_add(struct exhaustion *e, const struct lease *lease, enum holder_thread thread);
enum verdict exhaustion_verdict(const struct exhaustion *e);

/* "leak", "self_deadlock", "too_small", "slow", "paused". */
const char *exhaustion_verdict_name(enum verdict verdict);

enum exhaustion_waiter {
	WAITER_IN_STEPS, /* asynchronous: its thread goes on, and may release what it holds */
	WAITER_BLOCKED,
	WAITER_DOOMED /* blocked, and no release can come: see deadlock.h */
};

struct exhaustion_report {
	struct lender *lender;
	enum exhaustion_waiter waiter;
	struct pool_counts counts;
	struct exhaustion known;
	enum verdict verdict;
	/* The pool's leases and its asynchronous connects, the oldest first; NULL: none. */
	struct lease *holders;
	size_t count;
	size_t mapped; /* leases that the memory behind `holders` has room for */
};

/*
 * Reports on the pool that the calling thread waits for. To be ended by exhaustion_report_end.
 * Only the leases that this process began are known.
 */
void exhaustion_report_make(struct exhaustion_report *p, struct lender *lender,
                            uint64_t waited_ns, enum exhaustion_waiter waiter);
void exhaustion_report_end(struct exhaustion_report *p);

/*
 * Logs the refusal, and each holder; the holders at most once in a second and pool, as many
 * connects may be refused at once.
 */
void exhaustion_report_log(const struct exhaustion_report *p);

/*
 * Logs it if the pool's sessions are all on leases of threads that wait themselves, once until
 * a waiter is served. For a thread that is blocked.
 */
COLD void exhaustion_suspect(struct lender *lender, uint64_t waited_ns);

/* A waiter was served. */
void exhaustion_relieve(struct lender *lender);

/*
 * True if every session of the pool is on a lease of the calling thread, which waits: if no
 * other thread has ever used libpq, none will be released.
 */
COLD bool exhaustion_all_own(struct lender *lender, uint64_t waited_ns);

#endif
