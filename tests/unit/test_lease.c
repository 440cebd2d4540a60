/* SPDX-License-Identifier: PostgreSQL */
/* The lease table: states, numbers, totals, snapshots, forks, many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leases.h"

static const char pool_b[] = "app@a:5432/x"; /* equal text, another pool */

static size_t open_count(struct lease_totals *totals)
{
	size_t count;

	struct lease *open = lease_holders(&count, totals);

	lease_snapshot_free(open, count);
	return count;
}

static void goes_through_its_states(void **state)
{
	struct lease *lease;
	struct lease *entry;
	struct lease ended;
	uint64_t id;

	(void)state;
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_UNKNOWN);
	assert_null(entry);
	assert_int_equal(end(0, &entry, &ended), LEASE_UNKNOWN);
	lease = make(0, pool_a);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_IDLE);
	assert_ptr_equal(entry, lease);
	assert_int_equal(end(0, &entry, NULL), LEASE_IDLE);

	id = begin(lease);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_OPEN);
	lease_set_backend(lease, 4712);
	assert_int_equal(end(0, &entry, &ended), LEASE_OPEN);
	assert_ptr_equal(entry, lease);
	assert_true(ended.open);
	assert_int_equal(ended.id, id);
	assert_int_equal(ended.backend_pid, 4712);
	assert_int_equal(ended.pid, getpid());
	assert_int_equal(ended.tid, gettid());
	assert_int_equal(ended.stack, 3);
	assert_int_equal(ended.wait_ns, 12);
	assert_null(ended.hh.tbl);
	assert_int_equal(ended.ended_ns, MOMENT);
	assert_true(lease_misused(&conns[0], &ended));
	assert_int_equal(ended.end_stack, PLACE);
	assert_int_equal(end(0, &entry, NULL), LEASE_IDLE);
	assert_int_equal(begin(lease), id + 1);
	lease_forget(lease);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_UNKNOWN);
	lease_forget(lease);
}

static void returns_what_vanished(void **state)
{
	struct lease_totals before;
	struct lease_totals after;
	struct lease *old = make(0, pool_a);
	struct lease *vanished;
	struct lease *entry;
	struct lease fresh = {.conn = &conns[0], .pool = pool_b};

	(void)state;
	open_count(&before);
	begin(old);
	assert_true(lease_register(&fresh, &vanished));
	assert_ptr_equal(vanished, old);
	assert_true(vanished->open);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_IDLE);
	assert_ptr_equal(entry, &fresh);
	lease_forget(vanished);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_IDLE);
	assert_int_equal(open_count(&after), 0);
	assert_int_equal(after.begun - before.begun, 1);
	assert_int_equal(after.ended - before.ended, 1);
	assert_true(lease_register(&fresh, &vanished));
	assert_null(vanished);
	lease_forget(&fresh);
}

static void snapshots_oldest_first(void **state)
{
	struct lease_totals totals;
	struct lease *entry;
	struct lease *copies;
	uint64_t ids[6];
	size_t count = 99;

	(void)state;
	assert_null(lease_holders(&count, &totals));
	assert_int_equal(count, 0);
	for (size_t i = 6; i-- > 0;) {
		ids[i] = begin(make(i, i % 2 == 0 ? pool_a : pool_b));
	}
	make(6, pool_a);
	end(5, &entry, NULL);
	copies = lease_holders(&count, &totals);
	assert_int_equal(count, 5);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(copies[i].id, ids[4 - i]);
		assert_null(copies[i].hh.tbl);
	}
	lease_snapshot_free(copies, count);
}

static size_t seen_idle;

static bool keep_third(struct lease *lease)
{
	return lease->conn == &conns[3];
}

static void count_idle(struct lease *lease)
{
	struct lease *entry;

	seen_idle += lease_find(lease->conn, &entry) == LEASE_UNKNOWN ? 1 : 1000;
	memset(lease, 0xff, sizeof(*lease));
}

/* What the child of a fork must find; returns its exit status. */
static int judge_child(uint64_t parent_id)
{
	const struct lease_origin origin = {.stack = 1};
	struct lease fresh = {.conn = &fresh, .pool = pool_a};
	struct lease_totals totals;
	struct lease *vanished;
	struct lease *entry;
	struct lease ended;

	lease_fork_child(keep_third, count_idle);
	if (seen_idle != 2 || open_count(&totals) != 0 || totals.begun != 0) {
		return 1;
	}
	if (lease_find(&conns[1], &entry) != LEASE_OPEN || !entry->crossed_fork) {
		return 2;
	}
	if (lease_find(&conns[0], &entry) != LEASE_UNKNOWN ||
	    lease_find(&conns[3], &entry) != LEASE_IDLE) {
		return 3;
	}
	if (!lease_register(&fresh, &vanished) || lease_begin(&fresh, &origin) <= parent_id) {
		return 4;
	}
	if (fresh.pid != getpid() || fresh.tid != getpid() || fresh.crossed_fork) {
		return 5;
	}
	if (end(1, &entry, &ended) != LEASE_OPEN || !ended.crossed_fork) {
		return 6;
	}
	if (open_count(&totals) != 1 || totals.begun != 1 || totals.ended != 0) {
		return 7;
	}
	return oldest().conn == &fresh ? 0 : 8;
}

