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
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/lease/lease.h"
#include "trace/lease/snapshot.h"

#define MANY 200

/* When and where leases are given back. */
#define MOMENT (UINT64_C(1) << 60)
#define PLACE  7

static const char pool_a[] = "app@a:5432/x";
static const char pool_b[] = "app@a:5432/x"; /* equal text, another pool */

static char conns[MANY];
static struct lease leases[MANY];

static struct lease *make(size_t i, const char *pool)
{
	struct lease *vanished;

	memset(&leases[i], 0, sizeof(leases[i]));
	leases[i].conn = &conns[i];
	leases[i].pool = pool;
	leases[i].pooled = true;
	leases[i].session = i;
	assert_true(lease_register(&leases[i], &vanished));
	assert_null(vanished);
	return &leases[i];
}

static uint64_t begin(struct lease *lease)
{
	const struct lease_origin origin = {
		.backend_pid = 4711, .now_ns = clock_monotonic_ns(), .wait_ns = 12, .stack = 3};

	return lease_begin(lease, &origin);
}

static enum lease_state end(size_t i, struct lease **entry, struct lease *ended)
{
	return lease_end(&conns[i], MOMENT, PLACE, entry, ended);
}

static size_t open_count(struct lease_totals *totals)
{
	size_t count;

	struct lease *open = lease_holders(&count, totals);

	lease_snapshot_free(open, count);
	return count;
}

/* The oldest open lease, as a report shows it. */
static struct lease oldest(void)
{
	struct lease_totals totals;
	size_t count;
	struct lease *copies = lease_holders(&count, &totals);
	struct lease first = {0};

	if (count > 0) {
		first = copies[0];
	}
	lease_snapshot_free(copies, count);
	return first;
}

static int forget_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		lease_forget(&leases[i]);
	}
	return 0;
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

/* ---- activity ---- */

static struct lease_activity activity;

static struct lease *make_noted(size_t i)
{
	struct lease *lease = make(i, pool_a);

	lease->activity = &activity;
	begin(lease);
	return lease;
}

static void tells_what_is_done(void **state)
{
	struct lease_totals totals;
	struct lease shown;
	struct lease *copies;
	size_t count;

	(void)state;
	make_noted(0);
	shown = oldest();
	assert_int_equal(shown.transaction, LEASE_TRANSACTION_IDLE);
	assert_string_equal(shown.statement, "");
	lease_note_statement(&activity, "SELECT a, 's3cret'");
	lease_note_transaction(&activity, LEASE_TRANSACTION_FAILED);
	copies = lease_holders(&count, &totals);
	assert_string_equal(copies[0].statement, "SELECT a, ...");
	assert_int_equal(copies[0].transaction, LEASE_TRANSACTION_FAILED);
	lease_snapshot_free(copies, count);
	for (size_t len = 0; len <= 2 * LEASE_NOTED_BYTES; len++) {
		char *text = calloc(1, len + 1);

		memset(text, 'b', len);
		lease_note_statement(&activity, text);
		shown = oldest();
		assert_memory_equal(shown.statement, text,
		                    len < LEASE_STATEMENT_MAX - 4 ? len
		                                                  : LEASE_STATEMENT_MAX - 4);
		free(text);
	}
	lease_note_statement(&activity, "SELECT 1");
	lease_forget(&leases[0]);
	make_noted(0);
	shown = oldest();
	assert_string_equal(shown.statement, "");
	assert_int_equal(shown.transaction, LEASE_TRANSACTION_IDLE);
}

/* As a fork leaves it that came while another thread was writing. */
static void bears_a_half_written_statement(void **state)
{
	struct lease shown;

	(void)state;
	make_noted(0);
	atomic_store(&activity.turn, 7);
	shown = oldest();
	assert_string_equal(shown.statement, "");
	lease_note_statement(&activity, "COMMIT");
	shown = oldest();
	assert_string_equal(shown.statement, "COMMIT");
}

static const char statement_a[] =
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char statement_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static atomic_bool stop;

static void *write_statements(void *arg)
{
	while (!atomic_load(&stop)) {
		lease_note_statement(&activity, statement_a);
		lease_note_transaction(&activity, LEASE_TRANSACTION_ACTIVE);
		lease_note_statement(&activity, statement_b);
	}
	return arg;
}

static void shows_whole_statements_only(void **state)
{
	struct lease shown;
	pthread_t writer;
	size_t seen = 0;

	(void)state;
	make_noted(0);
	pthread_create(&writer, NULL, write_statements, NULL);
	for (int i = 0; i < 20000 || seen == 0; i++) {
		shown = oldest();
		if (shown.statement[0] != '\0') {
			seen++;
			assert_true(strcmp(shown.statement, statement_a) == 0 ||
			            strcmp(shown.statement, statement_b) == 0);
		}
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
}

static void keeps_what_was_late(void **state)
{
	struct lease_totals totals;
	struct lease *copies;
	struct lease *entry;
	struct lease ended;
	size_t count;
	uint64_t id;

	(void)state;
	begin(make(0, pool_a));
	id = make_noted(1)->id;
	lease_note_statement(&activity, "SELECT a");
	end(1, &entry, &ended);
	lease_read_activity(&ended);
	lease_keep_late(&ended);
	lease_forget(entry);
	lease_note_statement(&activity, "another's");
	copies = lease_holders(&count, &totals);
	assert_int_equal(count, 1);
	lease_snapshot_free(copies, count);
	copies = lease_leaks(&count, &totals);
	assert_int_equal(count, 2);
	assert_false(copies[0].at_exit);
	assert_true(copies[1].at_exit);
	assert_true(copies[1].ended_ns >= copies[1].began_ns);
	assert_int_equal(copies[1].id, id);
	assert_string_equal(copies[1].statement, "SELECT a");
	lease_snapshot_free(copies, count);
	for (int i = 0; i < LEASE_LATE_MAX + 10; i++) {
		lease_keep_late(&ended);
	}
	copies = lease_leaks(&count, &totals);
	assert_int_equal(count, LEASE_LATE_MAX + 1);
	lease_snapshot_free(copies, count);
}

/* Its interpreter ended, and it has another one. */
static void forgets_what_was_late_and_was_not(void **state)
{
	struct lease_totals totals;
	struct lease *copies;
	struct lease *entry;
	struct lease ended;
	size_t count;

	(void)state;
	begin(make(0, pool_a));
	end(0, &entry, &ended);
	lease_keep_late(&ended);
	ended.tid++;
	lease_keep_late(&ended);
	begin(entry);
	copies = lease_leaks(&count, &totals);
	assert_int_equal(count, 2);
	assert_false(copies[0].at_exit);
	assert_int_equal(copies[1].tid, ended.tid);
	lease_snapshot_free(copies, count);
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
		cmocka_unit_test_teardown(tells_what_is_done, forget_all),
		cmocka_unit_test_teardown(bears_a_half_written_statement, forget_all),
		cmocka_unit_test_teardown(shows_whole_statements_only, forget_all),
		cmocka_unit_test_teardown(keeps_what_was_late, forget_all),
		cmocka_unit_test_teardown(forgets_what_was_late_and_was_not, forget_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
