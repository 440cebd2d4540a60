/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log goes, and what programs and systems do to it: descriptors closed and
 * reused, forks, full disks, fifos, a syslogd that comes and goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"

static char syslog_at[64]; /* where /dev/log is */
static size_t disk_room;   /* bytes that fit if disk_full */
static bool disk_full;

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

static int closed_by_the_program(void)
{
	int fd;
	int taken;

	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
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

	snprintf(inner, sizeof(inner), "%s/inner", log_folder);
	snprintf(name, sizeof(name), "%s/log", inner);
	CHECK(mkdir(inner, 0700) == 0);
	record_configure(name, LEVEL_INFO, "app");
	record_open();
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
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	disk_full = true;
	disk_room = 30;
	put_line("torn");
	CHECK(strlen(contents_of(log_name)) == 30);
	put_line("lost");
	put_line("lost");
	disk_full = false;
	put_line("whole");
	CHECK(count_lines(contents_of(log_name)) == 2);
	CHECK(strncmp(contents + 30, " torn\n", 6) == 0);
	CHECK(parse_line(contents + 36) != NULL && has("event", "whole") && has("lost", "3"));
	put_line("next");
	CHECK(count_lines(contents_of(log_name)) == 3);
	CHECK(parse_line(strstr(contents, "lost=3\n") + 7) != NULL && has("lost", "(none)"));
	return 0;
}

static bool append_to(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_APPEND);
	bool put = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return put;
}

/* Another process wrote a line behind the half. */
static int overtaken_lines(void)
{
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	disk_full = true;
	put_line("lost");
	put_line("lost");
	disk_room = 30;
	put_line("torn");
	disk_full = false;
	CHECK(append_to(log_name, "time=1 by=another\n"));
	put_line("whole");
	CHECK(count_lines(contents_of(log_name)) == 3);
	CHECK(strstr(contents, "time=1 by=another\n torn\n") == contents + 30);
	CHECK(parse_line(strstr(contents, " torn\n") + 6) != NULL);
	CHECK(has("event", "whole") && has("lost", "3"));
	return 0;
}

/* Not by the C library, lest that be all that is noticed. */
static bool limit_file_size(uint64_t bytes)
{
	struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

	return syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, &limit, NULL) == 0;
}

static int limited_file_size(void)
{
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	CHECK(limit_file_size(300));
	for (int i = 0; i < 5; i++) {
		put_line("one");
	}
	CHECK(limit_file_size(RLIM_INFINITY));
	put_line("two");
	CHECK(parse_last(log_name) && has("event", "two") && atoi(value_of("lost")) > 0);
	CHECK(count_lines(contents) + (size_t)atoi(value_of("lost")) == 6);
	CHECK(limit_file_size(10));
	put_line("three");
	CHECK(limit_file_size(RLIM_INFINITY));
	put_line("four");
	CHECK(parse_last(log_name) && has("event", "four") && has("lost", "1"));
	return 0;
}

/* As in a sandbox that was made for what an older C library calls. */
static bool refuse_calls(void)
{
	static struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_statx, 2, 0),
