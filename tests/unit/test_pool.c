/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pool alone: no libpq, and a clock that the tests turn by hand.
 *
 * This long because limits, line and age are one another's conditions, and share their steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slots.h"

static void lets_as_many_in_as_the_limit_says(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(2, 3);
	for (size_t i = 0; i < 3; i++) {
		open_slot(i);
	}
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_FULL);
	assert_int_equal(pool_granted(&pool, &waiter), POOL_FULL);
	assert_int_equal(pool_leave(&pool, &waiter), POOL_FULL);
	assert_int_equal(pool_count(&pool).used, 3);
	assert_int_equal(pool_count(&pool).waiting, 0);
}

static void has_no_limit_if_told_so(void **state)
{
	(void)state;
	make(POOL_NO_LIMIT, POOL_NO_LIMIT);
	for (size_t i = 0; i < SLOTS; i++) {
		open_slot(i);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		give_back(&slots[i]);
	}
	assert_int_equal(pool_count(&pool).idle, SLOTS);
}

static void retires_by_age_within_the_jitter(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(2, 2);
	pool.limits.recycle_ns = 100 * SECOND;
	for (uint32_t jitter = 0; jitter <= 65535; jitter += 13107) {
		uint64_t life;

		pool_opened(&pool, &slots[0], now, (uint16_t)jitter);
		life = slots[0].retire_ns - now;
		assert_in_range(life, 95 * SECOND, 100 * SECOND);
		assert_true(jitter == 0 || life < 100 * SECOND);
	}
	open_slot(0);
	now += 100 * SECOND - 1;
	give_back(&slots[0]);
	take_idle();
	give_back(&slots[0]);
	now += 1;
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_REPLACE);
	assert_ptr_equal(waiter.slot, &slots[0]);
	assert_int_equal(waiter.why, DROP_AGED);
	/* The room is still taken: it belongs to the session that takes its place. */
	pool_opened(&pool, &slots[1], now, 0);
	assert_int_equal(pool_count(&pool).used, 1);
	now += 100 * SECOND;
	assert_int_equal(pool_return(&pool, &slots[1], now), DROP_AGED);
}

static void never_retires_without_recycling(void **state)
{
	(void)state;
	make(1, 1);
	open_slot(0);
	now += 1000000 * SECOND;
	give_back(&slots[0]);
	assert_ptr_equal(take_idle(), &slots[0]);
}

static void invalidates_what_is_older(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(3, 3);
	open_slot(0);
	open_slot(1);
	give_back(&slots[0]);
	now += SECOND;
	pool_invalidate(&pool, now);
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_REPLACE);
	assert_ptr_equal(waiter.slot, &slots[0]);
	assert_int_equal(waiter.why, DROP_INVALIDATED);
	pool_opened(&pool, &slots[2], now, 0);
	assert_int_equal(pool_return(&pool, &slots[1], now), DROP_INVALIDATED);
	give_back(&slots[2]);
	assert_null(pool_tend(&pool, now));
	assert_ptr_equal(take_idle(), &slots[2]);
}

static void follows_where_connects_land(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(3, 3);
	assert_true(pool_landed(&pool, 7, now, now));
	open_slot(0);
	give_back(&slots[0]);
	now += SECOND;
	assert_true(pool_landed(&pool, 7, now - 1, now));
	assert_ptr_equal(take_idle(), &slots[0]);
	give_back(&slots[0]);
	/* Elsewhere: what is older is not lent again. */
	now += SECOND;
	assert_int_equal(pool_reserve(&pool, 1), 1);
	assert_true(pool_landed(&pool, 9, now - 1, now));
	pool_opened(&pool, &slots[1], now, 0);
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_REPLACE);
	assert_int_equal(waiter.why, DROP_INVALIDATED);
	assert_int_equal(pool_return(&pool, &slots[1], now), DROP_NONE);
	pool_keep(&pool, &slots[1], now);
	/* One that began before that, and landed where it was then: neither is kept. */
	assert_false(pool_landed(&pool, 7, now - 1, now + 1));
	assert_int_equal(pool_acquire(&pool, now + 1, &waiter, NULL), POOL_REPLACE);
	assert_int_equal(waiter.why, DROP_INVALIDATED);
}

