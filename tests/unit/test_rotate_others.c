/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log files that are moved away, truncated or removed, and rotations that somebody else began,
 * holds up, or did not live to end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "numbered_lines.h"

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

CHILD_TEST(notices_a_move, moved_away)
CHILD_TEST(stays_where_it_cannot_follow, cannot_be_reopened)
CHILD_TEST(notices_a_removal_at_once, removed)
CHILD_TEST(survives_a_truncation, truncated)
CHILD_TEST(ends_a_rotation_killed_at_its_end, killed_between_link_and_rename)
CHILD_TEST(ends_a_rotation_killed_in_the_middle, killed_while_moving)
CHILD_TEST(waits_for_nobody, held_by_another)
CHILD_TEST(does_not_rotate_twice, rotated_by_another)
CHILD_TEST(is_forestalled, forestalled)
CHILD_TEST(shares_with_a_child, child_and_parent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notices_a_move),
		cmocka_unit_test(stays_where_it_cannot_follow),
		cmocka_unit_test(notices_a_removal_at_once),
		cmocka_unit_test(survives_a_truncation),
		cmocka_unit_test(ends_a_rotation_killed_at_its_end),
		cmocka_unit_test(ends_a_rotation_killed_in_the_middle),
		cmocka_unit_test(waits_for_nobody),
		cmocka_unit_test(does_not_rotate_twice),
		cmocka_unit_test(is_forestalled),
		cmocka_unit_test(shares_with_a_child),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
