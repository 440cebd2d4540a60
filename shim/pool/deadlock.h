/* SPDX-License-Identifier: PostgreSQL */
/*
 * Self-deadlock: all threads of the program wait for sessions that only they could release.
 *
 * A thread is blocked while it is in a pool's line and not served: it does nothing that could
 * free a session. If every thread of the process is blocked, in whichever pools, no session can
 * become free: that is proven here, and the newest waiter fails at once instead of at its
 * timeout, so that what it releases then may serve the others.
 *
 * The proof: the set of blocked threads is the same before and after the kernel tells how many
 * threads there are, and has that many members. So at that moment all were blocked, the one
 * that asks among them, and none could serve, create or end a thread. Without /proc nothing is
 * proven.
 *
 * An asynchronous connect is never blocked: its program may release from the same loop.
 *
 * Locks: LOCK_BLOCKED, taken by every function here, never while the kernel is asked.
 */
#ifndef PQPOOL_POOL_DEADLOCK_H
#define PQPOOL_POOL_DEADLOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* One thread in a line; zeroed before its first use. All fields are deadlock.c's. */
struct blocked {
	bool counted;
	pid_t tid;
	struct blocked *prev;
	struct blocked *next;
};

/* The calling thread does nothing but wait until it is unblocked; with the pool's lock. */
void deadlock_block(struct blocked *blocked);

/* It was served, or gave up. By any thread; does nothing if it was not blocked. */
void deadlock_unblock(struct blocked *blocked);

/*
 * True if no release can come any more, and the calling thread, whose `blocked` is the newest,
 * must fail; it is unblocked then. Reads /proc: with no lock held.
 */
bool deadlock_proven(struct blocked *blocked);

/* True if the thread is blocked right now. */
bool deadlock_is_blocked(pid_t tid);

/* Around fork(); the child has one thread, which is not blocked. */
void deadlock_fork_prepare(void);
void deadlock_fork_parent(void);
void deadlock_fork_child(void);

#endif
