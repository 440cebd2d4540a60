/* SPDX-License-Identifier: PostgreSQL */
/* The log's lines: their format, quoting, dates and cutting, from one thread and many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"
#include "trace/stack/stack.h"

static uint64_t wall_us; /* what the wall clock shows; 0 = the truth */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock == CLOCK_REALTIME && wall_us != 0) {
		ts->tv_sec = (time_t)(wall_us / 1000000);
		ts->tv_nsec = (long)(wall_us % 1000000 * 1000);
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

static int line_format(void)
{
	char pid[16];
	struct record r;
	struct stat st;

	snprintf(pid, sizeof(pid), "%d", getpid());
	record_configure(log_name, LEVEL_INFO, "my app");
	record_open();
	CHECK(stat(log_name, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(record_wants(LEVEL_ERROR) && record_wants(LEVEL_INFO));
	CHECK(!record_wants(LEVEL_DEBUG) && !record_wants(LEVEL_OFF));
	CHECK(!record_begin(&r, LEVEL_DEBUG, "no"));
	CHECK(!record_is_stderr());
	CHECK(record_begin(&r, LEVEL_WARNING, "acquire"));
	record_u64(&r, "big", UINT64_MAX);
	record_i64(&r, "small", INT64_MIN);
	record_us(&r, "wait_us", 1999999);
	record_str(&r, "pool", "app@db:5432/shop");
	record_str(&r, "none", NULL);
	record_pairs(&r, "size=10  route=\"a b\\\" c\" line=\"x\ny\"");
	record_stack(&r, "stack", 0);
	record_stack(&r, "stack", 12345);
	errno = 42;
	record_end(&r);
	CHECK(errno == 42);
	CHECK(parse_last(log_name) && count_lines(contents) == 1);
	CHECK(strstr(contents, "pool=app@db:5432/shop ") != NULL);
	CHECK(has("level", "warning") && has("program", "my app") && has("event", "acquire"));
	CHECK(has("pid", pid) && has("tid", pid));
	CHECK(has("big", "18446744073709551615") && has("small", "-9223372036854775808"));
	CHECK(has("wait_us", "1999") && has("none", "") && has("stack", "(none)"));
	CHECK(has("size", "10") && has("route", "a b\" c") && has("line", "x y"));
	return 0;
}

static int all_bytes(void)
{
	char value[256];
	struct record r;

	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	for (int c = 1; c < 256; c++) {
		value[c - 1] = (char)c;
	}
	value[255] = '\0';
	CHECK(record_begin(&r, LEVEL_INFO, "e"));
	record_str(&r, "value", value);
	record_end(&r);
	CHECK(parse_last(log_name) && has("value", value) && count_lines(contents) == 1);
	for (int c = 1; c < 256; c++) {
		value[0] = (char)c;
		value[1] = '\0';
		CHECK(record_begin(&r, LEVEL_INFO, "e"));
		record_str(&r, "value", value);
		record_end(&r);
		CHECK(parse_last(log_name) && has("value", value));
	}
	return 0;
}

static int all_days(void)
{
	char wanted[64];
	struct tm tm;

	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	for (uint64_t day = 0; day < 60000; day += day % 365 < 3 ? 1 : 13) {
		time_t t = (time_t)(day * 86400 + day % 86400);

		wall_us = (uint64_t)t * 1000000 + 1 + day;
		put_line("e");
		if (day % 1024 == 0 || day > 59900) {
			CHECK(parse_last(log_name));
			gmtime_r(&t, &tm);
			strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%S.", &tm);
			snprintf(wanted + 20, 44, "%06uZ", (unsigned)(1 + day));
			CHECK(has("time", wanted));
			CHECK(truncate(log_name, 0) == 0);
		}
	}
	for (int year = 1971; year < 2402; year++) {
		struct tm last_of_february = {.tm_year = year - 1900, .tm_mon = 2};
		time_t t = timegm(&last_of_february) - 1;

		wall_us = (uint64_t)t * 1000000 + 999999;
		CHECK(truncate(log_name, 0) == 0);
		put_line("e");
		gmtime_r(&t, &tm);
		strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%S.999999Z", &tm);
		CHECK(parse_last(log_name) && has("time", wanted));
	}
	return 0;
}

static int cut_lines(void)
{
	static char value[RECORD_MAX + 400];
	static const char *const units[] = {"a", " ", "\"\\", "\x01\x02", "a b=\n"};
	struct record r;

	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	for (size_t n = 3700; n < 4300; n++) {
		for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
			value[0] = '\0';
			for (size_t i = 0; i < n / (u == 3 ? 8 : 1 + u % 2); i++) {
				value[i] = units[u][i % strlen(units[u])];
				value[i + 1] = '\0';
			}
			CHECK(truncate(log_name, 0) == 0);
			CHECK(record_begin(&r, LEVEL_INFO, "e"));
			record_str(&r, "value", value);
			record_str(&r, "s", "x y");
			record_str(&r, "w", "xy");
			record_u64(&r, "n", 1234567);
			record_pairs(&r, "p=1 q=\"a b\" r=3");
			record_end(&r);
			CHECK(parse_last(log_name));
			CHECK(strlen(contents) <= RECORD_MAX && count_lines(contents) == 1);
			CHECK(strncmp(value_of("value"), value, strlen(value_of("value"))) ==
			      0);
			CHECK(has("s", "x y") || has("s", "x ") || has("s", "x") ||
			      has("s", "") || has("s", "(none)"));
			CHECK(has("n", "1234567") || has("n", "(none)"));
			CHECK(has("q", "a b") || has("q", "(none)"));
			CHECK(has("r", "(none)") || (has("r", "3") && has("value", value)));
		}
	}
	return 0;
}

static int names(void)
{
	char wanted[PATH_MAX];
	char host[HOST_NAME_MAX + 1];
	struct stat st;

	gethostname(host, sizeof(host));
	CHECK(chdir(log_folder) == 0);
	record_configure("%n-%p-%h-%%-%z", LEVEL_INFO, "a/b");
	record_open();
	CHECK(chdir("/") == 0);
	snprintf(wanted, sizeof(wanted), "%s/a_b-%d-%s-%%-%%z", log_folder, getpid(), host);
	CHECK(stat(wanted, &st) == 0);
	close(descriptor_of(wanted));
	put_line("again");
	CHECK(parse_last(wanted) && has("event", "again") && has("program", "a/b"));
	return 0;
}

static int stack_lines(void)
{
	uint32_t id = stack_capture(__builtin_return_address(0), 8);
	struct record r;
	char number[16];
	const char *p;

	snprintf(number, sizeof(number), "%u", id);
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	for (int i = 0; i < 2; i++) {
		CHECK(record_begin(&r, LEVEL_INFO, "acquire"));
		record_u64(&r, "lease", 7);
		record_stack(&r, "stack", id);
		record_end(&r);
	}
	CHECK(parse_last(log_name) && count_lines(contents) == 3);
	p = parse_line(contents_of(log_name));
	CHECK(has("event", "stack") && has("stack", number) && has("level", "info"));
	CHECK(strstr(value_of("frames"), "/test_record") != NULL);
	CHECK(strstr(value_of("frames"), "+0x") != NULL);
	p = parse_line(p);
	CHECK(p != NULL && has("event", "acquire") && has("lease", "7") &&
	      has("stack", number));
	return 0;
}

static void *write_many(void *arg)
{
	char value[1500];
	struct record r;

	for (unsigned i = 0; i < 400; i++) {
		size_t n = (i * 37) % (sizeof(value) - 1);

		memset(value, 'a' + (int)(i % 26), n);
		value[n] = '\0';
		record_begin(&r, LEVEL_INFO, "many");
		record_u64(&r, "thread", (uint64_t)(uintptr_t)arg);
		record_u64(&r, "i", i);
		record_str(&r, "value", value);
		record_u64(&r, "n", n);
		record_end(&r);
	}
	return NULL;
}

static int write_from_threads(void)
{
	pthread_t threads[6];

	for (uintptr_t i = 0; i < 6; i++) {
		CHECK(pthread_create(&threads[i], NULL, write_many, (void *)i) == 0);
	}
	for (size_t i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
	}
	return 0;
}

static int no_torn_lines(void)
{
	unsigned seen[2][6] = {{0}};
	char number[16];
	const char *p;
	pid_t child;

	child = fork();
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	if (child == 0) {
		_exit(write_from_threads() != 0);
	}
	CHECK(write_from_threads() == 0 && status_of(child) == 0);
	snprintf(number, sizeof(number), "%d", child);
	p = contents_of(log_name);
	CHECK(count_lines(p) == 2 * 6 * 400);
	for (size_t left = strlen(p); left > 0;) {
		/* One line by itself: a sanitizer measures all of a string that is read. */
		char line[RECORD_MAX + 1];
		const char *newline = memchr(p, '\n', left);
		size_t bytes = newline != NULL ? (size_t)(newline + 1 - p) : sizeof(line);
		unsigned *next;

		CHECK(bytes < sizeof(line));
		memcpy(line, p, bytes);
		line[bytes] = '\0';
		CHECK(parse_line(line) != NULL);
		p += bytes;
		left -= bytes;
		next = &seen[has("pid", number)][atoi(value_of("thread"))];
		CHECK((unsigned)atoi(value_of("i")) == (*next)++);
		CHECK(strlen(value_of("value")) == (size_t)atoi(value_of("n")));
	}
	for (size_t i = 0; i < 12; i++) {
		CHECK(seen[i / 6][i % 6] == 400);
	}
	return 0;
}

CHILD_TEST(writes_a_line, line_format)
CHILD_TEST(quotes_every_byte, all_bytes)
CHILD_TEST(knows_the_calendar, all_days)
CHILD_TEST(cuts_lines_validly, cut_lines)
CHILD_TEST(expands_names, names)
CHILD_TEST(tells_each_stack_once, stack_lines)
CHILD_TEST(tears_no_lines, no_torn_lines)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_line),      cmocka_unit_test(quotes_every_byte),
		cmocka_unit_test(knows_the_calendar), cmocka_unit_test(cuts_lines_validly),
		cmocka_unit_test(expands_names),      cmocka_unit_test(tells_each_stack_once),
		cmocka_unit_test(tears_no_lines),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
