/* SPDX-License-Identifier: PostgreSQL */
/*
 * A child for each test, which begins without a status page, and what is read of its page;
 * after cmocka.h.
 */
#ifndef PQPOOL_TESTS_STATUS_CHILD_H
#define PQPOOL_TESTS_STATUS_CHILD_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread/pid.h"
#include "trace/status/status.h"
#include "trace/status/status_format.h"

/* Of the one session that is shown at a time. */
static struct status_said said __attribute__((unused));

static char folder[] = "/dev/shm/pqpool-test-status-XXXXXX";

static const char *reason(unsigned number)
{
	return number == 0 ? "none" : "aged";
}

static inline int set_up(void **state)
{
	static const struct config config = {.size = 7};

	(void)state;
	assert_non_null(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	status_configure(&config, "test", reason, 2);
	return 0;
}

static inline int clean_up(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* The files beside the page, by their ending; one of them in `path`. */
static inline int files(const char *end, char path[512])
{
	char place[64];
	const struct dirent *entry;
	int n = 0;
	DIR *dir;

	snprintf(place, sizeof(place), "%s/pqpool", folder);
	dir = opendir(place);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot != NULL && strcmp(dot, end) == 0) {
			snprintf(path, 512, "%s/%s", place, entry->d_name);
			n++;
		}
	}
	if (dir != NULL) {
		closedir(dir);
	}
	return n;
}

/* Every test is a process of its own, so that it begins without a page. */
static inline void in_child(void (*test)(void))
{
	pid_t child = fork();
	int status = -1;

	assert_true(child >= 0);
	if (child == 0) {
		pid_renew();
		status_fork_child(false);
		status_fork_prepare();
		status_fork_child(true);
		test();
		status_remove();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Within the child cmocka's assertions would go on with its parent's tests. */
static inline void must(int is, const char *what, int line)
{
	if (!is) {
		fprintf(stderr, "# line %d: %s\n", line, what);
		abort();
	}
}

#define MUST(is) must(is, #is, __LINE__)

static inline int open_page(void)
{
	char path[512];
	int fd;

	MUST(files(".page", path) == 1);
	fd = open(path, O_RDONLY);
	MUST(fd >= 0);
	return fd;
}

/* A session's number has its pool's in the upper half. */
static inline struct status_session session_at(int fd, uint32_t row)
{
	struct status_session shown = {0};

	MUST(pread(fd, &shown, sizeof(shown),
	           (off_t)(STATUS_SESSIONS_AT + ((row & 0xffff) - 1) * sizeof(shown))) ==
	     sizeof(shown));
	return shown;
}

static inline struct status_head head_of(int fd)
{
	struct status_head head;

	MUST(pread(fd, &head, sizeof(head), 0) == sizeof(head));
	return head;
}

static inline struct status_lease lease_of(uint64_t id)
{
	return (struct status_lease){.id = id, .began_us = id, .began_ns = id, .tid = 5};
}

/* Of sessions of no pool, which tell none. */
static struct status_holds holds;

#endif
