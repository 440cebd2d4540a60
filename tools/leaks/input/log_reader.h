/* SPDX-License-Identifier: PostgreSQL */
/* Reads logs, line by line, into the list of what is still held. */
#ifndef PQPOOL_TOOLS_LEAKS_INPUT_LOG_READER_H
#define PQPOOL_TOOLS_LEAKS_INPUT_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "leaks/input/log_files.h"
#include "leaks/lease_list.h"

/* Counts the lines, and those skipped: torn ones, and lines of other programs. */
struct log_reader {
	struct lease_list *list;
	uint64_t lines;
	uint64_t skipped;
	uint64_t format; /* the newest that a process says it writes (LOG_VERSION); 0 = none */
};

/* Reads all files in their order. False, after a warning, if one cannot be read. */
bool log_reader_read(struct log_reader *reader, const struct log_files *files);

#endif
