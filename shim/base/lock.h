/* SPDX-License-Identifier: PostgreSQL */
/*
 * Ranked mutexes: the enum below is the only statement of the locking order.
 *
 * A thread may take a lock only if its rank is higher than that of every lock that it holds.
 * Builds with PQPOOL_DEBUG record what each thread holds and abort with both names when the
 * order is broken. The mutexes are glibc's adaptive ones: what a lock guards takes some dozen
 * instructions, so looking again a few times is cheaper than sleeping and being woken.
 *
 * No lock is held across a call that can block; lock_assert_none() stands before such calls.
 * The exception is the log's (LOCK_RECORD), held while a line is written to a file, which may
 * be on a file system that hangs: no thread waits for it longer than a moment
 * (lock_take_within), nor does a fork, and its holder has no other lock.
 *
 * Fork: the forking thread takes every lock in rank order before fork() and drops them after
 * it, in the parent and in the child. A signal handler that forks while its thread holds a lock
 * cannot take them: in its child locks do nothing from then on, as the thread that holds one
 * may not exist there, and what they guard may be half changed and is left alone ("forsaken").
 */
#ifndef PQPOOL_BASE_LOCK_H
#define PQPOOL_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
	LOCK_PROCESS,  /* lifecycle.c: starting up and shutting down */
	LOCK_IDENTITY, /* identity.c: arguments already understood */
	LOCK_REGISTRY, /* acquire.c: identity to pool */
	LOCK_POOL,     /* pool.c: one per pool; all at once while forking */
	LOCK_BLOCKED,  /* deadlock.c: threads that wait in a line */
	LOCK_LEASE,    /* lease_table.c: PGconn to lease; one per shard, all of them at once */
	LOCK_STACK,    /* stack.c: interned call stacks */
	LOCK_STATUS,   /* status_page.c: making and growing the status page */
	LOCK_RECORD,   /* sink.c: the log */
	LOCK_LOADER,   /* dl.c: going through the loader's list */
	LOCK_RANKS
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

#define LOCK_INITIALIZER(r)                                                                    \
	{                                                                                      \
		.mutex = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP, .rank = (r)                    \
	}

/* Makes `lock` a free lock of this rank. */
void lock_init(struct lock *lock, enum lock_rank rank);

/* Takes `lock`; may wait for another thread, which computes meanwhile and does not block. */
void lock_take(struct lock *lock);

/* The same for one of several equal in rank, which every thread takes in the same order. */
void lock_take_peer(struct lock *lock);

/* lock_take() that gives up after this time: false, and the lock is not held. */
bool lock_take_within(struct lock *lock, uint64_t ns);

void lock_drop(struct lock *lock);

/*
 * True if this thread holds a lock, or is about to: a signal handler that interrupted it
 * must not take one.
 */
bool lock_held_here(void);

/*
 * True if nothing that a lock guards may be looked at here: in a signal handler that
 * interrupted a holder, and in a child that such a handler has forked.
 */
bool lock_barred(void);

/* This process is such a child. */
void lock_forsake(void);
bool lock_forsaken(void);

#ifdef PQPOOL_DEBUG
void lock_assert_held(const struct lock *lock);
void lock_assert_none(void);

/* How many locks of each rank the calling thread has taken, and found taken. */
struct lock_counts {
	uint64_t taken[LOCK_RANKS];
	uint64_t waited[LOCK_RANKS];
};
const struct lock_counts *lock_counts_here(void);
const char *lock_rank_name(enum lock_rank rank);
#else
static inline void lock_assert_held(const struct lock *lock)
{
	(void)lock;
}
static inline void lock_assert_none(void)
{
}
#endif

#endif
