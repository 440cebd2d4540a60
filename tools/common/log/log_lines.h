/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads logs, line by line, each of any length and as often as need be, in little memory.
 *
 * A torn line, and one that others wrote, is skipped and counted. Where a whole line stands
 * behind a torn one, or behind what syslog puts before it, it is found by its beginning.
 */
#ifndef PQPOOL_TOOLS_COMMON_LOG_LOG_LINES_H
#define PQPOOL_TOOLS_COMMON_LOG_LOG_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log/log_files.h"
#include "common/log/log_line.h"

struct log_lines {
	/* Takes a line of the log `family`, which is gone afterwards. False: it is none of
	 * ours. */
	bool (*take)(void *arg, unsigned family, const struct log_line *line);
	void *arg;
	uint64_t format; /* the newest that a process says it writes (LOG_VERSION); 0 = none */
	bool foreign;    /* another user wrote them, whom we as root must not believe */
};

/*
 * Reads the logs that are named, with their rotated siblings, from the oldest line on, and
 * counts the lines in `files`. Warns of lines that were skipped, of a format that we do not
 * know, and of another user's logs. False, after a warning, if one cannot be read. Owner of
 * `files`: the caller (log_files_free).
 */
bool log_lines_read(struct log_lines *lines, struct log_files *files, char *const *names,
                    size_t count);

/* The same of files that are open, and without a word of what was skipped. */
bool log_lines_read_open(struct log_lines *lines, const struct log_files *files);

#endif
