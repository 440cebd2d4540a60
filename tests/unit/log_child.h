/* SPDX-License-Identifier: PostgreSQL */
/*
 * For tests of the log: a child for each, and a reader of what it wrote.
 *
 * The log is opened once per process, so a test's body runs in a child, which exits
 * with the line of the check that failed, or 0.
 */
#ifndef PQPOOL_TESTS_LOG_CHILD_H
#define PQPOOL_TESTS_LOG_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "trace/log/record.h"

/* In a body, which returns 0 when all is well. */
#define CHECK(what)                                                                            \
	do {                                                                                   \
		if (!(what)) {                                                                 \
			return __LINE__;                                                       \
		}                                                                              \
	} while (0)

/* Makes a cmocka test of a body. */
#define CHILD_TEST(name, body)                                                                 \
	static void name(void **state)                                                         \
	{                                                                                      \
		(void)state;                                                                   \
		in_child(body);                                                                \
	}

/* Runs `body` in a child, which must exit with 0, and empties the folder. */
void in_child(int (*body)(void));

/* Setup and teardown of the group. */
int make_log_folder(void **state);
int remove_log_folder(void **state);

extern char log_folder[];
extern char log_name[];   /* a file in it for the log */
extern char other_name[]; /* and one for something else */

/* Writes a line of that event at LEVEL_INFO. */
static inline void put_line(const char *event)
{
	struct record r;

	if (record_begin(&r, LEVEL_INFO, event)) {
		record_end(&r);
	}
}

bool put_file(const char *name, const char *text);

/* The whole file, "" if there is none; it stays in `contents` until the next call. */
char *contents_of(const char *name);
extern char contents[];
size_t count_lines(const char *text);

/* Parses one line of logfmt; what follows its newline, NULL if it is not well formed. */
const char *parse_line(const char *p);
/* The same for the last line of a file; false if that or any other is not well formed. */
bool parse_last(const char *name);
/* A value of the line that was parsed last, "(none)" if the key is not in it. */
const char *value_of(const char *key);
bool has(const char *key, const char *value);

/* The descriptor on which this process has the file of that name open; -1 if none. */
int descriptor_of(const char *name);

/* The exit status of a child, -1 if it was killed. */
int status_of(pid_t child);

#endif
