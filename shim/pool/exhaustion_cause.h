/* SPDX-License-Identifier: PostgreSQL */
/*
 * Why a full pool had no session for somebody: the rule, and nothing else.
 *
 * Each lease of the pool is looked at once, and is of the first kind that fits:
 *
 *   young      taken since the wait began: sessions are given back, others were first
 *   forgotten  idle (no statement runs on it), and the thread that took it has ended, or it
 *              has been held for LEAK_TIMES times as long as the wait, LEAK_MIN_NS at least
 *   kept       anything else: held since before the wait began
 *
 * The verdict is the first that fits:
 *
 *   self-deadlock  nobody can release any more (proven), or every session in use is on the
 *                  lease of a thread that waits itself (suspected: another thread may yet
 *                  release it)
 *   leak           at least half of the sessions in use are forgotten
 *   too small      at least half of them are young
 *   slow           else: they are kept for longer than the wait
 *
 * No locks, no clock, no memory: times are handed in.
 */
#ifndef PQPOOL_POOL_EXHAUSTION_CAUSE_H
#define PQPOOL_POOL_EXHAUSTION_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "trace/lease/lease.h"

#define LEAK_TIMES  4
#define LEAK_MIN_NS (10 * NS_PER_SEC)

enum verdict { CAUSE_SELF_DEADLOCK, CAUSE_LEAK, CAUSE_TOO_SMALL, CAUSE_SLOW };

/* What became of the thread that took a lease. */
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

/* Looks at one lease. */
void exhaustion_add(struct exhaustion *e, const struct lease *lease, enum holder_thread thread);

enum verdict exhaustion_cause_of(const struct exhaustion *e);

/* "leak", "self_deadlock", "too_small", "slow". */
const char *exhaustion_cause_name(enum verdict verdict);

#endif
