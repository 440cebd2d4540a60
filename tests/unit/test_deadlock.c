/* SPDX-License-Identifier: PostgreSQL */
/* Self-deadlock: proven when every thread is blocked, and not a moment before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/pid.h"
#include "pool/deadlock.h"
#include "pool/pool.h"

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);

/* What happens once while /proc is being opened, and whether there is one. */
static void (*meanwhile)(void);
static bool no_proc;

int __wrap_open(const char *path, int flags, ...)
{
	void (*happens)(void) = meanwhile;

	meanwhile = NULL;
	if (happens != NULL) {
		happens();
	}
	return no_proc ? -1 : __real_open(path, flags);
}

/* A thread that does as it is told, one step at a time. */
struct other {
	pthread_t thread;
	pthread_barrier_t step;
	struct blocked blocked;
	pid_t tid;
	bool blocks;
};

static void *be_other(void *arg)
{
	struct other *other = arg;

	other->tid = tid_self();
	if (other->blocks) {
		deadlock_block(&other->blocked);
	}
	pthread_barrier_wait(&other->step);
	pthread_barrier_wait(&other->step);
	deadlock_unblock(&other->blocked);
	return NULL;
}

static void start(struct other *other, bool blocks)
{
	memset(other, 0, sizeof(*other));
	other->blocks = blocks;
	pthread_barrier_init(&other->step, NULL, 2);
	assert_int_equal(pthread_create(&other->thread, NULL, be_other, other), 0);
	pthread_barrier_wait(&other->step);
}

static void end(struct other *other)
{
	pthread_barrier_wait(&other->step);
	assert_int_equal(pthread_join(other->thread, NULL), 0);
}

/* The thread sanitizer has a thread of its own, so nothing can be proven under it. */
static void need_to_be_alone(void)
{
#ifdef __SANITIZE_THREAD__
	skip();
#endif
}

/* The kernel may count a thread for a moment after it was joined. */
static bool proven_soon(struct blocked *blocked)
{
	uint64_t deadline_ns = clock_monotonic_ns() + 10 * NS_PER_SEC;

	while (clock_monotonic_ns() < deadline_ns) {
		if (deadlock_proven(blocked)) {
			return true;
		}
	}
	return false;
}

static void the_only_thread(void **state)
{
	struct blocked blocked = {0};

	(void)state;
	need_to_be_alone();
	assert_false(deadlock_proven(&blocked));
	deadlock_block(&blocked);
	assert_true(deadlock_is_blocked(tid_self()));
	assert_true(deadlock_proven(&blocked));
	assert_false(deadlock_is_blocked(tid_self()));
	assert_false(deadlock_proven(&blocked));
	deadlock_unblock(&blocked);
	deadlock_block(&blocked);
	assert_true(deadlock_proven(&blocked));
}

static void another_thread_may_release(void **state)
{
	struct blocked blocked = {0};
	struct other other;

	(void)state;
	need_to_be_alone();
	start(&other, false);
	deadlock_block(&blocked);
	assert_false(deadlock_proven(&blocked));
	assert_true(deadlock_is_blocked(tid_self()));
	assert_false(deadlock_is_blocked(other.tid));
	end(&other);
	assert_true(proven_soon(&blocked));
}

static void the_newest_of_all_that_wait(void **state)
{
	struct blocked blocked = {0};
	struct other other;

	(void)state;
	need_to_be_alone();
	start(&other, true);
	assert_true(deadlock_is_blocked(other.tid));
	deadlock_block(&blocked);
	assert_false(deadlock_proven(&other.blocked));
	assert_true(deadlock_proven(&blocked));
	assert_false(deadlock_proven(&other.blocked));
	end(&other);
	assert_false(deadlock_is_blocked(other.tid));
}

static struct other *served;

static void serve(void)
{
	deadlock_unblock(&served->blocked);
}

/* As if it had been served, released what it got, and stood in line again. */
static void serve_and_queue(void)
{
	deadlock_unblock(&served->blocked);
	deadlock_block(&served->blocked);
}

/* While the kernel is asked how many threads there are. */
static void what_changes_meanwhile(void **state)
{
	void (*const changes[])(void) = {serve, serve_and_queue};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct blocked blocked = {0};
		struct other other;

		start(&other, true);
		deadlock_block(&blocked);
		served = &other;
		meanwhile = changes[i];
		assert_false(deadlock_proven(&blocked));
		assert_null(meanwhile);
		deadlock_unblock(&blocked);
		end(&other);
	}
}

static void the_kernel_does_not_say(void **state)
{
	struct blocked blocked = {0};

	(void)state;
	need_to_be_alone();
	deadlock_block(&blocked);
	no_proc = true;
	assert_false(deadlock_proven(&blocked));
	no_proc = false;
	assert_true(proven_soon(&blocked));
}

static void a_child_has_one_thread(void **state)
{
	struct other other;
	struct blocked blocked = {0};
	int status = -1;
	pid_t child;

	(void)state;
	need_to_be_alone();
	start(&other, true);
	deadlock_fork_prepare();
	child = fork();
	if (child == 0) {
		deadlock_fork_child();
		pid_renew();
		deadlock_block(&blocked);
		_exit(deadlock_proven(&blocked) ? 0 : 1);
	}
	deadlock_fork_parent();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	end(&other);
}

/* ---- a pool's line ---- */

static void counts_who_stands_in_line(void **state)
{
	struct pool_limits limits = {.size = 1, .total = 1};
	struct pool_slot slot;
	struct pool_waiter waiter;
	struct pool pool;

	(void)state;
	pool_init(&pool, &limits);
	assert_int_equal(pool_acquire(&pool, 1, &waiter, NULL), POOL_OPEN);
	pool_opened(&pool, &slot, 1, 0);

	/* One that does not block, like a connect in steps. */
	assert_int_equal(pool_acquire(&pool, 1, &waiter, NULL), POOL_FULL);
	assert_false(deadlock_is_blocked(tid_self()));
	pool_block(&pool, &waiter);
	assert_true(deadlock_is_blocked(tid_self()));
	assert_int_equal(pool_leave(&pool, &waiter), POOL_FULL);
	assert_false(deadlock_is_blocked(tid_self()));

	/* Served: before it blocks, and after. */
	for (int blocks_first = 0; blocks_first < 2; blocks_first++) {
		assert_int_equal(pool_acquire(&pool, 1, &waiter, NULL), POOL_FULL);
		if (blocks_first) {
			pool_block(&pool, &waiter);
		}
		assert_int_equal(pool_return(&pool, &slot, 1), DROP_NONE);
		pool_keep(&pool, &slot, 1);
		if (!blocks_first) {
			pool_block(&pool, &waiter);
		}
		assert_false(deadlock_is_blocked(tid_self()));
		assert_false(deadlock_proven(&waiter.blocked));
		assert_int_equal(pool_granted(&pool, &waiter), POOL_LEND);
		pool_lent(&slot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_only_thread),
		cmocka_unit_test(another_thread_may_release),
		cmocka_unit_test(the_newest_of_all_that_wait),
		cmocka_unit_test(what_changes_meanwhile),
		cmocka_unit_test(the_kernel_does_not_say),
		cmocka_unit_test(a_child_has_one_thread),
		cmocka_unit_test(counts_who_stands_in_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
