/* SPDX-License-Identifier: PostgreSQL */
/* The status page: rows, stacks, and readers meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "status_child.h"
#include "trace/stack/stack.h"
#include "trace/status/page_dir.h"

#define THREADS 4

static struct status_pool pool_at(int fd, uint32_t row)
{
	struct status_pool told;

	MUST(pread(fd, &told, sizeof(told),
	           (off_t)(STATUS_POOLS_AT + (row - 1) * sizeof(told))) == sizeof(told));
	return told;
}

/* Written into the file, as a tool does. */
static void order(size_t at, uint64_t number)
{
	char path[512];
	int fd;

	MUST(files(".page", path) == 1);
	fd = open(path, O_WRONLY);
	MUST(fd >= 0 && pwrite(fd, &number, sizeof(number), (off_t)at) == sizeof(number));
	close(fd);
}

/* ---- rows ---- */

static void tell_a_life(void)
{
	uint64_t before_us = clock_wall_us();
	uint32_t pool = status_take_pool("app@db:5432/shop", 30, 10);
	uint32_t row = status_take_session(3, 4711, pool);
	struct status_lease lease = lease_of(12);
	struct status_session shown;
	struct status_pool told;
	struct status_head head;
	int fd = open_page();

	MUST(pool != 0 && row != 0);
	shown = session_at(fd, row);
	MUST(shown.state == STATUS_SESSION_IDLE && shown.backend == 4711 && shown.id == 3);
	lease.backend = 4712;
	lease.began_us = 31;
	lease.began_ns = 32;
	lease.wait_ns = 33;
	lease.stack = 34;
	status_lease_begun(row, &lease);
	status_statement(row, &said, "SELECT 1 FROM t");
	status_transaction(row, STATUS_TRANSACTION_FAILED);
	shown = session_at(fd, row);
	MUST(shown.state == STATUS_SESSION_LEASED && shown.lease == 12 && shown.spoken == 1);
	MUST(shown.backend == 4712 && shown.transaction == STATUS_TRANSACTION_FAILED);
	MUST(shown.generation % 2 == 0 && strcmp(shown.statement, "SELECT ...") == 0);
	MUST(shown.began_us == 31 && shown.began_ns == 32 && shown.wait_ns == 33);
	MUST(shown.stack == 34 && shown.tid == 5);
	status_backend(row, 4713);
	MUST(session_at(fd, row).backend == 4713);
	status_opened(pool);
	status_pool(pool, 5, 2, 1);
	status_pool(pool, 1, 6, 0);
	status_closed(pool, 1);
	status_waited(pool, 3000, true);
	status_waited(pool, 2000, false);
	status_lease_ended(row, &holds, 9 * NS_PER_US, 1);
	MUST(session_at(fd, row).state == STATUS_SESSION_IDLE);
	status_session_opened(row, 77);
	status_session_shared(row);
	MUST(session_at(fd, row).opened_ns == 77 && session_at(fd, row).shared == 1);
	MUST(status_order() == 0 && status_drain(pool) == 0 && status_drain(0) == 0);
	order(offsetof(struct status_head, order), 5);
	order(offsetof(struct status_head, drain), 6);
	order(STATUS_POOLS_AT + (pool - 1) * sizeof(told) + offsetof(struct status_pool, drain),
	      7);
	MUST(status_order() == 5 && status_drain(0) == 6 && status_drain(pool) == 7);
	status_drained(pool, 7, 88);
	MUST(pool_at(fd, pool).drained == 7 && pool_at(fd, pool).drained_ns == 88);
	told = pool_at(fd, pool);
	MUST(strcmp(told.label, "app@db:5432/shop") == 0 && told.limit == 30);
	MUST(told.in_use == 1 && told.idle == 6 && told.waiting == 0 && told.peak == 5);
	MUST(told.waits == 2 && told.wait_us == 5 && told.wait_max_us == 3);
	MUST(told.timeouts == 1 && told.closed[1] == 1);
	MUST(told.acquired == 1 && told.released == 1 && told.held_us == 9 && told.opened == 1);
	head = head_of(fd);
	MUST(status_is_page(&head));
	MUST(head.acquired == 0 && head.released == 0 && head.pid == getpid());
	MUST(head.created_us >= before_us && head.created_us <= clock_wall_us());
	MUST(strncmp(head.config, "profile=none size=7 ", 20) == 0);
	MUST(strcmp(head.reasons[1], "aged") == 0 && strcmp(head.program, "test") == 0);
	status_free_session(row, &holds);
	MUST(session_at(fd, row).state == STATUS_SESSION_FREE);
}

static void tells_a_life(void **state)
{
	(void)state;
	in_child(tell_a_life);
}