#ifdef SYS_getrlimit
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrlimit, 1, 0),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog filter = {sizeof(steps) / sizeof(steps[0]), steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int refused_calls(void)
{
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	put_line("one");
	CHECK(refuse_calls());
	put_line("two");
	CHECK(count_lines(contents_of(log_name)) == 2);
	CHECK(limit_file_size(10));
	put_line("three");
	CHECK(limit_file_size(RLIM_INFINITY));
	put_line("four");
	CHECK(parse_last(log_name) && has("event", "four") && has("lost", "1"));
	CHECK(close_range(3, UINT_MAX, 0) == 0);
	put_line("five");
	CHECK(parse_last(log_name) && has("event", "five") && has("lost", "(none)"));
	return 0;
}

static int few_descriptors(void)
{
	struct rlimit limit = {.rlim_cur = 8, .rlim_max = 8};

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(close_range(0, UINT_MAX, 0) == 0);
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	CHECK(open("/dev/null", O_RDWR) == 0);
	CHECK(open("/dev/null", O_RDWR) == 1);
	put_line("one");
	CHECK(parse_last(log_name));
	return 0;
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

static int forked_child(void)
{
	char pattern[PATH_MAX + 8];
	char name[PATH_MAX + 32];
	char pid[16];
	pid_t child;

	snprintf(pattern, sizeof(pattern), "%s/log.%%p", log_folder);
	record_configure(pattern, LEVEL_INFO, "app");
	record_open();
	put_line("parent");
	child = fork_with_handlers();
	if (child == 0) {
		struct stat st;

		snprintf(name, sizeof(name), "%s/log.%d", log_folder, getppid());
		CHECK(descriptor_of(name) == -1);
		snprintf(name, sizeof(name), "%s/log.%d", log_folder, getpid());
		CHECK(stat(name, &st) != 0);
		put_line("child");
		snprintf(pid, sizeof(pid), "%d", getpid());
		CHECK(parse_last(name) && has("event", "child") && has("pid", pid));
		CHECK(has("tid", pid) && count_lines(contents) == 1);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	put_line("parent");
	snprintf(name, sizeof(name), "%s/log.%d", log_folder, getpid());
	CHECK(parse_last(name) && has("event", "parent") && count_lines(contents) == 2);
	return 0;
}

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
	struct strbuf t;

	CHECK(stderr_to(log_name));
	record_configure("stderr", LEVEL_INFO, "app");
	record_open();
	CHECK(record_is_stderr());
	strbuf_init(&t, buf, sizeof(buf));
	strbuf_str(&t, "report\n");
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
	record_configure("/nonexistent/folder/log", LEVEL_INFO, "app");
	record_open();
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
	record_configure(log_name, LEVEL_OFF, "app");
	record_open();
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
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	put_line("one");
	CHECK(read(reader, buf, sizeof(buf)) > 0);
	close(reader);
	put_line("two");
	CHECK((reader = open(log_name, O_RDONLY | O_NONBLOCK)) >= 0);
	for (int i = 0; i < 10000; i++) {
		put_line("filling");
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
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
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

	snprintf(syslog_at, sizeof(syslog_at), "%s/syslog", log_folder);
	CHECK((fd = listen_as_syslogd()) >= 0);
	record_configure("syslog", LEVEL_INFO, "app");
	record_open();
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
		put_line("unread");
	}
	return 0;
}

static int no_syslogd(void)
{
	snprintf(syslog_at, sizeof(syslog_at), "%s/syslog", log_folder);
	CHECK(stderr_to(other_name));
	record_configure("syslog", LEVEL_INFO, "app");
	record_open();
	CHECK(record_is_stderr() && strstr(contents_of(other_name), "\"syslog\"") != NULL);
	return 0;
}

CHILD_TEST(leaves_a_strangers_file_alone, closed_by_the_program)
CHILD_TEST(counts_lost_lines, lost_and_found)
CHILD_TEST(ends_torn_lines, torn_lines)
CHILD_TEST(counts_overtaken_lines, overtaken_lines)
CHILD_TEST(respects_the_file_size_limit, limited_file_size)
CHILD_TEST(makes_do_with_older_calls, refused_calls)
CHILD_TEST(makes_do_with_few_descriptors, few_descriptors)
CHILD_TEST(opens_a_childs_own_file, forked_child)
CHILD_TEST(keeps_off_foreign_stderr, foreign_stderr)
CHILD_TEST(falls_back_to_stderr, cannot_be_opened)
CHILD_TEST(is_silent_when_off, off)
CHILD_TEST(does_not_die_of_a_fifo, fifo)
CHILD_TEST(does_not_wait_for_a_fifo, fifo_without_reader)
CHILD_TEST(talks_to_syslogd, syslog_lines)
CHILD_TEST(does_without_syslogd, no_syslogd)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_a_strangers_file_alone),
		cmocka_unit_test(counts_lost_lines),
		cmocka_unit_test(ends_torn_lines),
		cmocka_unit_test(counts_overtaken_lines),
		cmocka_unit_test(respects_the_file_size_limit),
		cmocka_unit_test(makes_do_with_older_calls),
		cmocka_unit_test(makes_do_with_few_descriptors),
		cmocka_unit_test(opens_a_childs_own_file),
		cmocka_unit_test(keeps_off_foreign_stderr),
		cmocka_unit_test(falls_back_to_stderr),
		cmocka_unit_test(is_silent_when_off),
		cmocka_unit_test(does_not_die_of_a_fifo),
		cmocka_unit_test(does_not_wait_for_a_fifo),
		cmocka_unit_test(talks_to_syslogd),
		cmocka_unit_test(does_without_syslogd),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
