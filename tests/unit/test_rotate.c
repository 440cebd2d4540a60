/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log files that grow full, are moved away, truncated or removed, and rotations that
 * somebody else began, holds up, or did not live to end.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"
#include "trace/log/rotate.h"
#include "trace/stack/stack.h"

static time_t later_s; /* how far the clock is put forward */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += clock == CLOCK_MONOTONIC_COARSE ? later_s : 0;
	return result;
}

/* Done when somebody asks for a lock. */
static void (*before_lock)(void);

int flock(int fd, int operation)
{
	if (before_lock != NULL && operation != LOCK_UN) {
		before_lock();
		before_lock = NULL;
	}
	return (int)syscall(SYS_flock, fd, operation);
}

/* log.N, or log itself for 0. */
static const char *part(int number)
{
	static char names[8][PATH_MAX + 16];
	static unsigned next;
	char *name = names[next++ % 8];

	snprintf(name, sizeof(names[0]), number > 0 ? "%s.%d" : "%s", log_name, number);
	return name;
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static void put_numbered(int from, int to)
{
	struct record r;

	for (int i = from; i < to; i++) {
		if (record_begin(&r, LEVEL_INFO, "line")) {
			record_i64(&r, "i", i);
			record_end(&r);
		}
	}
}

/* Reads a part whose lines go on from `next`; the number behind its last one, -1 if not. */
static int follow(int number, int next)
{
	const char *p = contents_of(part(number));

	while (p != NULL && *p != '\0') {
		p = parse_line(p);
		if (p == NULL || (has("event", "line") && atoi(value_of("i")) != next++)) {
			return -1;
		}
	}
	return next;
}

/* True if the parts from number `oldest` on hold the lines from `first` to `end`. */
static bool hold(int oldest, int first, int end)
{
	for (int number = oldest; number >= 0; number--) {
		first = follow(number, first);
	}
	return first == end;
}

static size_t count_events(const char *name, const char *event)
{
	size_t n = 0;

	for (const char *p = contents_of(name); p != NULL && *p != '\0';) {
		p = parse_line(p);
		n += p != NULL && has("event", event);
	}
	return n;
}

static void open_log(int64_t max_bytes, int64_t keep)
{
	rotate_configure(max_bytes, keep);
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
}

static int full_files(void)
{
	struct stat st;
	int oldest = 0;
	int first;

	open_log(1000, 4);
	put_numbered(0, 200);
	while (exists(part(oldest + 1))) {
		oldest++;
		CHECK(stat(part(oldest), &st) == 0 && st.st_size >= 1000 && st.st_size < 1200);
	}
	CHECK(oldest == 4 && !exists(part(6)));
	contents_of(part(4));
	CHECK(parse_line(contents) != NULL);
	first = atoi(value_of("i"));
	CHECK(first > 100 && hold(4, first, 200));
	CHECK(has("lost", "(none)"));
	return 0;
}

static int none_kept(void)
{
	open_log(1000, 0);
	put_numbered(0, 200);
	CHECK(!exists(part(1)));
	CHECK(count_lines(contents_of(log_name)) <= 10 && parse_last(log_name));
	CHECK(has("i", "199"));
	return 0;
}

static int one_kept(void)
{
	open_log(1000, 1);
	put_numbered(0, 200);
	CHECK(exists(part(1)) && !exists(part(2)));
	contents_of(part(1));
	CHECK(parse_line(contents) != NULL && hold(1, atoi(value_of("i")), 200));
	return 0;
}

static int no_limit(void)
{
	open_log(0, 5);
	put_numbered(0, 2000);
	CHECK(!exists(part(1)) && hold(0, 0, 2000));
	return 0;
}

static int same_mode_and_owner(void)
{
	struct stat st;
	bool root = geteuid() == 0;

	CHECK(put_file(log_name, "") && chmod(log_name, 0664) == 0);
	CHECK(!root || chown(log_name, (uid_t)-1, 23456) == 0);
	umask(077);
	open_log(1000, 3);
	put_numbered(0, 30);
	for (int number = 0; number < 3; number++) {
		CHECK(stat(part(number), &st) == 0 && (st.st_mode & 07777) == 0664);
		CHECK(!root || (st.st_uid == 0 && st.st_gid == 23456));
	}
	return 0;
}

static int moved_away(void)
{
	open_log(0, 5);
	put_numbered(0, 10);
	CHECK(rename(log_name, other_name) == 0);
	put_numbered(10, 11);
	CHECK(!exists(log_name));
	later_s++;
	put_numbered(11, 20);
	CHECK(hold(0, 11, 20));
	CHECK(count_lines(contents_of(other_name)) == 11);
	/* And with `create`. */
	CHECK(rename(log_name, other_name) == 0 && put_file(log_name, ""));
	later_s++;
	put_numbered(20, 30);
	CHECK(hold(0, 20, 30));
	return 0;
}

static int cannot_be_reopened(void)
{
	char inner[PATH_MAX + 8];
	char name[PATH_MAX + 16];
	char moved[PATH_MAX + 8];

	snprintf(inner, sizeof(inner), "%s/inner", log_folder);
	snprintf(name, sizeof(name), "%s/log", inner);
	snprintf(moved, sizeof(moved), "%s/moved", log_folder);
	CHECK(mkdir(inner, 0700) == 0);
	rotate_configure(1000, 5);
	record_configure(name, LEVEL_INFO, "app");
	record_open();
	put_line("one");
	CHECK(rename(name, moved) == 0 && rmdir(inner) == 0);
	later_s++;
	put_line("two");
	later_s++;
	for (int i = 0; i < 20; i++) {
		put_line("three");
	}
	CHECK(count_lines(contents_of(moved)) == 22);
	CHECK(parse_last(moved) && has("lost", "(none)"));
	return 0;
}

static int removed(void)
{
	open_log(0, 5);
	put_numbered(0, 10);
	CHECK(unlink(log_name) == 0);
	put_numbered(10, 20);
	CHECK(hold(0, 10, 20));
	return 0;
}

static int truncated(void)
{
	struct stat st;

	open_log(0, 5);
	put_numbered(0, 10);
	CHECK(truncate(log_name, 0) == 0);
	put_numbered(10, 20);
	CHECK(hold(0, 10, 20));
	/* No hole where the old lines were. */
	CHECK(stat(log_name, &st) == 0 && (size_t)st.st_size == strlen(contents));
	return 0;
}

static void put_stack(uint32_t id)
{
	struct record r;

	if (record_begin(&r, LEVEL_INFO, "acquire")) {
		record_stack(&r, "stack", id);
		record_end(&r);
	}
}

static int stacks_in_each_file(void)
{
	uint32_t id = stack_capture(__builtin_return_address(0), 4);

	open_log(3000, 9);
	while (!exists(part(2))) {
		put_stack(id);
	}
	put_stack(id);
	for (int number = 0; number < 3; number++) {
		CHECK(count_events(part(number), "stack") == 1);
	}
	CHECK(truncate(log_name, 0) == 0);
	put_stack(id); /* notices */
	put_stack(id);
	put_stack(id);
	CHECK(count_events(log_name, "stack") == 1);
	return 0;
}

/* As far as a rotation gets that is killed in the middle: nothing is lost over it. */
static int killed_between_link_and_rename(void)
{
	open_log(2000, 9);
	put_numbered(0, 10);
	CHECK(link(log_name, part(1)) == 0);
	put_numbered(10, 60);
	CHECK(exists(part(2)));
	for (int number = 1; number < 9 && exists(part(number)); number++) {
		struct stat st;

		CHECK(stat(part(number), &st) == 0 && st.st_nlink == 1);
	}
	CHECK(hold(9, 0, 60));
	return 0;
}

static int killed_while_moving(void)
{
	char fresh[PATH_MAX + 8];

	snprintf(fresh, sizeof(fresh), "%s.new", log_name);
	/* log.1 is not there yet, log.2 and log.3 are. */
	CHECK(put_file(part(2), "third\n") && put_file(part(3), "second\n"));
	CHECK(put_file(part(4), "first\n") && put_file(fresh, "left behind"));
	open_log(1000, 4);
	put_numbered(0, 15);
	CHECK(strcmp(contents_of(part(4)), "first\n") == 0);
	CHECK(strcmp(contents_of(part(2)), "third\n") == 0);
	CHECK(!exists(fresh) && hold(1, 0, 15));
	put_numbered(15, 25);
	CHECK(strcmp(contents_of(part(4)), "second\n") == 0);
	return 0;
}

/* A process that is stopped in the middle holds nobody up. */
static int held_by_another(void)
{
	int fd;

	open_log(1000, 4);
	CHECK((fd = open(log_name, O_RDONLY)) >= 0 && flock(fd, LOCK_EX) == 0);
	put_numbered(0, 50);
	later_s++;
	put_numbered(50, 100);
	CHECK(!exists(part(1)) && hold(0, 0, 100) && has("event", "line"));
	close(fd);
	later_s++;
	put_numbered(100, 105);
	CHECK(exists(part(1)) && !exists(part(2)) && hold(1, 0, 105));
	return 0;
}

/* It was rotated already, by somebody who then was stopped for long and wakes up. */
static int rotated_by_another(void)
{
	struct stat st;

	open_log(1000, 4);
	put_numbered(0, 5);
	CHECK(stat(log_name, &st) == 0);
	CHECK(rename(log_name, part(1)) == 0 && put_file(log_name, "new=1\n"));
	CHECK(rotate_file(log_name, &st) == 0);
	CHECK(strcmp(contents_of(log_name), "new=1\n") == 0 && !exists(part(2)));
	put_numbered(5, 20);
	CHECK(strncmp(contents_of(log_name), "new=1\n", 6) == 0);
	return 0;
}

static void rotate_first(void)
{
	if (rename(log_name, part(1)) == 0) {
		put_file(log_name, "new=1\n");
	}
}

/* Between our look at the name and the lock. */
static int forestalled(void)
{
	open_log(1000, 4);
	before_lock = rotate_first;
	put_numbered(0, 14);
	CHECK(before_lock == NULL && exists(part(1)) && !exists(part(2)));
	CHECK(strncmp(contents_of(log_name), "new=1\n", 6) == 0);
	CHECK(hold(1, 0, 14));
	return 0;
}

static int told_once(const char *name, const char *why)
{
	for (int i = 0; i < 5; i++) {
		put_numbered(i * 20, i * 20 + 20);
		later_s++;
	}
	CHECK(hold(0, 0, 100) && count_events(name, "rotate_failed") == 1);
	CHECK(!exists(part(1)));
	CHECK(strstr(contents_of(name), why) != NULL);
	return 0;
}

static int cannot_be_rotated(void)
{
	char fresh[PATH_MAX + 8];
	int line;

	snprintf(fresh, sizeof(fresh), "%s.new", log_name);
	CHECK(mkdir(fresh, 0700) == 0);
	open_log(1000, 4);
	line = told_once(log_name, "level=warning ");
	CHECK(rmdir(fresh) == 0 && line == 0);
	later_s++;
	put_numbered(100, 105);
	CHECK(exists(part(1)) && hold(1, 0, 105));
	CHECK(mkdir(fresh, 0700) == 0);
	put_numbered(105, 130);
	CHECK(rmdir(fresh) == 0);
	CHECK(count_events(log_name, "rotate_failed") == 1);
	return 0;
}

static int forbidden_folder(void)
{
	if (geteuid() == 0) {
		CHECK(put_file(log_name, "") && chown(log_name, 12345, 12345) == 0);
		CHECK(chmod(log_folder, 0711) == 0 && setresuid(12345, 12345, 12345) == 0);
	} else {
		CHECK(put_file(log_name, "") && chmod(log_folder, 0500) == 0);
	}
	open_log(1000, 4);
	return told_once(log_name, "\"Permission denied\"");
}

static int forbidden_folder_restored(void)
{
	pid_t child = fork();
	int line;

	if (child == 0) {
		_exit(forbidden_folder() % 256);
	}
	line = status_of(child);
	return chmod(log_folder, 0700) == 0 ? line : __LINE__;
}

static int behind_a_link(void)
{
	open_log(1000, 4);
	CHECK(rename(log_name, other_name) == 0 && symlink(other_name, log_name) == 0);
	return told_once(other_name, "symbolic link");
}

static int limit_of_the_process(void)
{
	struct rlimit limit = {.rlim_cur = 1500, .rlim_max = RLIM_INFINITY};

	open_log(1 << 20, 100);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	put_numbered(0, 100);
	CHECK(exists(part(5)) && hold(100, 0, 100));
	CHECK(has("lost", "(none)"));
	/* Not even one line: nothing to be done, and no empty files. */
	limit.rlim_cur = 10;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	later_s++;
	put_numbered(100, 110);
	limit.rlim_cur = RLIM_INFINITY;
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	later_s++;
	put_numbered(110, 111);
	CHECK(parse_last(log_name) && has("i", "110") && has("lost", "10"));
	return 0;
}

static int fifo_is_none(void)
{
	int reader;

	CHECK(mkfifo(log_name, 0600) == 0);
	CHECK((reader = open(log_name, O_RDONLY | O_NONBLOCK)) >= 0);
	open_log(100, 4);
	put_numbered(0, 20);
	later_s++;
	put_numbered(20, 40);
	CHECK(!exists(part(1)));
	CHECK(read(reader, contents, 100) == 100);
	return 0;
}

static int child_and_parent(void)
{
	pid_t child;

	open_log(1000, 100);
	record_fork_prepare();
	child = fork();
	if (child == 0) {
		record_fork_child();
		put_numbered(0, 300);
		_exit(0);
	}
	record_fork_parent();
	put_numbered(1000, 1300);
	CHECK(status_of(child) == 0);
	for (int number = 100, next[2] = {0, 1000}; number >= 0; number--) {
		for (const char *p = contents_of(part(number)); *p != '\0';) {
			int i;

			p = parse_line(p);
			CHECK(p != NULL);
			i = atoi(value_of("i"));
			CHECK(i == next[i >= 1000]++);
		}
		CHECK(number > 0 || (next[0] == 300 && next[1] == 1300));
	}
	return 0;
}

CHILD_TEST(sets_full_files_aside, full_files)
CHILD_TEST(keeps_none, none_kept)
CHILD_TEST(keeps_one, one_kept)
CHILD_TEST(has_no_limit, no_limit)
CHILD_TEST(keeps_mode_and_owner, same_mode_and_owner)
CHILD_TEST(notices_a_move, moved_away)
CHILD_TEST(stays_where_it_cannot_follow, cannot_be_reopened)
CHILD_TEST(notices_a_removal_at_once, removed)
CHILD_TEST(survives_a_truncation, truncated)
CHILD_TEST(writes_stacks_into_each_file, stacks_in_each_file)
CHILD_TEST(ends_a_rotation_killed_at_its_end, killed_between_link_and_rename)
CHILD_TEST(ends_a_rotation_killed_in_the_middle, killed_while_moving)
CHILD_TEST(waits_for_nobody, held_by_another)
CHILD_TEST(does_not_rotate_twice, rotated_by_another)
CHILD_TEST(is_forestalled, forestalled)
CHILD_TEST(tells_once_why_not, cannot_be_rotated)
CHILD_TEST(goes_on_in_a_forbidden_folder, forbidden_folder_restored)
CHILD_TEST(leaves_symbolic_links_alone, behind_a_link)
CHILD_TEST(respects_the_limit_of_the_process, limit_of_the_process)
CHILD_TEST(leaves_fifos_alone, fifo_is_none)
CHILD_TEST(shares_with_a_child, child_and_parent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_full_files_aside),
		cmocka_unit_test(keeps_none),
		cmocka_unit_test(keeps_one),
		cmocka_unit_test(has_no_limit),
		cmocka_unit_test(keeps_mode_and_owner),
		cmocka_unit_test(notices_a_move),
		cmocka_unit_test(stays_where_it_cannot_follow),
		cmocka_unit_test(notices_a_removal_at_once),
		cmocka_unit_test(survives_a_truncation),
		cmocka_unit_test(writes_stacks_into_each_file),
		cmocka_unit_test(ends_a_rotation_killed_at_its_end),
		cmocka_unit_test(ends_a_rotation_killed_in_the_middle),
		cmocka_unit_test(waits_for_nobody),
		cmocka_unit_test(does_not_rotate_twice),
		cmocka_unit_test(is_forestalled),
		cmocka_unit_test(tells_once_why_not),
		cmocka_unit_test(goes_on_in_a_forbidden_folder),
		cmocka_unit_test(leaves_symbolic_links_alone),
		cmocka_unit_test(respects_the_limit_of_the_process),
		cmocka_unit_test(leaves_fifos_alone),
		cmocka_unit_test(shares_with_a_child),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
