/* SPDX-License-Identifier: PostgreSQL */
/* A log of numbered lines and the files it is in, and a clock that is put forward. */
#ifndef PQPOOL_TESTS_NUMBERED_LINES_H
#define PQPOOL_TESTS_NUMBERED_LINES_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"
#include "trace/log/rotate.h"

static time_t later_s; /* how far the clock is put forward */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += clock == CLOCK_MONOTONIC_COARSE ? later_s : 0;
	return result;
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

static inline bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static inline void put_numbered(int from, int to)
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
static inline int follow(int number, int next)
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
static inline bool hold(int oldest, int first, int end)
{
	for (int number = oldest; number >= 0; number--) {
		first = follow(number, first);
	}
	return first == end;
}

static inline void open_log(int64_t max_bytes, int64_t keep)
{
	rotate_configure(max_bytes, keep);
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
}

#endif
