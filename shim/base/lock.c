/* SPDX-License-Identifier: PostgreSQL */
/* Ranked mutexes. */
#include "base/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#ifdef PQPOOL_DEBUG

#include <string.h>
#include <unistd.h>

#define MAX_HELD 1024

static const char *const rank_names[LOCK_RANKS] = {
	[LOCK_PROCESS] = "process", [LOCK_IDENTITY] = "identity", [LOCK_REGISTRY] = "registry",
	[LOCK_POOL] = "pool",       [LOCK_BLOCKED] = "blocked",   [LOCK_LEASE] = "lease",
	[LOCK_STACK] = "stack",     [LOCK_STATUS] = "status",     [LOCK_RECORD] = "record",
	[LOCK_LOADER] = "loader",
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

static _Thread_local struct lock_counts counts;

const struct lock_counts *lock_counts_here(void)
{
	return &counts;
}

const char *lock_rank_name(enum lock_rank rank)
{
	return rank_names[rank];
}

static void note_tried(const struct lock *lock, bool taken)
{
	counts.taken[lock->rank]++;
	counts.waited[lock->rank] += taken ? 0 : 1;
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

static void note_tried(const struct lock *lock, bool taken)
{
	(void)lock;
	(void)taken;
}

#endif

static _Thread_local struct {
	/* Raised before a lock is taken and lowered after it is dropped: never too small. */
	volatile unsigned holding;
	/* The lock that the thread waits for or has. */
	struct lock *volatile awaited;
} thread;

static atomic_bool forsaken;

bool lock_forsaken(void)
{
	return atomic_load_explicit(&forsaken, memory_order_relaxed);
}

bool lock_held_here(void)
{
	return thread.holding > 0;
}

bool lock_barred(void)
{
	return lock_held_here() || lock_forsaken();
}

static void make_free(struct lock *lock)
{
	lock->mutex = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
}

void lock_forsake(void)
{
	atomic_store(&forsaken, true);
	/* The handler may have interrupted the wait for a thread that is not here. */
	if (thread.awaited != NULL) {
		make_free(thread.awaited);
	}
}

void lock_init(struct lock *lock, enum lock_rank rank)
{
	make_free(lock);
	lock->rank = rank;
}

static void note_awaited(struct lock *lock)
{
	thread.holding++;
	thread.awaited = lock;
	atomic_signal_fence(memory_order_seq_cst);
}

static void note_free(void)
{
	thread.awaited = NULL;
	thread.holding--;
}

static bool take_free(struct lock *lock)
{
	bool taken = pthread_mutex_trylock(&lock->mutex) == 0;

	note_tried(lock, taken);
	return taken;
}

static void take(struct lock *lock)
{
	note_awaited(lock);
	if (!lock_forsaken() && !take_free(lock)) {
		pthread_mutex_lock(&lock->mutex);
	}
}

void lock_take(struct lock *lock)
{
	note_taking(lock, false);
	take(lock);
}

void lock_take_peer(struct lock *lock)
{
	note_taking(lock, true);
	take(lock);
}

static struct timespec moment_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SEC),
	                         .tv_nsec = (long)(ns % NS_PER_SEC)};
}

/* On a clock that nobody sets; the thread sanitizer of gcc 12 knows the other one alone. */
static int take_until(pthread_mutex_t *mutex, uint64_t ns)
{
#ifdef __SANITIZE_THREAD__
	struct timespec until = moment_of(clock_wall_us() * NS_PER_US + ns);

	return pthread_mutex_timedlock(mutex, &until);
#else
	struct timespec until = moment_of(clock_monotonic_ns() + ns);

	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#endif
}

static bool take_within(struct lock *lock, uint64_t ns)
{
	if (lock_forsaken() || take_free(lock)) {
		return true;
	}
	return ns > 0 && take_until(&lock->mutex, ns) == 0;
}

bool lock_take_within(struct lock *lock, uint64_t ns)
{
	note_taking(lock, false);
	note_awaited(lock);
	if (!take_within(lock, ns)) {
		note_free();
		note_dropping(lock);
		return false;
	}
	return true;
}

void lock_drop(struct lock *lock)
{
	note_dropping(lock);
	/* In a forsaken child nothing has it, and giving back does no harm. */
	pthread_mutex_unlock(&lock->mutex);
	note_free();
}
