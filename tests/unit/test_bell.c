/* SPDX-License-Identifier: PostgreSQL */
/* A bell: who has it, who closes it; and when a pool rings. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "slots.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool rings(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void rings_who_sleeps(void **state)
{
	struct bell bell = {0};
	int fd = bell_open(&bell);

	(void)state;
	assert_true(fd >= 0 && !rings(fd));
	assert_true(bell_claim(&bell));
	bell_ring(&bell);
	assert_true(rings(fd));
	/* For the next sleep it is silent again. */
	assert_int_equal(bell_open(&bell), fd);
	assert_false(rings(fd));
	bell_close(&bell);
	assert_false(is_open(fd));
	bell_close(&bell);
}

static void there_may_be_nobody_to_ring_for(void **state)
{
	struct bell bell = {0};

	(void)state;
	assert_false(bell_claim(&bell));
	bell_open(&bell);
	bell_close(&bell);
	assert_false(bell_claim(&bell));
}

static void is_closed_by_the_last(void **state)
{
	struct bell bell = {0};
	int fd = bell_open(&bell);

	(void)state;
	assert_true(bell_claim(&bell));
	assert_true(bell_claim(&bell));
	bell_close(&bell);
	assert_false(bell_claim(&bell));
	bell_ring(&bell);
	assert_true(is_open(fd));
	bell_ring(&bell);
	assert_false(is_open(fd));
	assert_int_equal(atomic_load(&bell.state), 0);
}

/* The sleeper is back before the one who rang for its last sleep. */
static void may_ring_late(void **state)
{
	struct bell bell = {0};
	int fd = bell_open(&bell);

	(void)state;
	assert_true(bell_claim(&bell));
	bell_close(&bell);
	assert_int_equal(bell_open(&bell), fd);
	assert_true(bell_claim(&bell));
	bell_ring(&bell);
	bell_ring(&bell);
	assert_true(is_open(fd));
	bell_close(&bell);
	assert_false(is_open(fd));
}

static void is_forgotten_in_a_child(void **state)
{
	struct bell bell = {0};
	int fd = bell_open(&bell);

	(void)state;
	assert_true(bell_claim(&bell));
	bell_forget(&bell);
	assert_false(is_open(fd));
	bell_ring(&bell);
	assert_int_equal(atomic_load(&bell.state), 0);
	bell_forget(&bell);
}

/* ---- the pool's ---- */

static struct pool_waiter line[3];

static unsigned rung(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < 3; i++) {
		uint64_t times = 0;
		int fd = (int)(atomic_load(&line[i].bell.state) >> 8) - 1;

		if (read(fd, &times, sizeof(times)) == sizeof(times)) {
			count += (unsigned)times;
		} else {
			assert_int_equal(errno, EAGAIN);
		}
	}
	return count;
}

static void one_session_wakes_one_thread_once(void **state)
{
	(void)state;
	make(1, 1);
	open_slot(0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pool_acquire(&pool, now, &line[i], NULL), POOL_FULL);
		assert_true(bell_open(&line[i].bell) >= 0);
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pool_return(&pool, &slots[0], now), DROP_NONE);
		assert_int_equal(rung(), 0);
		pool_keep(&pool, &slots[0], now);
		assert_int_equal(rung(), 1);
		assert_int_equal(pool_granted(&pool, &line[i]), POOL_LEND);
		assert_int_equal(pool_leave(&pool, &line[i]), POOL_LEND);
		assert_ptr_equal(line[i].slot, &slots[0]);
		bell_close(&line[i].bell);
		bell_open(&line[i].bell);
	}
}

static void *take_and_leave(void *unused)
{
	(void)unused;
	/* Who holds the lock would have to be waited for. */
	assert_int_equal(pthread_mutex_trylock(&pool.lock.mutex), 0);
	pthread_mutex_unlock(&pool.lock.mutex);
	return NULL;
}

/* In place of the kernel's: when it is rung. */
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	pthread_t other;

	assert_false(lock_held_here());
	assert_int_equal(pthread_create(&other, NULL, take_and_leave, NULL), 0);
	pthread_join(other, NULL);
	return __real_write(fd, buf, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_who_sleeps),
		cmocka_unit_test(there_may_be_nobody_to_ring_for),
		cmocka_unit_test(is_closed_by_the_last),
		cmocka_unit_test(may_ring_late),
		cmocka_unit_test(is_forgotten_in_a_child),
		cmocka_unit_test(one_session_wakes_one_thread_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
