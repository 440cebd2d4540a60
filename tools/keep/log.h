/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's log, in the format of the library's (tools/README.md), where PQPOOL_LOG says, at
 * PQPOOL_LOG_LEVEL.
 *
 * A file is opened for each line: programs that log into the same one may rename it.
 */
#ifndef PQPOOL_TOOLS_KEEP_LOG_H
#define PQPOOL_TOOLS_KEEP_LOG_H

#include "base/config/config.h"
#include "trace/log/pairs.h"

/* Called at the start and whenever settings were read; the first line is event=config. */
void log_begin(const struct config *config);

/* Begins a line: the place for its pairs. NULL: lines of this level are not wanted. */
struct strbuf *log_line(enum config_level level, const char *event);
void log_u64(struct strbuf *line, const char *key, uint64_t value);
void log_end(void);

#endif