static void survives_a_fork(void **state)
{
	struct lease *entry;
	uint64_t id;
	int status;
	pid_t child;

	(void)state;
	make(0, pool_a);
	id = begin(make(1, pool_a));
	make(2, pool_a);
	make(3, pool_a);
	lease_fork_prepare();
	child = fork();
	if (child == 0) {
		_exit(judge_child(id));
	}
	lease_fork_parent();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(lease_find(&conns[0], &entry), LEASE_IDLE);
	assert_false(entry->crossed_fork);
	assert_int_equal(lease_find(&conns[1], &entry), LEASE_OPEN);
	assert_true(entry->crossed_fork);
	end(1, &entry, NULL);
	begin(entry);
	assert_false(entry->crossed_fork);
}

#define THREADS 8
#define ROUNDS  2000

static atomic_uint_fast64_t winners;

static void *end_everything(void *arg)
{
	pthread_barrier_t *barrier = arg;
	struct lease *entry;

	for (size_t i = 0; i < MANY; i++) {
		pthread_barrier_wait(barrier);
		if (end(i, &entry, NULL) == LEASE_OPEN) {
			atomic_fetch_add(&winners, 1);
		}
	}
	return NULL;
}

static void lets_one_of_many_end_a_lease(void **state)
{
	pthread_barrier_t barrier;
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		begin(make(i, pool_a));
	}
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, end_everything, &barrier),
		                 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	pthread_barrier_destroy(&barrier);
	assert_int_equal(atomic_load(&winners), MANY);
}

static void *lease_own(void *arg)
{
	size_t i = (size_t)((struct lease *)arg - leases);
	const struct lease_origin origin = {.stack = 1};
	struct lease ended;
	struct lease *entry;
	struct lease *vanished;
	struct lease_totals totals;

	for (int round = 0; round < ROUNDS; round++) {
		leases[i] = (struct lease){.conn = &conns[i], .pool = pool_a};
		if (!lease_register(&leases[i], &vanished) || vanished != NULL) {
			return "not registered";
		}
		lease_begin(&leases[i], &origin);
		open_count(&totals);
		if (end(i, &entry, &ended) != LEASE_OPEN || ended.tid != gettid()) {
			return "not mine";
		}
		lease_forget(&leases[i]);
	}
	return NULL;
}

static void counts_right_with_many_threads(void **state)
{
	struct lease_totals before;
	struct lease_totals after;
	pthread_t threads[THREADS];
	void *complaint;

	(void)state;
	open_count(&before);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, lease_own, &leases[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &complaint);
		assert_null(complaint);
	}
	assert_int_equal(open_count(&after), 0);
	assert_int_equal(after.begun - before.begun, THREADS * ROUNDS);
	assert_int_equal(after.ended - before.ended, THREADS * ROUNDS);
}

static void names_each_overdue_lease_once(void **state)
{
	struct lease out[4];
	uint64_t oldest_ns;
	uint64_t seen = 0;

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		begin(make(i, pool_a));
		leases[i].began_ns = 100 + i;
	}
	make(7, pool_a); /* not open */
	assert_int_equal(lease_name_overdue(99, out, 4, &oldest_ns), 0);
	assert_int_equal(oldest_ns, 100);
	assert_int_equal(lease_name_overdue(105, out, 4, &oldest_ns), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_true(out[i].named);
		seen |= 1u << out[i].session;
	}
	assert_int_equal(lease_name_overdue(105, out, 4, &oldest_ns), 2);
	assert_int_equal(oldest_ns, 106);
	seen |= 1u << out[0].session | 1u << out[1].session;
	assert_int_equal(seen, 0x3f);
	assert_int_equal(lease_name_overdue(105, out, 4, &oldest_ns), 0);
	assert_int_equal(oldest_ns, 106);
	assert_int_equal(lease_name_overdue(106, out, 4, &oldest_ns), 1);
	assert_int_equal(out[0].session, 6);
	assert_int_equal(oldest_ns, LEASE_NONE);
	/* The next lease on the same connection is another one. */
	end(6, &(struct lease *){NULL}, NULL);
	begin(&leases[6]);
	leases[6].began_ns = 90;
	assert_int_equal(lease_name_overdue(90, out, 4, &oldest_ns), 1);
	assert_int_equal(oldest_ns, LEASE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(goes_through_its_states, forget_all),
		cmocka_unit_test_teardown(returns_what_vanished, forget_all),
		cmocka_unit_test_teardown(snapshots_oldest_first, forget_all),
		cmocka_unit_test_teardown(names_each_overdue_lease_once, forget_all),
		cmocka_unit_test_teardown(survives_a_fork, forget_all),
		cmocka_unit_test_teardown(lets_one_of_many_end_a_lease, forget_all),
		cmocka_unit_test_teardown(counts_right_with_many_threads, forget_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
