/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file, syslog or stderr. Only record.c uses it.
 *
 * A file's descriptor is high, close-on-exec, and compared by device and inode before
 * each write; if it is lost, the file is opened again under its name. The number a
 * stranger has by then is left alone. Several times a second, and at once if the file was
 * removed, the name is looked at: if it leads to another file, because somebody rotated or
 * moved the one that is open, that one is written to from then on. It is the effective user's
 * own, and no symbolic link leads to it, for the folder may be one that others write to, too;
 * but for the names of the program's own descriptors (/dev/stderr). Nothing here blocks on a
 * fifo or a socket, and nothing raises SIGPIPE or SIGXFSZ.
 *
 * A file system that stands still (frozen, or a server's that does not answer) keeps a thread
 * that writes to a regular file until it goes on; no system call tells beforehand. It keeps one
 * thread of the process: others wait a moment for their turn, and from then on their lines are
 * lost at once, until that thread is back.
 *
 * Locks: LOCK_RECORD, taken for a moment or not at all; for stderr where it is a regular file.
 * No other may be held. errno is kept by every function.
 */
#ifndef PQPOOL_TRACE_LOG_SINK_H
#define PQPOOL_TRACE_LOG_SINK_H

#include <stdbool.h>

#include "base/config/config.h"
#include "base/text/strbuf.h"

/* The sink is the one that `log` names, as record.h describes it. Called once, first. */
void sink_configure(const char *log, const char *program);

/*
 * Opens it. Returns 0, or the errno for which it could not: then stderr has taken its place.
 * Called once.
 */
int sink_open(void);

/* What sink_put adds to a line: room for it is the caller's to keep. */
#define SINK_TAIL 32

/*
 * Writes a line by one system call, a newline behind it, and before that lost=N if N lines
 * could not be written since the last that could.
 */
void sink_put(struct strbuf *line, enum config_level level);

/*
 * Another number than before means that what lines refer to is to be written again: they
 * go to another file, or some were lost.
 */
unsigned sink_part(void);

/* A line was lost before it came here. */
void sink_count_lost(void);

/* The errno for which the file cannot be rotated, once until it can be again; or 0. */
int sink_take_trouble(void);

/* Writes whole lines to stderr, if descriptor 2 is the file it was at sink_configure. */
bool sink_put_on_stderr(const struct strbuf *t);

bool sink_is_stderr(void);

void sink_fork_prepare(void);
void sink_fork_parent(void);
/* A file whose name holds the pid is closed; the first line opens the child's own. */
void sink_fork_child(void);

#endif