static void sweeps_out_what_was_invalidated(void **state)
{
	struct pool_slot *doomed;

	(void)state;
	make(3, 3);
	open_slot(0);
	open_slot(1);
	give_back(&slots[0]);
	give_back(&slots[1]);
	now += SECOND;
	pool_invalidate(&pool, now);
	doomed = pool_tend(&pool, now);
	assert_non_null(doomed);
	assert_non_null(doomed->next);
	assert_int_equal(doomed->why, DROP_INVALIDATED);
	assert_int_equal(pool_count(&pool).idle, 0);
}

static void closes_what_is_idle_too_long(void **state)
{
	struct pool_slot *doomed;

	(void)state;
	make(3, 3);
	pool.limits.idle_timeout_ns = 10 * SECOND;
	open_slot(0);
	open_slot(1);
	give_back(&slots[0]);
	now += 5 * SECOND;
	give_back(&slots[1]);
	now += 5 * SECOND - 1;
	assert_null(pool_tend(&pool, now));
	now += 1;
	doomed = pool_tend(&pool, now);
	assert_ptr_equal(doomed, &slots[0]);
	assert_null(doomed->next);
	assert_int_equal(doomed->why, DROP_IDLE_TIMEOUT);
	assert_false(pool_drop(&pool, doomed));
	/* The other one's time was not lost over the first. */
	now += 5 * SECOND;
	assert_ptr_equal(pool_tend(&pool, now), &slots[1]);
}

static void queue(struct pool_waiter *waiter)
{
	assert_int_equal(pool_acquire(&pool, now, waiter, NULL), POOL_FULL);
}

/* The waiter is served already: the wait returns at once. */
static void expect(struct pool_waiter *waiter, enum pool_grant grant,
                   const struct pool_slot *slot)
{
	assert_int_equal(pool_granted(&pool, waiter), grant);
	assert_ptr_equal(waiter->slot, slot);
}

static void counts_a_session_until_it_is_finished(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(2, 2);
	open_slot(0);
	open_slot(1);
	queue(&waiter);
	/* The waiter has to see the end first, and has the room meanwhile. */
	assert_true(pool_drop(&pool, &slots[0]));
	expect(&waiter, POOL_REPLACE, &slots[0]);
	assert_int_equal(pool_count(&pool).used, 2);
	pool_opened(&pool, &slots[2], now, 0);
	assert_false(pool_drop(&pool, &slots[1]));
	assert_int_equal(pool_count(&pool).used, 1);
	open_slot(3);
}

static void gives_room_back_after_a_failed_open(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(1, 1);
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_OPEN);
	pool_open_failed(&pool);
	open_slot(0);
	pool_forget(&pool, &slots[0]);
	assert_int_equal(pool_count(&pool).used, 0);
}

static void reserves_no_more_than_there_is(void **state)
{
	(void)state;
	make(2, 5);
	open_slot(0);
	assert_int_equal(pool_reserve(&pool, 3), 3);
	assert_int_equal(pool_reserve(&pool, 3), 1);
	assert_int_equal(pool_reserve(&pool, 1), 0);
}

static void drains(void **state)
{
	struct pool_slot *drained;
	size_t count = 0;

	(void)state;
	make(4, 4);
	for (size_t i = 0; i < 4; i++) {
		open_slot(i);
	}
	for (size_t i = 0; i < 3; i++) {
		give_back(&slots[i]);
	}
	for (drained = pool_drain(&pool); drained != NULL; drained = drained->next) {
		count++;
	}
	assert_int_equal(count, 3);
	assert_int_equal(pool_count(&pool).idle, 0);
	assert_int_equal(pool_count(&pool).used, 4);
}

/* ---- waiting ---- */

/* Queues `waiter` at the full pool. */
static void serves_in_order_of_arrival(void **state)
{
	struct pool_waiter first;
	struct pool_waiter second;
	struct pool_waiter third;
	struct pool_waiter fourth;

	(void)state;
	make(2, 2);
	open_slot(0);
	open_slot(1);
	queue(&first);
	queue(&second);
	queue(&third);
	queue(&fourth);
	assert_int_equal(pool_count(&pool).waiting, 4);
	give_back(&slots[0]);
	expect(&first, POOL_LEND, &slots[0]);
	pool_lent(&slots[0]);
	assert_true(pool_drop(&pool, &slots[1]));
	expect(&second, POOL_REPLACE, &slots[1]);
	pool_opened(&pool, &slots[2], now, 0);
	pool_forget(&pool, &slots[0]);
	expect(&third, POOL_OPEN, NULL);
	pool_open_failed(&pool);
	expect(&fourth, POOL_OPEN, NULL);
	assert_int_equal(pool_count(&pool).used, 2);
	assert_int_equal(pool_count(&pool).waiting, 0);
}

