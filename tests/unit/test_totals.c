/* SPDX-License-Identifier: PostgreSQL */
/* The totals of a process: each number in its place, in the log and in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "log_child.h"
#include "trace/lease/counters.h"
#include "trace/report/totals.h"

static const char *name_reason(unsigned reason)
{
	return reason == 1 ? "aged" : "broken";
}

/* What was counted, in words. */
static bool says(const char *words)
{
	char buf[512];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	totals_put(&t);
	return strcmp(buf, words) == 0;
}

/* No two numbers are the same. */
static void count_things(void)
{
	for (int i = 0; i < 9; i++) {
		counters_add(COUNTER_OPENED, 1);
	}
	for (int i = 0; i < 8; i++) {
		counters_add(COUNTER_OPEN_FAILED, 1);
	}
	for (int i = 0; i < 7; i++) {
		counters_closed(1 + i / 4);
	}
	counters_closed(COUNTERS_REASONS); /* there is no such reason */
	for (int i = 0; i < 3; i++) {
		counters_add(COUNTER_WAITS, 1);
		counters_waited((uint64_t)(i == 1 ? 5 : 4) * NS_PER_MS);
	}
	counters_add(COUNTER_TIMEOUTS, 1);
	counters_in_use(6, 20);
	counters_in_use(6, 30); /* as many again is no new peak */
}

static int gives_each_its_number(void)
{
	const struct lease_totals leases = {.begun = 12, .ended = 11};

	record_configure(log_name, LEVEL_INFO, "test");
	record_open();
	counters_name_reasons(name_reason, 3);
	count_things();
	totals_log(&leases);
	CHECK(parse_last(log_name) && has("event", "totals"));
	CHECK(has("acquired", "12") && has("released", "11"));
	CHECK(has("opened", "9") && has("open_failed", "8"));
	CHECK(has("closed", "7") && has("reasons", "aged 4, broken 3"));
	CHECK(has("peak", "6") && has("limit", "20"));
	CHECK(has("waits", "3") && has("waited_us", "13000") && has("longest_us", "5000"));
	CHECK(has("timeouts", "1"));
	CHECK(says("9 sessions opened, 7 closed (aged 4, broken 3); at most 6 of 20 in use at "
	           "once; 3 waits, the longest 5.0 ms, 1 timeout"));
	return 0;
}

CHILD_TEST(test_numbers, gives_each_its_number)

/* What does not exist is not told: reasons without a closing, a limit without one. */
static int leaves_out(void)
{
	const struct lease_totals leases = {.begun = 1};

	record_configure(log_name, LEVEL_INFO, "test");
	record_open();
	counters_in_use(1, 0);
	totals_log(&leases);
	CHECK(parse_last(log_name) && has("peak", "1") && has("limit", "(none)"));
	CHECK(has("reasons", "(none)"));
	CHECK(says(
		"0 sessions opened, 0 closed; at most 1 in use at once; 0 waits, 0 timeouts"));
	return 0;
}

CHILD_TEST(test_what_there_is_not, leaves_out)

static int begins_anew(void)
{
	const struct lease_totals none = {.begun = 0};

	record_configure(log_name, LEVEL_INFO, "test");
	record_open();
	counters_name_reasons(name_reason, 3);
	count_things();
	counters_fork_child();
	totals_log(&none); /* it has done nothing: not a line */
	CHECK(contents_of(log_name)[0] == '\0');
	counters_add(COUNTER_OPEN_FAILED, 1);
	totals_log(&none);
	CHECK(parse_last(log_name) && has("open_failed", "1") && has("opened", "0"));
	CHECK(has("closed", "0") && has("peak", "0") && has("limit", "(none)"));
	CHECK(has("waits", "0") && has("waited_us", "0") && has("longest_us", "0"));
	CHECK(has("timeouts", "0") && count_lines(contents_of(log_name)) == 1);
	return 0;
}

CHILD_TEST(test_child, begins_anew)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_what_there_is_not),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
