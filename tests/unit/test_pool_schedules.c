/* SPDX-License-Identifier: PostgreSQL */
/*
 * A pool between threads, in every order in which they can run with few interruptions.
 *
 * One thread runs at a time. Before it takes a pool's lock, rings or looks at a bell, or asks
 * what it was granted, any other may be next: all choices are tried, one run of the threads for
 * each. (What happens under the lock, nobody else sees.) A thread that could go on is
 * interrupted PREEMPTIONS times a run at most: faults of this kind need few, and without a
 * bound two threads have 200,000 runs. In every run no session has two holders, there are never
 * more than the limit, whoever waits is served, and no bell is left.
 *
 * That a lost wakeup is found is shown with a thread that sleeps without a second look.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/bell.h"
#include "pool/pool.h"

#define THREADS 3
#define SLOTS   16
#define CHOICES 400

#define PREEMPTIONS 3

enum end { KEEP, DROP, FORGET };

/* What a thread does. */
struct part {
	unsigned cycles;
	enum end end;        /* of each lease */
	bool cannot_open;    /* its first attempt fails */
	bool gives_up;       /* it may tire of waiting at any time */
	bool sleeps_blindly; /* the planted fault */
	bool drains;         /* it does nothing but close what is idle */
};

struct thread {
	struct part part;
	struct pool_waiter waiter;
	pthread_t id;
	sem_t go;
	bool over;
	int sleeps_on; /* a bell; -1 = awake */
};

static struct pool pool;
static struct pool_slot slots[SLOTS];
static struct thread threads[THREADS];
static const struct thread *holders[SLOTS];
static size_t opened;  /* slots used so far */
static unsigned rooms; /* with a session, or in which one is being opened */
static unsigned total;
static size_t count; /* threads of this run */
static sem_t run_over;
static const char *fault;
static _Thread_local struct thread *self;

/* Which of the threads that can run went on at each point, and how many there were. */
static struct {
	size_t taken[CHOICES];
	size_t among[CHOICES];
	size_t length;
	size_t at;
	unsigned preemptions; /* of this run */
} schedule;

/* ---- the scheduler ----------------------------------------------------------------- */

static bool can_run(const struct thread *t)
{
	struct pollfd bell = {.fd = t->sleeps_on, .events = POLLIN};

	return !t->over && (t->sleeps_on < 0 || t->part.gives_up || poll(&bell, 1, 0) > 0);
}

/* The threads that can be next: the one that runs is the first, and after so many alone. */
static size_t find_able(struct thread *able[THREADS])
{
	size_t among = 0;

	if (self != NULL && can_run(self)) {
		able[among++] = self;
		if (schedule.preemptions == PREEMPTIONS) {
			return among;
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (&threads[i] != self && can_run(&threads[i])) {
			able[among++] = &threads[i];
		}
	}
	return among;
}

/* The next to run, as the schedule says; NULL: none can. */
static struct thread *choose(void)
{
	struct thread *able[THREADS];
	size_t among = find_able(able);
	size_t taken = 0;

	if (among == 0) {
		return NULL;
	}
	if (among > 1) {
		if (schedule.at == CHOICES) {
			abort();
		}
		if (schedule.at < schedule.length) {
			taken = schedule.taken[schedule.at];
		} else {
			schedule.taken[schedule.length++] = 0;
		}
		schedule.among[schedule.at++] = among;
	}
	schedule.preemptions += able[0] == self && taken > 0 ? 1 : 0;
	return able[taken];
}

static bool all_over(void)
{
	for (size_t i = 0; i < count; i++) {
		if (!threads[i].over) {
			return false;
		}
	}
	return true;
}

static void blame(const char *what)
{
	fault = fault != NULL ? fault : what;
}

/* Lets one of the others run, or goes on. */
static void yield(void)
{
	struct thread *next;

	if (self == NULL) {
		return;
	}
	next = choose();
	if (next == self) {
		return;
	}
	if (next == NULL && !all_over()) {
		/* The threads that sleep are let go, to end. */
		blame("nobody is woken");
		for (size_t i = 0; i < count; i++) {
			threads[i].part.gives_up = true;
		}
		next = choose();
	}
	if (next == NULL) {
		sem_post(&run_over);
		return;
	}
	if (next != self) {
		sem_post(&next->go);
		if (!self->over) {
			sem_wait(&self->go);
		}
	}
}

/* False: it tired of it. */
static bool sleep_on(int bell)
{
	struct pollfd rings = {.fd = bell, .events = POLLIN};

	self->sleeps_on = bell;
	yield();
	self->sleeps_on = -1;
	return poll(&rings, 1, 0) > 0;
}

void __real_lock_take(struct lock *lock);
void __wrap_lock_take(struct lock *lock);
void __wrap_lock_take(struct lock *lock)
{
	if (lock->rank == LOCK_POOL) {
		yield();
	}
	__real_lock_take(lock);
}

void __real_bell_ring(struct bell *bell);
void __wrap_bell_ring(struct bell *bell);
void __wrap_bell_ring(struct bell *bell)
{
	yield();
	__real_bell_ring(bell);
}

/* Between the ring and the end of the claim. */
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	ssize_t written = __real_write(fd, data, size);

	yield();
	return written;
}

