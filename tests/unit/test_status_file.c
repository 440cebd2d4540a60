/* SPDX-License-Identifier: PostgreSQL */
/* The status page's file: disks that are full, forks, and what killed processes have left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "status_child.h"
#include "trace/status/page_dir.h"

static atomic_int full_after = INT32_MAX; /* so many allocations succeed */

int posix_fallocate(int fd, off_t offset, off_t n)
{
	if (atomic_fetch_sub(&full_after, 1) <= 0) {
		return ENOSPC;
	}
	return fallocate(fd, 0, offset, n) == 0 ? 0 : errno;
}

static void fill_up(void)
{
	char path[512];
	uint32_t n = 0;

	full_after = 1; /* fewer than it takes */
	MUST(status_take_session(1, 0, 0) == 0);
	MUST(files(".page", path) == 0 && files(".new", path) == 0);
	full_after = INT32_MAX;
	MUST(status_take_session(1, 0, 0) == 0); /* it is not tried again */
	status_fork_prepare();
	status_fork_child(true);
	full_after = 3; /* one more than it takes: it grows once */
	while (status_take_session(n + 1, 0, 0) != 0) {
		n++;
	}
	MUST(n == (4096 + 8192) / sizeof(struct status_session));
	full_after = INT32_MAX;
	MUST(status_take_session(1, 0, 0) == n + 1);
}

static void a_full_disk_is_survived(void **state)
{
	(void)state;
	in_child(fill_up);
}

static void limit_files(void)
{
	const struct rlimit limit = {4096, 4096};

	MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	MUST(status_take_session(1, 0, 0) == 0); /* and no SIGXFSZ */
}

static void a_limit_on_files_is_heeded(void **state)
{
	(void)state;
	in_child(limit_files);
}

static void fork_once(void)
{
	uint32_t row = status_take_session(1, 1, 0);
	struct status_lease lease = lease_of(1);
	char path[512];
	int status = -1;
	int fd = open_page();
	pid_t child;

	status_lease_begun(row, &lease);
	status_fork_prepare();
	child = fork();
	if (child == 0) {
		pid_renew();
		status_fork_child(true);
		status_lease_ended(row, &holds, 1, 1); /* nothing happens */
		MUST(files(".page", path) == 1 && session_at(fd, row).lease == 1);
		MUST(status_take_session(2, 2, 0) != 0);
		MUST(files(".page", path) == 2);
		status_remove();
		_exit(files(".page", path));
	}
	status_fork_parent();
	MUST(waitpid(child, &status, 0) == child);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	MUST(session_at(fd, row).state == STATUS_SESSION_LEASED);
	MUST(page_dir_is_live(fd)); /* not ended by the child's end */
}

static void a_child_has_its_own(void **state)
{
	(void)state;
	in_child(fork_once);
}

/* The numbers and the words of before are the parent's. */
static void fork_with_rows(void)
{
	uint32_t row = status_take_session(1, 1, 0);
	struct status_lease lease = lease_of(1);
	int status = -1;
	pid_t child;

	status_lease_begun(row, &lease);
	status_statement(row, &said, "SELECT 1");
	for (int i = 0; i < 100; i++) {
		MUST(status_take_session(2, 2, 0) != 0 && status_take_pool("one", 1, 1) != 0);
	}
	status_fork_prepare();
	child = fork();
	if (child == 0) {
		char path[512];
		int fd;

		pid_renew();
		status_fork_child(true);
		MUST(files(".page", path) == 1 && unlink(path) == 0); /* the parent's */
		MUST(status_take_session(3, 3, 0) == 1 && status_take_pool("two", 1, 1) == 1);
		said = (struct status_said){0};
		fd = open_page();
		status_lease_begun(row, &lease);
		status_statement(row, &said, "SELECT 1");
		MUST(strcmp(session_at(fd, 1).statement, "SELECT ...") == 0);
		status_remove();
		_exit(0);
	}
	status_fork_parent();
	MUST(waitpid(child, &status, 0) == child && status == 0);
}

static void a_child_has_all_rows_free(void **state)
{
	(void)state;
	in_child(fork_with_rows);
}

/* So that the next one that makes a page looks at the others. */
static void nobody_has_looked(void)
{
	const struct timespec times[2] = {{.tv_sec = 0}, {.tv_nsec = UTIME_OMIT}};
	char unused[PAGE_DIR_PATH_BYTES];
	int dir = page_dir_open(PAGE_DIR_XDG, true, unused);

	MUST(dir >= 0 && futimens(dir, times) == 0 && close(dir) == 0);
}

/* A page as a killed process leaves it. */
static void leave_page(int leases)
{
	pid_t child;

	nobody_has_looked();
	child = fork();
	if (child == 0) {
		struct status_lease lease = lease_of(1);

		pid_renew();
		status_fork_prepare();
		status_fork_child(true);
		MUST(status_take_session(1, 1, 0) == 1);
		for (int i = 0; i < leases; i++) {
			status_lease_begun(1, &lease);
		}
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0) == child);
}

static void tidy_up(void)
{
	char path[512];

	leave_page(0);
	MUST(files(".page", path) == 1);
	strcpy(strrchr(path, '/'), "/garbage.page");
	MUST(close(creat(path, 0600)) == 0);
	leave_page(2); /* removes both, and stays */
	MUST(files(".page", path) == 1);
	nobody_has_looked();
	MUST(status_take_session(1, 1, 0) != 0);
	MUST(files(".page", path) == 1 && files(".dead", path) == 1);
}

static void what_is_left_is_cleared_out(void **state)
{
	(void)state;
	in_child(tidy_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_is_survived),
		cmocka_unit_test(a_limit_on_files_is_heeded),
		cmocka_unit_test(a_child_has_its_own),
		cmocka_unit_test(a_child_has_all_rows_free),
		cmocka_unit_test(what_is_left_is_cleared_out),
	};

	return cmocka_run_group_tests(tests, set_up, clean_up);
}
