/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log: format, quoting, cutting, and what programs do to our descriptor.
 *
 * The log is opened once per process, so every test is a child of this program that
 * exits with the line of the check that failed, or 0. connect, write and clock_gettime
 * are stood in for, to have a syslogd, a full disk and any day of the calendar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trace/record.h"
#include "trace/stack.h"

#define CHECK(what)                                                                            \
	do {                                                                                   \
		if (!(what)) {                                                                 \
			return __LINE__;                                                       \
		}                                                                              \
	} while (0)

static char folder[] = "/tmp/test_record.XXXXXX";
static char log_name[PATH_MAX];
static char other_name[PATH_MAX];

/* ---- stand-ins ---- */

static uint64_t wall_us;   /* what the wall clock shows; 0 = the truth */
static char syslog_at[64]; /* where /dev/log is */
static size_t disk_room;   /* bytes that fit if disk_full */
static bool disk_full;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock == CLOCK_REALTIME && wall_us != 0) {
		ts->tv_sec = (time_t)(wall_us / 1000000);
		ts->tv_nsec = (long)(wall_us % 1000000 * 1000);
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	const struct sockaddr_un *asked = (const struct sockaddr_un *)(const void *)address;
	struct sockaddr_un there = {.sun_family = AF_UNIX};

	if (asked->sun_family == AF_UNIX && strcmp(asked->sun_path, "/dev/log") == 0) {
		strcpy(there.sun_path, syslog_at);
		return (int)syscall(SYS_connect, fd, &there, sizeof(there));
	}
	return (int)syscall(SYS_connect, fd, address, len);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	if (disk_full && n > disk_room) {
		if (disk_room == 0) {
			errno = ENOSPC;
			return -1;
		}
		n = disk_room;
		disk_room = 0;
	}
	return syscall(SYS_write, fd, buf, n);
}

/* ---- reading what was written ---- */

struct pair {
	char key[32];
	char value[RECORD_MAX + 1];
};

struct parsed {
	size_t count;
	struct pair pairs[32];
};

static struct parsed parsed;

static int hex_value(char c)
{
	const char *at = strchr("0123456789abcdef", c);

	return c != '\0' && at != NULL ? (int)(at - "0123456789abcdef") : -1;
}

/* The value at `p` into `out`; what follows it, or NULL if it is not logfmt. */
static const char *parse_value(const char *p, char *out)
{
	if (*p != '"') {
		while (*p > ' ' || (unsigned char)*p >= 0x80) {
			if (*p == '"' || *p == '=') {
				return NULL;
			}
			*out++ = *p++;
		}
		*out = '\0';
		return p;
	}
	for (p++; *p != '"'; p++) {
		if ((unsigned char)*p < ' ') {
			return NULL;
		}
		*out = *p;
		if (*p == '\\') {
			p++;
			if (*p == 'x' && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
				*out = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
				p += 2;
			} else if (*p == 'n' || *p == 't') {
				*out = *p == 'n' ? '\n' : '\t';
			} else if (*p == '"' || *p == '\\') {
				*out = *p;
			} else {
				return NULL;
			}
		}
		out++;
	}
	*out = '\0';
	return p + 1;
}

/* Reads one line into `parsed`; what follows its newline, or NULL if it is not logfmt. */
static const char *parse_line(const char *p)
{
	parsed.count = 0;
	for (;;) {
		struct pair *pair = &parsed.pairs[parsed.count++];
		size_t n = strcspn(p, "= \n\"");

		if (parsed.count > 32 || n == 0 || n >= sizeof(pair->key) || p[n] != '=') {
			return NULL;
		}
		memcpy(pair->key, p, n);
		pair->key[n] = '\0';
		p = parse_value(p + n + 1, pair->value);
		if (p == NULL || (*p != ' ' && *p != '\n')) {
			return NULL;
		}
		if (*p++ == '\n') {
			return p;
		}
	}
}

static const char *value_of(const char *key)
{
	for (size_t i = 0; i < parsed.count; i++) {
		if (strcmp(parsed.pairs[i].key, key) == 0) {
			return parsed.pairs[i].value;
		}
	}
	return "(none)";
}

