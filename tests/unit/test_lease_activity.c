/* SPDX-License-Identifier: PostgreSQL */
/* What is done on leases, and what an interpreter's end released. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "leases.h"

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
	lease_note_transaction(&activity, LEASE_TRANSACTION_FAILED, 1);
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

static void assert_times(const struct lease *copy, uint64_t now_ns, uint64_t query_ns,
                         uint64_t transaction_ns)
{
	uint64_t query;
	uint64_t transaction;

	assert_true(lease_times(copy, now_ns, &query, &transaction));
	assert_int_equal(query, query_ns);
	assert_int_equal(transaction, transaction_ns);
}

static void times_what_is_done(void **state)
{
	struct lease shown;
	struct lease *entry;
	struct lease ended;

	(void)state;
	make_noted(0);
	assert_times(&(struct lease){.timed = true}, MOMENT, 0, 0);
	lease_note_transaction(&activity, LEASE_TRANSACTION_ACTIVE, 100);
	lease_note_transaction(&activity, LEASE_TRANSACTION_ACTIVE, 150);
	shown = oldest();
	assert_times(&shown, 200, 100, 0);
	/* The clock was read before the change was. */
	assert_times(&shown, 90, 0, 0);
	lease_note_transaction(&activity, LEASE_TRANSACTION_OPEN, 300);
	shown = oldest();
	assert_times(&shown, 1000, 200, 700);
	lease_note_transaction(&activity, LEASE_TRANSACTION_FAILED, 400);
	lease_note_transaction(&activity, LEASE_TRANSACTION_IDLE, 500);
	shown = oldest();
	assert_times(&shown, 1000, 200, 200);
	lease_note_transaction(&activity, LEASE_TRANSACTION_UNKNOWN, 600);
	lease_note_transaction(&activity, LEASE_TRANSACTION_OPEN, MOMENT - 5);
	/* Until its end, however late that is told. */
	end(0, &entry, &ended);
	assert_times(&ended, MOMENT + 100, 200, 205);
	begin(entry);
	shown = oldest();
	assert_times(&shown, MOMENT, 0, 0);
}

static void does_not_time_what_it_does_not_see(void **state)
{
	struct lease *entry;
	struct lease ended;
	uint64_t query;
	uint64_t transaction;

	(void)state;
	begin(make(0, pool_a));
	end(0, &entry, &ended);
	assert_false(lease_times(&ended, MOMENT, &query, &transaction));
	make_noted(1)->crossed_fork = true;
	end(1, &entry, &ended);
	assert_false(lease_times(&ended, MOMENT, &query, &transaction));
}

static const char statement_a[] =
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char statement_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static atomic_bool stop;

static void *write_statements(void *arg)
{
	while (!atomic_load(&stop)) {
		lease_note_statement(&activity, statement_a);
		lease_note_transaction(&activity, LEASE_TRANSACTION_ACTIVE, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(tells_what_is_done, forget_all),
		cmocka_unit_test_teardown(bears_a_half_written_statement, forget_all),
		cmocka_unit_test_teardown(times_what_is_done, forget_all),
		cmocka_unit_test_teardown(does_not_time_what_it_does_not_see, forget_all),
		cmocka_unit_test_teardown(shows_whole_statements_only, forget_all),
		cmocka_unit_test_teardown(keeps_what_was_late, forget_all),
		cmocka_unit_test_teardown(forgets_what_was_late_and_was_not, forget_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
