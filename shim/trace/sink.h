/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file, syslog or stderr. Only record.c uses it.
 *
 * A file's descriptor is high, close-on-exec, and compared by device and inode before
 * each write; if it is lost, the file is opened again under its name. The number a
 * stranger has by then is left alone. Nothing here blocks on a fifo or a socket, and
 * nothing raises SIGPIPE or SIGXFSZ.
 *
 * Locks: LOCK_RECORD, but not for stderr. errno is kept by every function.
 */
#ifndef PQPOOL_TRACE_SINK_H
#define PQPOOL_TRACE_SINK_H

#include <stdbool.h>

#include "base/config.h"
#include "base/text.h"

/* Bytes that the caller leaves free, and its own, before the text of a line. */
#define SINK_HEAD 1

/*
 * Opens the sink that `log` names, as record_open describes it. Returns 0, or the
 * errno for which it could not: then stderr has taken its place. Called once, first.
 */
int sink_open(const char *log, const char *program);

/* Writes a line, which ends in a newline, by one system call; false if it is lost. */
bool sink_put(const struct text *line, enum config_level level);

/* Writes whole lines to stderr, if descriptor 2 is the file it was at sink_open. */
bool sink_put_on_stderr(const struct text *t);

bool sink_is_stderr(void);

void sink_fork_prepare(void);
void sink_fork_parent(void);
/* A file whose name holds the pid is closed; the first line opens the child's own. */
void sink_fork_child(void);

#endif