static bool has(const char *key, const char *value)
{
	return strcmp(value_of(key), value) == 0;
}

static char contents[4 << 20];

static char *contents_of(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, contents, sizeof(contents) - 1) : -1;

	contents[n > 0 ? n : 0] = '\0';
	if (fd >= 0) {
		close(fd);
	}
	return contents;
}

/* Parses the last line of the log; false if it or any other is not logfmt. */
static bool parse_last(const char *name)
{
	const char *p = contents_of(name);
	bool any = false;

	while (p != NULL && *p != '\0') {
		p = parse_line(p);
		any = true;
	}
	return any && p != NULL;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		n += *text == '\n';
	}
	return n;
}

static void put_line(const char *event)
{
	struct record r;

	if (record_begin(&r, LEVEL_INFO, event)) {
		record_end(&r);
	}
}

static bool put_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool put = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return put;
}

/* The descriptor on which this process has the file of that name open; -1 if none. */
static int descriptor_of(const char *name)
{
	struct stat wanted;
	struct stat st;

	for (int fd = 3; stat(name, &wanted) == 0 && fd < 65536; fd++) {
		if (fstat(fd, &st) == 0 && st.st_dev == wanted.st_dev &&
		    st.st_ino == wanted.st_ino) {
			return fd;
		}
	}
	return -1;
}

static void clean_folder(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) {
		unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
}

