/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leak report: what people read on stderr, and the lines in the log.
 *
 * The log is opened once per process, so every report is written by a child of this
 * program, with a file in the place of stderr.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/log/record.h"
#include "trace/report/report.h"
#include "trace/report/suppressions.h"
#include "trace/stack/stack.h"

#define NOW      (100 * NS_PER_SEC)
#define NOTHING  "pqpool: in all 0 sessions opened, 0 closed; 0 waits, 0 timeouts"
#define NOINLINE __attribute__((noinline))

static char folder[] = "/tmp/test_report.XXXXXX";
static char log_name[PATH_MAX];
static char err_name[PATH_MAX];
static char known_name[PATH_MAX];
static const char *known; /* suppressed in the next report; NULL = nothing */
static char text[1 << 20];

static const struct lease_totals totals = {.begun = 10, .ended = 7};
static pid_t reporter;

static NOINLINE uint32_t taken_here(void)
{
	uint32_t id = stack_capture(__builtin_return_address(0), 4);

	__asm__ volatile("" ::: "memory");
	return id;
}

static NOINLINE uint32_t open_report(void)
{
	uint32_t id = taken_here();

	__asm__ volatile("" ::: "memory");
	return id;
}

/* Not quite the same, or the compiler makes one function of the two. */
static NOINLINE uint32_t open_other(void)
{
	uint32_t id = taken_here();

	__asm__ volatile("nop" ::: "memory");
	return id;
}

static struct lease leak(uint64_t id, uint32_t stack, uint64_t held_ns)
{
	return (struct lease){
		.pool = "app@host:5432/db",
		.pooled = true,
		.session = 2 * id,
		.open = true,
		.id = id,
		.backend_pid = 3333,
		.tid = 71,
		.began_ns = NOW - held_ns,
		.stack = stack,
		.orphaned = true, /* or it would be kept */
	};
}