/* Even a session beyond the size is kept for whoever waits. */
static void hands_surplus_to_the_waiting(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(1, 2);
	open_slot(0);
	open_slot(1);
	queue(&waiter);
	give_back(&slots[1]);
	expect(&waiter, POOL_LEND, &slots[1]);
}

static void leaves_the_line_when_the_time_is_up(void **state)
{
	struct pool_waiter late;
	struct pool_waiter patient;

	(void)state;
	make(1, 1);
	open_slot(0);
	queue(&late);
	queue(&patient);
	assert_int_equal(pool_granted(&pool, &late), POOL_FULL);
	assert_int_equal(pool_count(&pool).waiting, 2);
	assert_int_equal(pool_leave(&pool, &late), POOL_FULL);
	give_back(&slots[0]);
	expect(&patient, POOL_LEND, &slots[0]);
}

static struct pool_waiter *told;

static void tell(struct pool_waiter *waiter)
{
	told = waiter;
}

static void tells_the_waiter(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(1, 1);
	open_slot(0);
	told = NULL;
	assert_int_equal(pool_acquire(&pool, now, &waiter, tell), POOL_FULL);
	assert_null(told);
	give_back(&slots[0]);
	assert_ptr_equal(told, &waiter);
	assert_int_equal(waiter.grant, POOL_LEND);
}

/* ---- anything goes ---- */

struct crowd {
	struct pool_slot *leased[SLOTS];
	size_t leased_count;
	struct pool_slot *free_slots[SLOTS];
	size_t free_count;
};

static void random_acquire(struct crowd *c)
{
	struct pool_waiter waiter;
	struct pool_slot *slot;

	switch (pool_acquire(&pool, now, &waiter, NULL)) {
	case POOL_FULL:
		assert_int_equal(pool_leave(&pool, &waiter), POOL_FULL);
		return;
	case POOL_LEND:
		pool_lent(waiter.slot);
		slot = waiter.slot;
		break;
	case POOL_REPLACE:
		c->free_slots[c->free_count++] = waiter.slot;
		/* fall through */
	default:
		slot = c->free_slots[--c->free_count];
		pool_opened(&pool, slot, now, (uint16_t)rand());
		break;
	}
	c->leased[c->leased_count++] = slot;
}

static void random_release(struct crowd *c)
{
	struct pool_slot *slot;
	size_t i = (size_t)rand() % c->leased_count;

	slot = c->leased[i];
	c->leased[i] = c->leased[--c->leased_count];
	if (pool_return(&pool, slot, now) == DROP_NONE && rand() % 8 != 0) {
		pool_keep(&pool, slot, now);
	} else if (!pool_drop(&pool, slot)) {
		c->free_slots[c->free_count++] = slot;
	}
}

static void random_tend(struct crowd *c)
{
	struct pool_slot *doomed = pool_tend(&pool, now);

	while (doomed != NULL) {
		struct pool_slot *next = doomed->next;

		assert_false(pool_drop(&pool, doomed));
		c->free_slots[c->free_count++] = doomed;
		doomed = next;
	}
}

static void never_breaks_its_limits(void **state)
{
	struct crowd c = {0};

	(void)state;
	srand(42);
	make(7, 19);
	pool.limits.recycle_ns = 400 * SECOND;
	pool.limits.idle_timeout_ns = 90 * SECOND;
	for (size_t i = 0; i < SLOTS; i++) {
		c.free_slots[c.free_count++] = &slots[i];
	}
	for (unsigned step = 0; step < 200000; step++) {
		struct pool_counts counts;
		bool tended;

		now += (uint64_t)rand() % (3 * SECOND);
		if (rand() % 2 && c.leased_count > 0) {
			random_release(&c);
		} else {
			random_acquire(&c);
		}
		tended = rand() % 16 == 0;
		if (tended) {
			random_tend(&c);
		}
		if (rand() % 500 == 0) {
			pool_invalidate(&pool, now);
		}
		counts = pool_count(&pool);
		assert_in_range(counts.used, 0, 19);
		if (tended && counts.used - counts.idle <= 1) {
			assert_in_range(counts.idle, 0, 7);
		}
		assert_int_equal(counts.used, SLOTS - c.free_count);
	}
}