/* Runs `body` in a child, which must exit with 0. */
static void in_child(int (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		_exit(body() % 256);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	clean_folder();
	assert_false(WIFSIGNALED(status));
	if (WEXITSTATUS(status) != 0) {
		print_error("the check that failed is in line %d (modulo 256)\n",
			    WEXITSTATUS(status));
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static pid_t fork_with_handlers(void)
{
	pid_t child;

	record_fork_prepare();
	child = fork();
	if (child == 0) {
		record_fork_child();
	} else {
		record_fork_parent();
	}
	return child;
}

static int status_of(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- format ---- */

static int line_format(void)
{
	char pid[16];
	struct record r;
	struct stat st;

	snprintf(pid, sizeof(pid), "%d", getpid());
	record_open(log_name, LEVEL_INFO, "my app");
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

	record_open(log_name, LEVEL_INFO, "app");
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

	record_open(log_name, LEVEL_INFO, "app");
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

	record_open(log_name, LEVEL_INFO, "app");
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
	CHECK(chdir(folder) == 0);
	record_open("%n-%p-%h-%%-%z", LEVEL_INFO, "a/b");
	CHECK(chdir("/") == 0);
	snprintf(wanted, sizeof(wanted), "%s/a_b-%d-%s-%%-%%z", folder, getpid(), host);
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
	record_open(log_name, LEVEL_INFO, "app");
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

/* ---- what programs do ---- */

static int closed_by_the_program(void)
{
	int fd;
	int taken;

	record_open(log_name, LEVEL_INFO, "app");
	put_line("one");
	fd = descriptor_of(log_name);
	CHECK(fd > 500 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	CHECK(put_file(other_name, "mine\n"));
	CHECK(close_range(0, UINT_MAX, 0) == 0);
	taken = open(other_name, O_RDWR);
	CHECK(taken == 0 && dup2(taken, fd) == fd);
	put_line("two");
	CHECK(strcmp(contents_of(other_name), "mine\n") == 0);
	CHECK(parse_last(log_name) && has("event", "two") && has("lost", "(none)"));
	CHECK(count_lines(contents) == 2);
	CHECK(descriptor_of(other_name) == fd);
	CHECK(descriptor_of(log_name) > STDERR_FILENO);
	return 0;
}

static int lost_and_found(void)
{
	char inner[PATH_MAX + 8];
	char name[PATH_MAX + 16];

	snprintf(inner, sizeof(inner), "%s/inner", folder);
	snprintf(name, sizeof(name), "%s/log", inner);
	CHECK(mkdir(inner, 0700) == 0);
	record_open(name, LEVEL_INFO, "app");
	CHECK(close_range(3, UINT_MAX, 0) == 0);
	CHECK(unlink(name) == 0 && rmdir(inner) == 0);
	errno = 42;
	put_line("one");
	put_line("two");
	put_line("three");
	CHECK(errno == 42);
	CHECK(mkdir(inner, 0700) == 0);
	put_line("four");
	CHECK(parse_last(name) && has("event", "four") && has("lost", "3"));
	put_line("five");
	CHECK(parse_last(name) && has("event", "five") && has("lost", "(none)"));
	CHECK(unlink(name) == 0 && rmdir(inner) == 0);
	return 0;
}

static int torn_lines(void)
{
	record_open(log_name, LEVEL_INFO, "app");
	disk_full = true;
	disk_room = 30;
	put_line("torn");
	put_line("lost");
	disk_full = false;
	put_line("whole");
	CHECK(count_lines(contents_of(log_name)) == 2);
	CHECK(parse_line(strchr(contents, '\n') + 1) != NULL);
	CHECK(has("event", "whole") && has("lost", "2"));
	put_line("next");
	CHECK(count_lines(contents_of(log_name)) == 3);
	return 0;
}

static int limited_file_size(void)
{
	struct rlimit limit = {.rlim_cur = 300, .rlim_max = RLIM_INFINITY};

	record_open(log_name, LEVEL_INFO, "app");
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	for (int i = 0; i < 5; i++) {
		put_line("one");
	}
	limit.rlim_cur = RLIM_INFINITY;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	put_line("two");
	CHECK(parse_last(log_name) && has("event", "two") && atoi(value_of("lost")) > 0);
	CHECK(count_lines(contents) + (size_t)atoi(value_of("lost")) == 6);
	return 0;
}

static int few_descriptors(void)
{
	struct rlimit limit = {.rlim_cur = 8, .rlim_max = 8};

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(close_range(0, UINT_MAX, 0) == 0);
	record_open(log_name, LEVEL_INFO, "app");
	CHECK(open("/dev/null", O_RDWR) == 0);
	CHECK(open("/dev/null", O_RDWR) == 1);
	put_line("one");
	CHECK(parse_last(log_name));
	return 0;
}

static int forked_child(void)
{
	char pattern[PATH_MAX + 8];
	char name[PATH_MAX + 32];
	char pid[16];
	pid_t child;

	snprintf(pattern, sizeof(pattern), "%s/log.%%p", folder);
	record_open(pattern, LEVEL_INFO, "app");
	put_line("parent");
	child = fork_with_handlers();
	if (child == 0) {
		struct stat st;

		snprintf(name, sizeof(name), "%s/log.%d", folder, getppid());
		CHECK(descriptor_of(name) == -1);
		snprintf(name, sizeof(name), "%s/log.%d", folder, getpid());
		CHECK(stat(name, &st) != 0);
		put_line("child");
		snprintf(pid, sizeof(pid), "%d", getpid());
		CHECK(parse_last(name) && has("event", "child") && has("pid", pid));
		CHECK(has("tid", pid) && count_lines(contents) == 1);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	put_line("parent");
	snprintf(name, sizeof(name), "%s/log.%d", folder, getpid());
	CHECK(parse_last(name) && has("event", "parent") && count_lines(contents) == 2);
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
	record_open(log_name, LEVEL_INFO, "app");
	if (child == 0) {
		_exit(write_from_threads() != 0);
	}
	CHECK(write_from_threads() == 0 && status_of(child) == 0);
	snprintf(number, sizeof(number), "%d", child);
	p = contents_of(log_name);
	CHECK(count_lines(p) == 2 * 6 * 400);
	while (*p != '\0') {
		unsigned *next;

		p = parse_line(p);
		CHECK(p != NULL);
		next = &seen[has("pid", number)][atoi(value_of("thread"))];
		CHECK((unsigned)atoi(value_of("i")) == (*next)++);
		CHECK(strlen(value_of("value")) == (size_t)atoi(value_of("n")));
	}
	for (size_t i = 0; i < 12; i++) {
		CHECK(seen[i / 6][i % 6] == 400);
	}
	return 0;
}

/* ---- stderr, fifos, syslog ---- */

static bool stderr_to(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
	bool done = dup2(fd, STDERR_FILENO) == STDERR_FILENO;

	if (fd != STDERR_FILENO) {
		close(fd);
	}
	return done;
}

static int foreign_stderr(void)
{
	char buf[64];
	struct text t;

	CHECK(stderr_to(log_name));
	record_open("stderr", LEVEL_INFO, "app");
	CHECK(record_is_stderr());
	text_init(&t, buf, sizeof(buf));
	text_str(&t, "report\n");
	record_to_stderr(&t);
	CHECK(strcmp(contents_of(log_name), "report\n") == 0);
	put_line("one");
	CHECK(count_lines(contents_of(log_name)) == 2);
	CHECK(put_file(other_name, "mine\n") && stderr_to(other_name));
	errno = 42;
	put_line("two");
	record_to_stderr(&t);
	CHECK(errno == 42 && strcmp(contents_of(other_name), "mine\n") == 0);
	close(STDERR_FILENO);
	put_line("three");
	CHECK(stderr_to(log_name));
	put_line("four");
	CHECK(parse_line(strchr(contents_of(log_name), '\n') + 1) != NULL);
	CHECK(parse_line(strstr(contents, "event=one\n") + 10) != NULL);
	CHECK(has("event", "four") && has("lost", "2"));
	return 0;
}

static int cannot_be_opened(void)
{
	struct record r;

	CHECK(stderr_to(other_name));
	errno = 42;
	record_open("/nonexistent/folder/log", LEVEL_INFO, "app");
	CHECK(errno == 42 && record_is_stderr());
	CHECK(record_wants(LEVEL_WARNING) && !record_wants(LEVEL_INFO));
	CHECK(count_lines(contents_of(other_name)) == 1);
	CHECK(strstr(contents, "/nonexistent/folder/log") != NULL);
	CHECK(strstr(contents, "No such file or directory") != NULL);
	CHECK(record_begin(&r, LEVEL_ERROR, "bad"));
	record_end(&r);
	CHECK(count_lines(contents_of(other_name)) == 2);
	return 0;
}

static int off(void)
{
	struct stat st;

	CHECK(stderr_to(other_name));
	record_open(log_name, LEVEL_OFF, "app");
	CHECK(stat(log_name, &st) != 0);
	CHECK(!record_wants(LEVEL_ERROR) && !record_is_stderr());
	put_line("one");
	CHECK(contents_of(other_name)[0] == '\0');
	return 0;
}

static int fifo(void)
{
	char buf[1024];
	int reader;

	CHECK(mkfifo(log_name, 0600) == 0);
	CHECK((reader = open(log_name, O_RDONLY | O_NONBLOCK)) >= 0);
	record_open(log_name, LEVEL_INFO, "app");
	put_line("one");
	CHECK(read(reader, buf, sizeof(buf)) > 0);
	close(reader);
	put_line("two");
	CHECK((reader = open(log_name, O_RDONLY | O_NONBLOCK)) >= 0);
	for (int i = 0; i < 10000; i++) {
		put_line("filled up");
	}
	memset(buf, 0, sizeof(buf));
	CHECK(read(reader, buf, sizeof(buf) - 1) > 0);
	CHECK(parse_line(buf) != NULL && has("lost", "1"));
	return 0;
}

static int fifo_without_reader(void)
{
	CHECK(mkfifo(log_name, 0600) == 0);
	CHECK(stderr_to(other_name));
	record_open(log_name, LEVEL_INFO, "app");
	CHECK(record_is_stderr() && count_lines(contents_of(other_name)) == 1);
	return 0;
}

static int listen_as_syslogd(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strcpy(address.sun_path, syslog_at);
	unlink(syslog_at);
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static int syslog_lines(void)
{
	char buf[RECORD_MAX];
	char tag[64];
	int fd;
	ssize_t n;

	snprintf(syslog_at, sizeof(syslog_at), "%s/syslog", folder);
	CHECK((fd = listen_as_syslogd()) >= 0);
	record_open("syslog", LEVEL_INFO, "app");
	put_line("one");
	CHECK((n = recv(fd, buf, sizeof(buf) - 2, MSG_DONTWAIT)) > 0);
	snprintf(tag, sizeof(tag), "<14>pqpool[%d]: ", getpid());
	CHECK(strncmp(buf, tag, strlen(tag)) == 0 && buf[n - 1] != '\n');
	memcpy(buf + n, "\n", 2);
	CHECK(parse_line(buf + strlen(tag)) != NULL && has("event", "one"));

	close(fd);
	put_line("two");
	put_line("three");
	CHECK((fd = listen_as_syslogd()) >= 0);
	put_line("four");
	CHECK((n = recv(fd, buf, sizeof(buf) - 2, MSG_DONTWAIT)) > 0);
	memcpy(buf + n, "\n", 2);
	CHECK(parse_line(buf + strlen(tag)) != NULL && has("lost", "2") &&
	      has("event", "four"));
	for (int i = 0; i < 10000; i++) {
		put_line("nobody reads");
	}
	return 0;
}

static int no_syslogd(void)
{
	snprintf(syslog_at, sizeof(syslog_at), "%s/syslog", folder);
	CHECK(stderr_to(other_name));
	record_open("syslog", LEVEL_INFO, "app");
	CHECK(record_is_stderr() && strstr(contents_of(other_name), "\"syslog\"") != NULL);
	return 0;
}

#define CHILD_TEST(name, body)                                                                 \
	static void name(void **state)                                                         \
	{                                                                                      \
		(void)state;                                                                   \
		in_child(body);                                                                \
	}

CHILD_TEST(writes_a_line, line_format)
CHILD_TEST(quotes_every_byte, all_bytes)
CHILD_TEST(knows_the_calendar, all_days)
CHILD_TEST(cuts_lines_validly, cut_lines)
CHILD_TEST(expands_names, names)
CHILD_TEST(tells_each_stack_once, stack_lines)
CHILD_TEST(leaves_a_strangers_file_alone, closed_by_the_program)
CHILD_TEST(counts_lost_lines, lost_and_found)
CHILD_TEST(ends_torn_lines, torn_lines)
CHILD_TEST(respects_the_file_size_limit, limited_file_size)
CHILD_TEST(makes_do_with_few_descriptors, few_descriptors)
CHILD_TEST(opens_a_childs_own_file, forked_child)
CHILD_TEST(tears_no_lines, no_torn_lines)
CHILD_TEST(keeps_off_foreign_stderr, foreign_stderr)
CHILD_TEST(falls_back_to_stderr, cannot_be_opened)
CHILD_TEST(is_silent_when_off, off)
CHILD_TEST(does_not_die_of_a_fifo, fifo)
CHILD_TEST(does_not_wait_for_a_fifo, fifo_without_reader)
CHILD_TEST(talks_to_syslogd, syslog_lines)
CHILD_TEST(does_without_syslogd, no_syslogd)

static int make_folder(void **state)
{
	(void)state;
	/* As programs find them: SIGPIPE and SIGXFSZ end the process. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (mkdtemp(folder) == NULL) {
		return -1;
	}
	snprintf(log_name, sizeof(log_name), "%s/log", folder);
	snprintf(other_name, sizeof(other_name), "%s/other", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_line),
		cmocka_unit_test(quotes_every_byte),
		cmocka_unit_test(knows_the_calendar),
		cmocka_unit_test(cuts_lines_validly),
		cmocka_unit_test(expands_names),
		cmocka_unit_test(tells_each_stack_once),
		cmocka_unit_test(leaves_a_strangers_file_alone),
		cmocka_unit_test(counts_lost_lines),
		cmocka_unit_test(ends_torn_lines),
		cmocka_unit_test(respects_the_file_size_limit),
		cmocka_unit_test(makes_do_with_few_descriptors),
		cmocka_unit_test(opens_a_childs_own_file),
		cmocka_unit_test(tears_no_lines),
		cmocka_unit_test(keeps_off_foreign_stderr),
		cmocka_unit_test(falls_back_to_stderr),
		cmocka_unit_test(is_silent_when_off),
		cmocka_unit_test(does_not_die_of_a_fifo),
		cmocka_unit_test(does_not_wait_for_a_fifo),
		cmocka_unit_test(talks_to_syslogd),
		cmocka_unit_test(does_without_syslogd),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