/* ---- the threads --------------------------------------------------------------------- */

static enum pool_grant wait_in_line(void)
{
	struct pool_waiter *waiter = &self->waiter;
	bool waits = true;
	enum pool_grant grant;

	while (waits) {
		int bell;

		yield();
		bell = bell_open(&waiter->bell);
		yield();
		/* It may have been granted before there was a bell. */
		waits = (self->part.sleeps_blindly ||
		         pool_granted(&pool, waiter) == POOL_FULL) &&
		        sleep_on(bell);
		waits = waits && pool_granted(&pool, waiter) == POOL_FULL;
	}
	grant = pool_leave(&pool, waiter);
	yield();
	bell_close(&waiter->bell);
	return grant;
}

static struct pool_slot *open_session(void)
{
	struct pool_slot *slot = &slots[opened++];

	if (self->part.cannot_open) {
		self->part.cannot_open = false;
		rooms--;
		pool_open_failed(&pool);
		return NULL;
	}
	yield();
	pool_opened(&pool, slot, NS_PER_SEC, 0);
	return slot;
}

static struct pool_slot *take(void)
{
	enum pool_grant grant = pool_acquire(&pool, NS_PER_SEC, &self->waiter, NULL);

	if (grant == POOL_FULL) {
		grant = wait_in_line();
	}
	switch (grant) {
	case POOL_FULL:
		return NULL;
	case POOL_LEND:
		pool_lent(self->waiter.slot);
		return self->waiter.slot;
	case POOL_REPLACE: /* whoever gave it on has counted its room out */
	case POOL_OPEN:
		break;
	}
	if (++rooms > total) {
		blame("beyond the limit");
	}
	return open_session();
}

/* The session is finished, and its room given on. */
static void close_session(struct pool_slot *slot, bool seen)
{
	rooms--;
	if (seen) {
		pool_drop(&pool, slot);
	} else {
		pool_forget(&pool, slot);
	}
}

static void lease(void)
{
	struct pool_slot *slot = take();

	if (slot == NULL) {
		return;
	}
	if (holders[slot - slots] != NULL) {
		blame("two holders");
	}
	holders[slot - slots] = self;
	yield();
	holders[slot - slots] = NULL;
	if (self->part.end == KEEP && pool_return(&pool, slot, NS_PER_SEC) == DROP_NONE) {
		pool_keep(&pool, slot, NS_PER_SEC);
	} else {
		close_session(slot, self->part.end != FORGET);
	}
}

static void *run_thread(void *arg)
{
	self = arg;
	sem_wait(&self->go);
	if (self->part.drains) {
		struct pool_slot *next;

		for (struct pool_slot *slot = pool_drain(&pool); slot != NULL; slot = next) {
			next = slot->next;
			close_session(slot, true);
		}
	}
	for (unsigned i = 0; i < self->part.cycles; i++) {
		lease();
	}
	self->over = true;
	yield();
	return NULL;
}

/* ---- all schedules --------------------------------------------------------------------- */