static void outdates_what_began_before(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(3, 3);
	open_slot(0);
	open_slot(1);
	open_slot(2);
	give_back(&slots[0]);
	now += SECOND;
	pool_outdate(&pool, now);
	/* Its connect was under way. */
	pool_opened(&pool, &slots[2], now, 0);
	pool_began(&slots[2], now - 1);
	assert_int_equal(pool_return(&pool, &slots[2], now), DROP_DRAINED);
	assert_int_equal(pool_return(&pool, &slots[1], now), DROP_DRAINED);
	assert_false(pool_drop(&pool, &slots[1]));
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_REPLACE);
	assert_ptr_equal(waiter.slot, &slots[0]);
	assert_int_equal(waiter.why, DROP_DRAINED);
	pool_opened(&pool, &slots[1], now, 0);
	give_back(&slots[1]);
	assert_null(pool_tend(&pool, now));
	assert_ptr_equal(take_idle(), &slots[1]);
}

static void grants_nothing_while_paused(void **state)
{
	struct pool_waiter waiters[4];

	(void)state;
	make(3, 3);
	open_slot(0);
	open_slot(1);
	give_back(&slots[0]);
	pool_pause(&pool, true, now);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pool_acquire(&pool, now, &waiters[i], NULL), POOL_FULL);
	}
	give_back(&slots[1]);
	assert_int_equal(pool_reserve(&pool, 1), 0);
	assert_int_equal(pool_granted(&pool, &waiters[0]), POOL_FULL);
	assert_int_equal(pool_count(&pool).idle, 2);
	pool_pause(&pool, false, now);
	assert_int_equal(pool_granted(&pool, &waiters[0]), POOL_LEND);
	assert_ptr_equal(waiters[0].slot, &slots[1]);
	assert_int_equal(pool_granted(&pool, &waiters[1]), POOL_LEND);
	assert_ptr_equal(waiters[1].slot, &slots[0]);
	assert_int_equal(pool_granted(&pool, &waiters[2]), POOL_OPEN);
	assert_int_equal(pool_granted(&pool, &waiters[3]), POOL_FULL);
	assert_int_equal(pool_count(&pool).used, 3);
	pool_open_failed(&pool);
	assert_int_equal(pool_granted(&pool, &waiters[3]), POOL_OPEN);
}

static void replaces_what_was_drained_while_paused(void **state)
{
	struct pool_waiter waiter;

	(void)state;
	make(1, 1);
	open_slot(0);
	give_back(&slots[0]);
	pool_pause(&pool, true, now);
	now += SECOND;
	pool_outdate(&pool, now);
	assert_int_equal(pool_acquire(&pool, now, &waiter, NULL), POOL_FULL);
	pool_pause(&pool, false, now);
	assert_int_equal(pool_granted(&pool, &waiter), POOL_REPLACE);
	assert_int_equal(waiter.why, DROP_DRAINED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lets_as_many_in_as_the_limit_says),
		cmocka_unit_test(has_no_limit_if_told_so),
		cmocka_unit_test(retires_by_age_within_the_jitter),
		cmocka_unit_test(never_retires_without_recycling),
		cmocka_unit_test(invalidates_what_is_older),
		cmocka_unit_test(outdates_what_began_before),
		cmocka_unit_test(grants_nothing_while_paused),
		cmocka_unit_test(replaces_what_was_drained_while_paused),
		cmocka_unit_test(follows_where_connects_land),
		cmocka_unit_test(sweeps_out_what_was_invalidated),
		cmocka_unit_test(closes_what_is_idle_too_long),
		cmocka_unit_test(counts_a_session_until_it_is_finished),
		cmocka_unit_test(gives_room_back_after_a_failed_open),
		cmocka_unit_test(reserves_no_more_than_there_is),
		cmocka_unit_test(drains),
		cmocka_unit_test(serves_in_order_of_arrival),
		cmocka_unit_test(hands_surplus_to_the_waiting),
		cmocka_unit_test(leaves_the_line_when_the_time_is_up),
		cmocka_unit_test(tells_the_waiter),
		cmocka_unit_test(never_breaks_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
