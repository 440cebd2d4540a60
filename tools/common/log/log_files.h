/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files of a log in the order they were written: those that rotation put aside
 * (name.3, name.2, name.1, the newest), then the one in use, name.
 *
 * All are opened before the first is read, the newest first: a rotation in between renames
 * open files only, so no line is missed.
 */
#ifndef PQPOOL_TOOLS_COMMON_LOG_LOG_FILES_H
#define PQPOOL_TOOLS_COMMON_LOG_LOG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_file {
	char *name;
	int fd;
	unsigned family; /* of one log: the files of two logs may be two machines' */
	uint64_t lines;  /* that were read (log_lines.h) */
	uint64_t unread; /* of these, skipped: torn ones, and lines of other programs */
};

struct log_files {
	struct log_file *all; /* in the order of reading */
	size_t count;
};

/*
 * Opens the logs that are named, each with its rotated siblings; of a rotated file the
 * others, too, if the log that it belongs to is there. No file is opened twice. False,
 * after one line on stderr, if a named one cannot be opened. Owner: the caller, who gives
 * it to log_files_close and log_files_free either way.
 */
bool log_files_open(struct log_files *files, char *const *names, size_t count);

/* The first of them that is another user's, if we are root and must not believe it; NULL. */
const struct log_file *log_files_foreign(const struct log_files *files);

/* Closes them: names and counts stay, until log_files_free. */
void log_files_close(struct log_files *files);
void log_files_free(struct log_files *files);

#endif
