/* SPDX-License-Identifier: PostgreSQL */
/* Log files that grow full, and what cannot be rotated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "numbered_lines.h"
#include "trace/stack/stack.h"

static size_t count_events(const char *name, const char *event)
{
	size_t n = 0;

	for (const char *p = contents_of(name); p != NULL && *p != '\0';) {
		p = parse_line(p);
		n += p != NULL && has("event", event);
	}
	return n;
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

CHILD_TEST(sets_full_files_aside, full_files)
CHILD_TEST(keeps_none, none_kept)
CHILD_TEST(keeps_one, one_kept)
CHILD_TEST(has_no_limit, no_limit)
CHILD_TEST(keeps_mode_and_owner, same_mode_and_owner)
CHILD_TEST(writes_stacks_into_each_file, stacks_in_each_file)
CHILD_TEST(tells_once_why_not, cannot_be_rotated)
CHILD_TEST(goes_on_in_a_forbidden_folder, forbidden_folder_restored)
CHILD_TEST(leaves_symbolic_links_alone, behind_a_link)
CHILD_TEST(respects_the_limit_of_the_process, limit_of_the_process)
CHILD_TEST(leaves_fifos_alone, fifo_is_none)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_full_files_aside),
		cmocka_unit_test(keeps_none),
		cmocka_unit_test(keeps_one),
		cmocka_unit_test(has_no_limit),
		cmocka_unit_test(keeps_mode_and_owner),
		cmocka_unit_test(writes_stacks_into_each_file),
		cmocka_unit_test(tells_once_why_not),
		cmocka_unit_test(goes_on_in_a_forbidden_folder),
		cmocka_unit_test(leaves_symbolic_links_alone),
		cmocka_unit_test(respects_the_limit_of_the_process),
		cmocka_unit_test(leaves_fifos_alone),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
