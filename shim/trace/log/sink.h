/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file (log_file.h), syslog or stderr. Only record.c uses it.
 *
 * A file system that stands still (frozen, or a server's that does not answer) blocks a thread
 * that writes to a regular file; no system call tells beforehand. It blocks one thread of the
 * process at most: others wait a moment for their turn, and from then on lose their lines at
 * once, until that thread is back.
 *
 * Locks: LOCK_RECORD, waited for a moment or not at all; another one of that rank for stderr
 * where it is a regular file. No other lock may be held. errno is kept by every function.
 */
#ifndef PQPOOL_TRACE_LOG_SINK_H
#define PQPOOL_TRACE_LOG_SINK_H

#include <stdbool.h>

#include "base/config/config.h"
#include "base/text/strbuf.h"

/* Sets the target that `log` names, as record.h describes it. Called once, first. */
void sink_configure(const char *log, const char *program);

/*
 * Opens it. Returns 0, or the errno of the failure: then stderr has taken its place. Called
 * once.
 */
int sink_open(void);

/* Bytes that sink_put adds to a line at most: the caller leaves room for them. */
#define SINK_TAIL 32

/*
 * Writes a line and a newline by one system call; before the newline lost=N, if N lines could
 * not be written since the last one that could.
 */
void sink_put(struct strbuf *line, enum config_level level);

/*
 * Changes when lines go to another file, and after some were lost: then what lines refer to has
 * to be written again.
 */
unsigned sink_part(void);

/* Counts a line as lost that did not get as far as sink_put. */
void sink_count_lost(void);

/* Writes whole lines to stderr, if descriptor 2 is the file it was at sink_configure. */
bool sink_put_on_stderr(const struct strbuf *t);

bool sink_is_stderr(void);

void sink_fork_prepare(void);
void sink_fork_parent(void);
/* The child's first line opens its own file if the name holds the pid. */
void sink_fork_child(void);

#endif
