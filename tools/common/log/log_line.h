/* SPDX-License-Identifier: PostgreSQL */
/*
 * One line of the log, taken apart: key=value pairs as shim/trace/log/record.h has them.
 *
 * The text may be anything, another program's output too: a line that is not whole, or not
 * in the grammar, is refused.
 */
#ifndef PQPOOL_TOOLS_COMMON_LOG_LOG_LINE_H
#define PQPOOL_TOOLS_COMMON_LOG_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_PAIRS 64

struct log_line {
	size_t count;
	const char *keys[LOG_LINE_PAIRS];
	const char *values[LOG_LINE_PAIRS]; /* quotes and escapes undone */
};

/*
 * Takes the line `text` apart in place: it is written to, and `line` points into it. It
 * has no newline but ends with a NUL. False if it is not in the grammar.
 */
bool log_line_parse(struct log_line *line, char *text);

/* The value of `key`, NULL if there is none. */
const char *log_line_get(const struct log_line *line, const char *key);

/* The value as a whole number; false, and no change, if there is none or it is something else.
 */
bool log_line_u64(const struct log_line *line, const char *key, uint64_t *value);
bool log_line_i64(const struct log_line *line, const char *key, int64_t *value);

/* The wall clock of `time=2024-05-01T09:30:00.123456Z`, in microseconds; false likewise. */
bool log_line_time_us(const struct log_line *line, uint64_t *us);

#endif
