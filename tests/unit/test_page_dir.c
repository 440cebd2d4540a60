/* SPDX-License-Identifier: PostgreSQL */
/* The directories of the status pages: which are trusted, and what is cleared out of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "trace/status/page_dir.h"

#define MINUTE 60
#define HOUR   3600
#define NOBODY 65534

static char folder[] = "/dev/shm/test_pagedir.XXXXXX";
static char path[PAGE_DIR_PATH_BYTES];
static int dir;

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
		return -1;
	}
	setenv("XDG_RUNTIME_DIR", folder, 1);
	dir = page_dir_open(PAGE_DIR_XDG, true, path);
	return dir >= 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* ---- which are trusted ---- */

static bool can_open(void)
{
	char unused[PAGE_DIR_PATH_BYTES];
	int opened = page_dir_open(PAGE_DIR_XDG, false, unused);

	if (opened >= 0) {
		close(opened);
	}
	return opened >= 0;
}

static void is_where_the_variable_says(void **state)
{
	char wanted[64];

	(void)state;
	snprintf(wanted, sizeof(wanted), "%s/pqpool", folder);
	assert_string_equal(path, wanted);
	assert_true(can_open());
	setenv("XDG_RUNTIME_DIR", ".", 1); /* it would be another one for each process */
	assert_false(can_open());
	unsetenv("XDG_RUNTIME_DIR");
	assert_false(can_open());
	setenv("XDG_RUNTIME_DIR", folder, 1);
}

static void somebody_elses_is_not_trusted(void **state)
{
	const char *const places[] = {folder, path};

	(void)state;
	if (geteuid() != 0) {
		skip(); /* only root can give one away */
	}
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(chown(places[i], NOBODY, NOBODY), 0);
		assert_false(can_open());
		assert_int_equal(chown(places[i], 0, 0), 0);
		assert_true(can_open());
	}
}

/* ---- what is cleared out ---- */

/* Makes a file of that age; the descriptor. */
static int make_file(const char *name, time_t age)
{
	struct timespec when[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = time(NULL) - age}};
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_RDWR, 0600);

	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, when), 0);
	return fd;
}

static void put_file(const char *name, time_t age)
{
	close(make_file(name, age));
}

static bool is_there(const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

static bool take_away(const char *name)
{
	return unlinkat(dir, name, 0) == 0;
}

/* In place of a page's head: what a file holds is leases. */
static bool holds_leases(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > 0;
}

static void by_age_and_life(void **state)
{
	int held = make_file("held.page", 30 * HOUR);
	int used = make_file("used.page", 30 * HOUR);
	int making = make_file("making.new", HOUR);
	struct stat st;

	(void)state;
	assert_int_equal(write(held, "leases", 6), 6);
	futimens(held, (struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}});
	close(held);
	assert_true(page_dir_lock(used) && page_dir_lock(making));
	put_file("empty.page", 0);
	put_file("old.dead", 24 * HOUR + MINUTE);
	put_file("young.dead", 24 * HOUR - MINUTE);
	put_file("old.new", MINUTE + 10);
	put_file("young.new", MINUTE - 10);
	put_file("a-name-that-is-longer-than-any-of-ours.page", 30 * HOUR);
	put_file("notes", 30 * HOUR);
	page_dir_tidy(dir, SIZE_MAX, holds_leases);
	assert_false(is_there("held.page") || is_there("empty.page") || is_there("old.dead") ||
	             is_there("old.new"));
	/* It is dead from now on, however long nothing had been written to it. */
	assert_int_equal(fstatat(dir, "held.dead", &st, 0), 0);
	assert_true(time(NULL) - st.st_mtime < HOUR);
	close(used);
	close(making);
	assert_true(take_away("held.dead") && take_away("used.page") &&
	            take_away("making.new"));
	assert_true(take_away("young.dead") && take_away("young.new") && take_away("notes"));
	assert_true(take_away("a-name-that-is-longer-than-any-of-ours.page"));
}

static void the_oldest_dead_go_first(void **state)
{
	char name[PAGE_DIR_NAME_BYTES];
	int fd = make_file("last.page", 0);

	(void)state;
	assert_int_equal(write(fd, "leases", 6), 6);
	close(fd);
	for (int i = 1; i < 3 * PAGE_DIR_DEAD_KEPT; i++) {
		snprintf(name, sizeof(name), "%d.dead", i);
		put_file(name, i * MINUTE);
	}
	page_dir_tidy(dir, SIZE_MAX, holds_leases);
	assert_true(take_away("last.dead"));
	for (int i = 1; i < 3 * PAGE_DIR_DEAD_KEPT; i++) {
		snprintf(name, sizeof(name), "%d.dead", i);
		assert_int_equal(take_away(name), i < PAGE_DIR_DEAD_KEPT);
	}
}

static void no_more_than_it_may_look_at(void **state)
{
	char name[PAGE_DIR_NAME_BYTES];
	int left = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "%d.page", i);
		put_file(name, 0);
	}
	page_dir_tidy(dir, 3, holds_leases);
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "%d.page", i);
		left += take_away(name);
	}
	assert_int_equal(left, 2);
}

static bool was_tidied_now(size_t max)
{
	char unused[PAGE_DIR_PATH_BYTES];
	struct stat st;
	int handle = page_dir_find(PAGE_DIR_XDG, true, unused, &st);

	assert_true(handle >= 0);
	close(handle);
	return page_dir_was_tidied(&st, max);
}

static bool was_tidied(time_t read_ago, size_t max)
{
	struct timespec times[2] = {{.tv_nsec = 0}, {.tv_nsec = UTIME_OMIT}};

	times[0].tv_sec = time(NULL) - read_ago;
	assert_int_equal(futimens(dir, times), 0);
	return was_tidied_now(max);
}

static void not_everybody_looks(void **state)
{
	char name[PAGE_DIR_NAME_BYTES];

	(void)state;
	put_file("one.page", 0);
	/* Of a clock that was put back nothing is known. */
	assert_false(was_tidied(-MINUTE, 3));
	assert_false(was_tidied(MINUTE, 3));
	page_dir_tidy(dir, SIZE_MAX, holds_leases);
	assert_false(take_away("one.page"));
	/* A slow machine may take longer than the second. */
	assert_true(was_tidied_now(3));
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%d.page", i);
		put_file(name, 0);
	}
	assert_false(was_tidied_now(3));
	assert_true(was_tidied_now(4));
	page_dir_tidy(dir, SIZE_MAX, holds_leases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_everybody_looks),
		cmocka_unit_test(is_where_the_variable_says),
		cmocka_unit_test(somebody_elses_is_not_trusted),
		cmocka_unit_test(by_age_and_life),
		cmocka_unit_test(the_oldest_dead_go_first),
		cmocka_unit_test(no_more_than_it_may_look_at),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