/* A row that is taken again tells nothing of the pool before. */
static void take_pool_again(void)
{
	uint32_t row = status_take_pool("app@db:5432/before", 30, 10);
	uint32_t session = status_take_session(3, 4711, row);
	struct status_lease lease = lease_of(1);
	struct status_pool told;
	int fd = open_page();

	status_lease_begun(session, &lease);
	status_lease_ended(session, &holds, 0, 1);
	status_lease_begun(session, &lease);
	MUST(page_dir_holds_leases(fd) && head_of(fd).acquired == 0);
	status_lease_ended(session, &holds, 0, 1);
	MUST(!page_dir_holds_leases(fd));
	status_free_session(session, &holds);

	status_pool(row, 3, 2, 1);
	status_opened(row);
	status_closed(row, 1);
	status_waited(row, 5000, false);
	status_free_pool(row);
	MUST(pool_at(fd, row).state == STATUS_POOL_FREE);
	MUST(head_of(fd).acquired == 2 && head_of(fd).released == 2);
	MUST(!page_dir_holds_leases(fd));
	MUST(status_take_pool("app@db:5432/now", 3, 1) == row);
	told = pool_at(fd, row);
	MUST(told.generation % 2 == 0 && told.state == STATUS_POOL_USED);
	MUST(strcmp(told.label, "app@db:5432/now") == 0 && told.limit == 3 && told.size == 1);
	MUST(told.in_use + told.idle + told.waiting + told.peak == 0);
	MUST(told.waits + told.wait_us + told.wait_max_us + told.timeouts == 0);
	MUST(told.opened + told.closed[1] + told.acquired + told.released == 0);
	MUST(told.holds[0] + told.waited[0] == 0);
}

static void a_row_of_a_pool_begins_anew(void **state)
{
	(void)state;
	in_child(take_pool_again);
}

static uint64_t sum_of(const uint64_t buckets[STATUS_BUCKETS])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STATUS_BUCKETS; i++) {
		sum += buckets[i];
	}
	return sum;
}

static void hold_and_wait(void)
{
	uint32_t pool = status_take_pool("app@db:5432/shop", 30, 10);
	uint32_t row = status_take_session(3, 4711, pool);
	struct status_holds own = {0};
	struct status_pool told;
	uint64_t now_ns = 100 * NS_PER_MS;
	int fd = open_page();

	/* The first is told, and what comes soon after it is not yet. */
	status_lease_ended(row, &own, 0, now_ns);
	MUST(pool_at(fd, pool).holds[0] == 1);
	for (unsigned i = 0; i < STATUS_BUCKETS - 1; i++) {
		status_lease_ended(row, &own, status_bucket_ns(i), now_ns + 1);
		status_lease_ended(row, &own, status_bucket_ns(i) + 1, now_ns + 1);
	}
	MUST(sum_of(pool_at(fd, pool).holds) == 1);
	status_lease_ended(row, &own, UINT64_MAX, now_ns + NS_PER_MS);
	told = pool_at(fd, pool);
	MUST(sum_of(told.holds) == 2 * STATUS_BUCKETS);
	for (unsigned i = 0; i < STATUS_BUCKETS; i++) {
		MUST(told.holds[i] == 2);
	}
	/* With its session's end at the latest. */
	status_lease_ended(row, &own, 1, now_ns + NS_PER_MS);
	MUST(pool_at(fd, pool).holds[0] == 2);
	status_free_session(row, &own);
	MUST(pool_at(fd, pool).holds[0] == 3);

	status_waited(pool, status_bucket_ns(3), true);
	status_waited(pool, status_bucket_ns(3) + 1, false);
	told = pool_at(fd, pool);
	MUST(told.waited[3] == 1 && told.waited[4] == 1 && sum_of(told.waited) == told.waits);
}

static void counts_in_histograms(void **state)
{
	(void)state;
	in_child(hold_and_wait);
}

static void speak(void)
{
	static const char secret[] = "ALTER ROLE app PASSWORD 'hunter2'";
	static const char long_one[] =
		"SELECT b, c FROM only_so_much_of_it_is_looked_at, there";
	uint32_t row = status_take_session(1, 1, 0);
	struct status_lease lease = lease_of(1);
	int fd = open_page();

	status_lease_begun(row, &lease);
	MUST(session_at(fd, row).spoken == 0);
	status_statement(row, &said, secret);
	MUST(strcmp(session_at(fd, row).statement, "ALTER ROLE app PASSWORD ...") == 0);
	status_lease_ended(row, &holds, 1, 1);
	status_lease_begun(row, &lease);
	MUST(session_at(fd, row).spoken == 0);
	status_statement(row, &said, secret); /* the same, told in another way */
	MUST(session_at(fd, row).spoken == 1);
	status_statement(row, &said, "ALTER ROLE app");
	MUST(strcmp(session_at(fd, row).statement, "ALTER ROLE app") == 0);
	status_statement(row, &said, "");
	MUST(session_at(fd, row).statement[0] == '\0');
	status_statement(row, &said, long_one);
	MUST(strcmp(session_at(fd, row).statement,
	            "SELECT b, c FROM only_so_much_of_it_is_looked_at...") == 0);
}