static void run_once(const struct part *parts, size_t of, struct pool_limits limits)
{
	struct pool_counts counts;

	memset(slots, 0, sizeof(slots));
	memset(threads, 0, sizeof(threads));
	pool_init(&pool, &limits);
	total = limits.total;
	opened = 0;
	rooms = 0;
	count = of;
	schedule.at = 0;
	schedule.preemptions = 0;
	for (size_t i = 0; i < count; i++) {
		threads[i].part = parts[i];
		threads[i].sleeps_on = -1;
		sem_init(&threads[i].go, 0, 0);
		pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
	}
	sem_post(&choose()->go);
	sem_wait(&run_over);
	for (size_t i = 0; i < count; i++) {
		pthread_join(threads[i].id, NULL);
		sem_destroy(&threads[i].go);
		if (threads[i].waiter.bell.state != 0) {
			blame("a bell is left");
		}
	}
	counts = pool_count(&pool);
	if (counts.waiting != 0 || counts.used != rooms || counts.idle != rooms) {
		blame("something is left");
	}
}

/* The next choice that was not tried; false: all were. */
static bool advance(void)
{
	while (schedule.length > 0) {
		size_t last = schedule.length - 1;

		if (++schedule.taken[last] < schedule.among[last]) {
			return true;
		}
		schedule.length = last;
	}
	return false;
}

/* What is wrong in one of the runs; NULL: nothing. */
static const char *explore(const struct part *parts, size_t of, struct pool_limits limits)
{
	size_t runs = 0;

	memset(&schedule, 0, sizeof(schedule));
	sem_init(&run_over, 0, 0);
	fault = NULL;
	do {
		run_once(parts, of, limits);
		runs++;
	} while (fault == NULL && advance());
	sem_destroy(&run_over);
	print_message("%zu runs%s%s\n", runs, fault != NULL ? ": " : "",
	              fault != NULL ? fault : "");
	return fault;
}

#define EXPLORE(limit, ...)                                                                    \
	explore((const struct part[]){__VA_ARGS__},                                            \
	        sizeof((const struct part[]){__VA_ARGS__}) / sizeof(struct part),              \
	        (struct pool_limits){.size = (limit), .total = (limit)})

static void two_take_turns(void **state)
{
	(void)state;
	assert_null(EXPLORE(1, {.cycles = 2}, {.cycles = 1}));
	assert_null(EXPLORE(1, {.cycles = 1, .end = DROP}, {.cycles = 2}));
	assert_null(EXPLORE(1, {.cycles = 1, .end = FORGET}, {.cycles = 2}));
}

static void three_share_one(void **state)
{
	(void)state;
	assert_null(EXPLORE(1, {.cycles = 1}, {.cycles = 1}, {.cycles = 1}));
}

static void three_share_two(void **state)
{
	(void)state;
	assert_null(EXPLORE(2, {.cycles = 1}, {.cycles = 1, .end = DROP}, {.cycles = 1}));
}

static void one_cannot_open(void **state)
{
	(void)state;
	assert_null(EXPLORE(1, {.cycles = 1, .cannot_open = true}, {.cycles = 2}));
}

static void one_gives_up(void **state)
{
	(void)state;
	assert_null(EXPLORE(1, {.cycles = 1}, {.cycles = 1, .gives_up = true}));
	assert_null(EXPLORE(1, {.cycles = 1, .end = DROP}, {.cycles = 1, .gives_up = true}));
}

static void one_drains(void **state)
{
	(void)state;
	assert_null(EXPLORE(1, {.cycles = 2}, {.drains = true}, {.cycles = 1}));
}

static void a_lost_wakeup_is_found(void **state)
{
	(void)state;
	assert_string_equal(EXPLORE(1, {.cycles = 1}, {.cycles = 1, .sleeps_blindly = true}),
	                    "nobody is woken");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_take_turns),         cmocka_unit_test(three_share_one),
		cmocka_unit_test(three_share_two),        cmocka_unit_test(one_cannot_open),
		cmocka_unit_test(one_gives_up),           cmocka_unit_test(one_drains),
		cmocka_unit_test(a_lost_wakeup_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
