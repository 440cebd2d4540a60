/* SPDX-License-Identifier: PostgreSQL */
/* Which of the sessions that lie idle is lent. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "slots.h"

static void lends_the_latest_or_the_oldest(void **state)
{
	(void)state;
	for (int fifo = 0; fifo <= 1; fifo++) {
		make(3, 3);
		pool.limits.fifo = fifo != 0;
		for (size_t i = 0; i < 3; i++) {
			open_slot(i);
		}
		for (size_t i = 0; i < 3; i++) {
			give_back(&slots[i]);
		}
		for (size_t i = 0; i < 3; i++) {
			assert_ptr_equal(take_idle(), &slots[fifo ? i : 2 - i]);
		}
	}
}

/* Where two threads stand that give slots back, and one of them takes one after that. */
static struct {
	pthread_barrier_t gave_back;
	pthread_barrier_t take;
} turns;

static void *give_back_the_later(void *arg)
{
	(void)arg;
	give_back(&slots[1]);
	return NULL;
}

static void *give_back_and_take(void *arg)
{
	(void)arg;
	give_back(&slots[0]);
	pthread_barrier_wait(&turns.gave_back);
	pthread_barrier_wait(&turns.take);
	return take_idle();
}

/* What a thread is lent that comes so long after it and another one gave theirs back. */
static struct pool_slot *taken_after(uint64_t ns)
{
	pthread_t first;
	pthread_t later;
	void *taken;

	open_slot(0);
	open_slot(1);
	pthread_barrier_init(&turns.gave_back, NULL, 2);
	pthread_barrier_init(&turns.take, NULL, 2);
	pthread_create(&first, NULL, give_back_and_take, NULL);
	pthread_barrier_wait(&turns.gave_back);
	pthread_create(&later, NULL, give_back_the_later, NULL);
	pthread_join(later, NULL);
	now += ns;
	pthread_barrier_wait(&turns.take);
	pthread_join(first, &taken);
	pthread_barrier_destroy(&turns.gave_back);
	pthread_barrier_destroy(&turns.take);
	return taken;
}

static void lends_a_thread_its_own_if_it_comes_at_once(void **state)
{
	(void)state;
	make(2, 2);
	assert_ptr_equal(taken_after(POOL_WARM_NS - 1), &slots[0]);
	make(2, 2);
	assert_ptr_equal(taken_after(POOL_WARM_NS), &slots[1]);
	make(2, 2);
	pool.limits.fifo = true;
	assert_ptr_equal(taken_after(0), &slots[0]);
}

static void forgets_whose_own_a_slot_was_that_is_taken(void **state)
{
	(void)state;
	make(2, 2);
	open_slot(0);
	open_slot(1);
	give_back(&slots[0]);
	give_back(&slots[1]);
	assert_ptr_equal(take_idle(), &slots[1]);
	assert_ptr_equal(take_idle(), &slots[0]);
	give_back(&slots[0]);
	/* Drained by somebody else, it must not be lent once more. */
	assert_ptr_equal(pool_drain(&pool), &slots[0]);
	pool_forget(&pool, &slots[0]);
	give_back(&slots[1]);
	assert_ptr_equal(take_idle(), &slots[1]);
	for (size_t i = 0; i < POOL_HOMES; i++) {
		assert_null(pool.own[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lends_the_latest_or_the_oldest),
		cmocka_unit_test(lends_a_thread_its_own_if_it_comes_at_once),
		cmocka_unit_test(forgets_whose_own_a_slot_was_that_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
