/* SPDX-License-Identifier: PostgreSQL */
/*
 * Ranked mutexes.
 *
 * The record of what a thread holds exists in debug builds only: it is there to
 * find a broken order in the tests, not to survive one in somebody's program.
 */
#include "base/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#ifdef PQPOOL_DEBUG

#include <string.h>
#include <unistd.h>

#define MAX_HELD 1024

static const char *const rank_names[LOCK_RANKS] = {
	[LOCK_PROCESS] = "process",   [LOCK_LIBPQ] = "libpq",     [LOCK_IDENTITY] = "identity",
	[LOCK_REGISTRY] = "registry", [LOCK_POOL] = "pool",       [LOCK_BLOCKED] = "blocked",
	[LOCK_LEASE] = "lease",       [LOCK_REQUEST] = "request", [LOCK_STACK] = "stack",
	[LOCK_STATUS] = "status",     [LOCK_RECORD] = "record",   [LOCK_LOADER] = "loader",
};

static _Thread_local const struct lock *held[MAX_HELD];
static _Thread_local size_t held_count;

static void put(const char *s)
{
	if (write(STDERR_FILENO, s, strlen(s)) < 0) {
		abort();
	}
}

static _Noreturn void die(const char *what, enum lock_rank taken, enum lock_rank holding)
{
	put("pqpool: lock order: ");
	put(what);
	put(": ");
	put(rank_names[taken]);
	put(", while holding: ");
	put(holding < LOCK_RANKS ? rank_names[holding] : "nothing");
	put("\n");
	abort();
}

static void note_taking(const struct lock *lock, bool same_rank_allowed)
{
	if (held_count > 0) {
		enum lock_rank top = held[held_count - 1]->rank;

		if (lock->rank < top || (lock->rank == top && !same_rank_allowed)) {
			die("taking", lock->rank, top);
		}
	}
	if (held_count == MAX_HELD) {
		die("too many locks, taking", lock->rank, LOCK_RANKS);
	}
	held[held_count++] = lock;
}

static void note_dropping(const struct lock *lock)
{
	for (size_t i = held_count; i-- > 0;) {
		if (held[i] == lock) {
			memmove(&held[i], &held[i + 1], (held_count - i - 1) * sizeof(held[0]));
			held_count--;
			return;
		}
	}
	die("dropping what is not held", lock->rank, LOCK_RANKS);
}

void lock_assert_held(const struct lock *lock)
{
	for (size_t i = 0; i < held_count; i++) {
		if (held[i] == lock) {
			return;
		}
	}
	die("not held", lock->rank, LOCK_RANKS);
}

void lock_assert_none(void)
{
	if (held_count > 0) {
		die("about to block", held[held_count - 1]->rank, held[held_count - 1]->rank);
	}
}

#else

static void note_taking(const struct lock *lock, bool same_rank_allowed)
{
	(void)lock;
	(void)same_rank_allowed;
}

static void note_dropping(const struct lock *lock)
{
	(void)lock;
}

#endif

/* Raised before a lock is taken and lowered after it is dropped: never too small. */
static _Thread_local volatile unsigned holding;

bool lock_held_here(void)
{
	return holding > 0;
}

void lock_init(struct lock *lock, enum lock_rank rank)
{
	pthread_mutex_init(&lock->mutex, NULL);
	lock->rank = rank;
}

void lock_take(struct lock *lock)
{
	note_taking(lock, false);
	holding++;
	pthread_mutex_lock(&lock->mutex);
}

void lock_take_for_fork(struct lock *lock)
{
	note_taking(lock, true);
	holding++;
	pthread_mutex_lock(&lock->mutex);
}

void lock_drop(struct lock *lock)
{
	note_dropping(lock);
	pthread_mutex_unlock(&lock->mutex);
	holding--;
}

bool lock_wait(struct lock *lock, pthread_cond_t *cond, uint64_t deadline_ns)
{
	struct timespec until;

	lock_assert_held(lock);
	if (deadline_ns == DEADLINE_NEVER) {
		pthread_cond_wait(cond, &lock->mutex);
		return true;
	}
	until.tv_sec = (time_t)(deadline_ns / NS_PER_SEC);
	until.tv_nsec = (long)(deadline_ns % NS_PER_SEC);
	return pthread_cond_clockwait(cond, &lock->mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
}