static const char *contents_of(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static void complain(void *arg, const char *line)
{
	(void)arg;
	dprintf(STDERR_FILENO, "%s\n", line);
}

/*
 * Writes a report in a child, with this log and everything else to files. Returns what
 * report_leaks does, of which 6 bits come through.
 */
static int report(struct lease *leaks, size_t count, const char *log, bool to_stderr)
{
	int status;

	unlink(log_name);
	unlink(err_name);
	stack_fork_prepare();
	record_fork_prepare();
	reporter = fork();
	if (reporter == 0) {
		int fd = open(err_name, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, STDERR_FILENO);
		record_fork_child();
		stack_fork_child();
		record_configure(log, LEVEL_DEBUG, "leaky");
		record_open();
		suppress_load(known, complain, NULL);
		_exit((int)report_leaks(leaks, count, &totals, "leaky", NOW,
		                        to_stderr ? REPORT_ON : REPORT_OFF) &
		      63);
	}
	record_fork_parent();
	stack_fork_parent();
	waitpid(reporter, &status, 0);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A file of patterns for the next report. */
static void suppress(const char *patterns)
{
	int fd = open(known_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, patterns, strlen(patterns)), strlen(patterns));
	close(fd);
	known = known_name;
}

static size_t count_of(const char *haystack, const char *needle)
{
	size_t n = 0;

	for (; (haystack = strstr(haystack, needle)) != NULL; haystack += strlen(needle)) {
		n++;
	}
	return n;
}

/* The report's next line from `*at`, which must begin as every line does. */
static char *next_line(char **at)
{
	char prefix[32];
	char *line = *at;
	char *end = strchr(line, '\n');

	snprintf(prefix, sizeof(prefix), "==%d== ", reporter);
	assert_non_null(end);
	assert_memory_equal(line, prefix, strlen(prefix));
	*end = '\0';
	*at = end + 1;
	return line + strlen(prefix);
}

static void groups_by_place(void **state)
{
	uint32_t first = open_report();
	uint32_t second = open_other();
	struct lease leaks[] = {
		leak(4, second, 500 * NS_PER_MS),
		leak(5, first, 300 * NS_PER_MS),
		leak(3, first, 1200 * NS_PER_MS),
	};
	char *at = text;
	const char *line;

	(void)state;
	assert_int_equal(report(leaks, 3, log_name, true), 3);
	contents_of(err_name);
	assert_string_equal(next_line(&at), "pqpool: 3 connections leaked, taken at 2 places "
	                                    "(leaky: 10 acquired, 7 released)");
	assert_string_equal(next_line(&at), "  2 connections, oldest held 1.2 s, taken at");
	line = next_line(&at);
	assert_memory_equal(line, "    #0 /", 8);
	assert_non_null(strstr(line, "+0x"));
	assert_string_equal(strstr(line, " in "), " in open_report");
	line = next_line(&at);
	assert_memory_equal(line, "    #1 /", 8);
	assert_string_equal(strstr(line, " in "), " in groups_by_place");
	next_line(&at);
	next_line(&at);
	assert_string_equal(next_line(&at), "    lease 3: backend 3333, thread 71, held 1.2 s, "
	                                    "pool app@host:5432/db");
	assert_string_equal(next_line(&at),
	                    "    lease 5: backend 3333, thread 71, held 300.0 ms, "
	                    "pool app@host:5432/db");
	assert_string_equal(next_line(&at), "  1 connection, held 500.0 ms, taken at");
	line = next_line(&at);
	assert_string_equal(strstr(line, " in "), " in open_other");
}

static void counts_in_the_singular(void **state)
{
	struct lease one = leak(1, 0, NS_PER_SEC);
	char *at = text;

	(void)state;
	one.pooled = false;
	one.pool = "replication";
	report(&one, 1, log_name, true);
	contents_of(err_name);
	assert_string_equal(next_line(&at), "pqpool: 1 connection leaked, taken at 1 place "
	                                    "(leaky: 10 acquired, 7 released)");
	assert_string_equal(next_line(&at),
	                    "  1 connection, held 1.0 s, taken at an unknown place");
	assert_string_equal(next_line(&at), "    lease 1: backend 3333, thread 71, held 1.0 s, "
	                                    "not pooled but passed through to libpq");
	assert_string_equal(next_line(&at), NOTHING);
	assert_string_equal(at, "");
	contents_of(log_name);
	assert_non_null(strstr(text, " pool=replication pooled=no kind=never_released "
	                             "hold_us=1000000 transaction=unknown\n"));
}

static void logs_each_leak(void **state)
{
	uint32_t stack = open_report();
	struct lease leaks[] = {leak(4, stack, 2 * NS_PER_MS), leak(5, stack, NS_PER_MS)};
	char wanted[256];

	(void)state;
	for (int to_stderr = 0; to_stderr < 2; to_stderr++) {
		report(leaks, 2, log_name, to_stderr);
		contents_of(log_name);
		assert_int_equal(count_of(text, "event=leak "), 2);
		assert_int_equal(count_of(text, "event=stack "), 1);
		assert_true(strstr(text, "event=stack ") < strstr(text, "event=leak "));
		snprintf(wanted, sizeof(wanted),
		         "level=warning pid=%d tid=%d program=leaky event=leak lease=4 "
		         "session=8 "
		         "backend=3333 thread=71 pool=app@host:5432/db kind=never_released "
		         "hold_us=2000 transaction=unknown stack=%u\n",
		         reporter, reporter, stack);
		assert_non_null(strstr(text, wanted));
		contents_of(err_name);
		assert_int_equal(count_of(text, "leaked"), (size_t)to_stderr);
		assert_int_equal(count_of(text, "event="), 0);
	}
}

static void tells_nothing_twice(void **state)
{
	struct lease one = leak(1, open_report(), NS_PER_SEC);

	(void)state;
	report(&one, 1, "stderr", true);
	contents_of(err_name);
	assert_int_equal(count_of(text, "lease 1:"), 1);
	assert_int_equal(count_of(text, "event="), 0);
	report(&one, 1, "stderr", false);
	assert_string_equal(contents_of(err_name), "");
}

/* More leases and places than are shown; every line must come out whole all the same. */
static void stays_readable(void **state)
{
	enum { LEAKS = 400 };
	const char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct lease *leaks = calloc(LEAKS, sizeof(*leaks));
	size_t lines = 0;
	size_t more = 0;
	size_t last = SIZE_MAX;
	char *at = text;

	(void)state;
	for (size_t i = 0; i < LEAKS; i++) {
		/* Places 0 to 79, the later ones of more leases. */
		size_t at_place = i < 80 ? i : 40 + (i * i) % 40;

		leaks[i] =
			leak(i + 1, stack_capture(page + at_place + 1, 0), (i + 1) * NS_PER_MS);
	}
	report(leaks, LEAKS, log_name, true);
	contents_of(err_name);
	while (*at != '\0') {
		const char *line = next_line(&at);

		lines++;
		if (memcmp(line, "  ", 2) == 0 && line[2] >= '0' && line[2] <= '9') {
			size_t count = strtoul(line + 2, NULL, 10);

			assert_true(count <= last);
			last = count;
		}
		more += strcmp(line, "  and 30 more places") == 0;
	}
	assert_int_equal(more, 1);
	assert_true(lines > 150);
	contents_of(err_name);
	assert_int_equal(count_of(text, ", taken at\n"), 50);
	assert_true(count_of(text, " more\n") > 0);
	contents_of(log_name);
	assert_int_equal(count_of(text, "event=leak "), LEAKS);
	assert_int_equal(count_of(text, "event=stack "), 80);
	free(leaks);
	munmap((void *)(uintptr_t)page, 4096);
}

static void names_a_place_in_a_line(void **state)
{
	char buf[256];
	struct strbuf t;

	(void)state;
	strbuf_init(&t, buf, sizeof(buf));
	report_place(0, &t);
	assert_string_equal(buf, "an unknown place");
	strbuf_init(&t, buf, sizeof(buf));
	report_place(open_report(), &t);
	assert_memory_equal(buf, "test_report", 11);
	assert_null(strchr(buf, '/'));
	assert_non_null(strstr(buf, "+0x"));
	assert_string_equal(strchr(buf, ' '), " (open_report)");
	strbuf_init(&t, buf, sizeof(buf));
	report_place(stack_capture((const char *)8, 0), &t);
	assert_string_equal(buf, "0x7");
}

static struct lease late(uint64_t id, uint32_t stack, uint64_t held_ns)
{
	struct lease lease = leak(id, stack, held_ns + NS_PER_SEC);

	lease.at_exit = true;
	lease.ended_ns = NOW - NS_PER_SEC;
	return lease;
}

/* The lines at `*at` without those of frames. */
static const char *next_of_leases(char **at)
{
	const char *line = next_line(at);

	while (memcmp(line, "    #", 5) == 0) {
		line = next_line(at);
	}
	return line;
}

static void tells_the_kinds_apart(void **state)
{
	uint32_t stack = open_report();
	struct lease leaks[] = {late(1, stack, 2 * NS_PER_MS), leak(2, stack, 3 * NS_PER_MS),
	                        late(3, stack, NS_PER_MS)};
	char *at = text;

	(void)state;
	leaks[0].transaction = LEASE_TRANSACTION_OPEN;
	leaks[1].transaction = LEASE_TRANSACTION_FAILED;
	strcpy(leaks[1].statement, "SELECT ...");
	leaks[2].transaction = LEASE_TRANSACTION_IDLE;
	assert_int_equal(report(leaks, 3, log_name, true), 3);
	contents_of(err_name);
	assert_string_equal(next_line(&at), "pqpool: 1 connection leaked, taken at 1 place "
	                                    "(leaky: 10 acquired, 7 released)");
	assert_string_equal(next_of_leases(&at), "  1 connection, held 3.0 ms, taken at");
	assert_string_equal(next_of_leases(&at),
	                    "    lease 2: backend 3333, thread 71, held 3.0 ms, pool "
	                    "app@host:5432/db, idle in transaction (aborted), last statement: "
	                    "SELECT ...");
	assert_string_equal(next_line(&at),
	                    "pqpool: 2 connections released only by exit, taken at 1 place");
	assert_string_equal(next_of_leases(&at),
	                    "  2 connections, oldest held 2.0 ms, taken at");
	assert_string_equal(next_of_leases(&at),
	                    "    lease 1: backend 3333, thread 71, held 2.0 ms, pool "
	                    "app@host:5432/db, idle in transaction");
	assert_string_equal(next_of_leases(&at),
	                    "    lease 3: backend 3333, thread 71, held 1.0 ms, pool "
	                    "app@host:5432/db, idle");
	assert_string_equal(next_line(&at), NOTHING);
	contents_of(log_name);
	assert_int_equal(count_of(text, "kind=released_by_exit hold_us="), 2);
	assert_non_null(strstr(text, " kind=never_released hold_us=3000 transaction=failed "
	                             "statement=\"SELECT ...\" stack="));
}

static void says_whose_they_are_if_all_are_late(void **state)
{
	struct lease one = late(1, 0, NS_PER_MS);
	char *at = text;

	(void)state;
	report(&one, 1, log_name, true);
	contents_of(err_name);
	assert_string_equal(next_line(&at),
	                    "pqpool: 1 connection released only by exit, taken at 1 place "
	                    "(leaky: 10 acquired, 7 released)");
}

static void leaves_out_what_is_suppressed(void **state)
{
	uint32_t first = open_report();
	struct lease leaks[] = {leak(1, first, NS_PER_MS), late(2, first, NS_PER_MS),
	                        leak(3, open_other(), NS_PER_MS), leak(4, 0, NS_PER_MS)};
	char last[PATH_MAX + 64];

	(void)state;
	suppress("# known\nfunction:open_report\n");
	assert_int_equal(report(leaks, 4, log_name, true), 2);
	contents_of(err_name);
	assert_int_equal(count_of(text, "2 connections leaked, taken at 2 places"), 1);
	assert_int_equal(count_of(text, "released only by exit"), 0);
	assert_int_equal(count_of(text, "open_report"), 0);
	snprintf(last, sizeof(last), "pqpool: 2 leaks suppressed by %s\n", known_name);
	assert_string_equal(strstr(text, "pqpool: 2 leaks"), last);
	contents_of(log_name);
	assert_int_equal(count_of(text, " event=leak "), 4);
	assert_int_equal(count_of(text, " suppressed=yes "), 2);
	suppress("*");
	/* Not the one without a stack, of which nothing is known. */
	assert_int_equal(report(leaks, 4, log_name, true), 1);
	assert_int_equal(report(leaks, 2, log_name, true), 0);
	assert_string_equal(contents_of(err_name), "");
	suppress("function:open_report\nfunction:\n");
	assert_int_equal(report(leaks, 4, log_name, true), 4);
	assert_non_null(
		strstr(contents_of(err_name), "\", line 2: must be function:PATTERN, "));
	known = NULL;
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL) {
		return -1;
	}
	snprintf(log_name, sizeof(log_name), "%s/log", folder);
	snprintf(err_name, sizeof(err_name), "%s/err", folder);
	snprintf(known_name, sizeof(known_name), "%s/known", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(log_name);
	unlink(err_name);
	unlink(known_name);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_by_place),
		cmocka_unit_test(counts_in_the_singular),
		cmocka_unit_test(logs_each_leak),
		cmocka_unit_test(tells_nothing_twice),
		cmocka_unit_test(stays_readable),
		cmocka_unit_test(names_a_place_in_a_line),
		cmocka_unit_test(tells_the_kinds_apart),
		cmocka_unit_test(says_whose_they_are_if_all_are_late),
		cmocka_unit_test(leaves_out_what_is_suppressed),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