static void shows_first_words_only(void **state)
{
	(void)state;
	in_child(speak);
}

static void take_all(void)
{
	uint32_t row = status_take_session(1, 0, 0);
	uint32_t n = 0;
	struct status_lease lease = {0};
	int fd = open_page();

	for (; row != 0; row = status_take_session(1, 0, 0)) {
		MUST(row == ++n && row <= head_of(fd).sessions);
	}
	MUST(n == STATUS_SESSIONS_MAX);
	status_lease_begun(0, &lease); /* without a row it is counted all the same */
	MUST(head_of(fd).acquired == 1 && head_of(fd).untold == 1 && head_of(fd).sessions == n);
	status_free_session(77, &holds);
	status_free_session(777, &holds);
	MUST(status_take_session(1, 0, 0) == 77);
	MUST(status_take_session(1, 0, 0) == 777);
}

static void has_an_end(void **state)
{
	(void)state;
	in_child(take_all);
}

static atomic_uint seen_whole;

/* For a while, and until somebody has read something of it. */
static void *churn(void *arg)
{
	uint64_t id = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < 3000 || atomic_load(&seen_whole) == 0; i++) {
		uint32_t row = status_take_session(id, 0, 0);
		struct status_lease lease = lease_of(id);

		MUST(row != 0);
		status_lease_begun(row, &lease);
		status_lease_ended(row, &holds, 1, 1);
		status_free_session(row, &holds);
	}
	return NULL;
}

/* What is read, and is still, was written by one of them as a whole. */
static void *watch(void *arg)
{
	atomic_bool *over = arg;
	int fd = open_page();

	while (!atomic_load(over)) {
		struct status_session a = session_at(fd, 1);
		struct status_session b = session_at(fd, 1);

		if (a.generation % 2 == 0 && memcmp(&a, &b, sizeof(a)) == 0) {
			atomic_fetch_add(&seen_whole, 1);
			MUST(a.state != STATUS_SESSION_LEASED ||
			     (a.lease == a.id && a.began_us == a.id && a.began_ns == a.id));
		}
	}
	close(fd);
	return NULL;
}

static void churn_in_threads(void)
{
	pthread_t threads[THREADS];
	pthread_t watcher;
	atomic_bool over = false;

	status_free_session(status_take_session(1, 0, 0), &holds);
	MUST(pthread_create(&watcher, NULL, watch, &over) == 0);
	for (uintptr_t i = 0; i < THREADS; i++) {
		MUST(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	atomic_store(&over, true);
	pthread_join(watcher, NULL);
}

static void is_read_while_it_is_written(void **state)
{
	(void)state;
	in_child(churn_in_threads);
}

/* ---- stacks ---- */

/* Walks through the stacks: each is a whole one, their numbers are 1, 2, ...; how many. */
static uint32_t count_stacks(int fd, uint32_t bytes)
{
	struct status_stack entry;
	uint32_t n = 0;
	uint32_t at = 0;
	char begin[8];

	while (at < bytes) {
		off_t place = (off_t)STATUS_STACKS_AT + at;

		MUST(pread(fd, &entry, sizeof(entry), place) == sizeof(entry));
		MUST(pread(fd, begin, 8, place + (off_t)sizeof(entry)) == 8);
		MUST(entry.id == ++n && memcmp(begin, "frames=\"", 8) == 0);
		at += (uint32_t)(sizeof(entry) + entry.bytes + 7) & ~7U;
	}
	MUST(at == bytes);
	return n;
}

/* One for each address in the C library, by names long and short, until there is no room. */
static void tell_stacks(void)
{
	int fd = status_take_session(1, 1, 0) != 0 ? open_page() : -1;
	uint32_t before = 0;
	uint32_t now = 0;

	for (uintptr_t i = 0; i == 0 || before < now; i++) {
		uint32_t stack = stack_capture((const char *)(uintptr_t)printf + i, 0);

		before = now;
		MUST(stack == i + 1);
		status_stack(stack);
		now = head_of(fd).stack_bytes;
		status_stack(stack);
		MUST(head_of(fd).stack_bytes == now); /* once is enough */
	}
	MUST(now <= STATUS_STACKS_BYTES && now > STATUS_STACKS_BYTES - 8192);
	MUST(count_stacks(fd, now) > 1000);
}

static void stacks_are_told_while_there_is_room(void **state)
{
	(void)state;
	in_child(tell_stacks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_life),
		cmocka_unit_test(a_row_of_a_pool_begins_anew),
		cmocka_unit_test(counts_in_histograms),
		cmocka_unit_test(shows_first_words_only),
		cmocka_unit_test(has_an_end),
		cmocka_unit_test(is_read_while_it_is_written),
		cmocka_unit_test(stacks_are_told_while_there_is_room),
	};

	return cmocka_run_group_tests(tests, set_up, clean_up);
}
