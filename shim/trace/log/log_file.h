/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log file: opened, followed by its name, rotated, appended to. Only sink.c uses it.
 *
 * Its descriptor is high, close-on-exec, and compared by device and inode before each write; if
 * the program has closed it, the file is opened again, and a number that the program has reused
 * is left alone. Several times a second, and at once if the file was removed, the name is
 * looked at: if it leads to another file, because the open one was rotated or moved, lines go
 * there from then on. The file must be the effective user's own, and no symbolic link may lead
 * to it, for other users may write to its folder, too; except where the name is that of a
 * descriptor of the program's (/dev/stderr). Nothing here blocks on a fifo, or raises SIGPIPE
 * or SIGXFSZ.
 *
 * Other processes may append to the same file, so a line is one write(2). A full disk may cut
 * it, and half of it cannot be taken back. It is lost then, and the next line of this process
 * first ends the half by the word "torn" and a newline. Until then another process may append
 * its own line right behind the half.
 *
 * Locks: called with LOCK_RECORD held, unless it says otherwise. errno is not kept.
 */
#ifndef PQPOOL_TRACE_LOG_LOG_FILE_H
#define PQPOOL_TRACE_LOG_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/text/strbuf.h"

/* Opens the file that log_name.h names, unless it is open; false: see errno. */
bool log_file_open(void);

/* Writes a whole line; false: it is lost. */
bool log_file_put(const struct strbuf *line);

/* How many files lines went to, a truncated one counted again. Needs no lock. */
unsigned log_file_number(void);

/* The errno for which the file cannot be rotated, once until it can be again; or 0. No lock. */
int log_file_take_trouble(void);

/* False if the limit on file sizes forbids `n` more bytes: a write would raise SIGXFSZ. No
 * lock. */
bool log_file_has_room(const struct stat *st, size_t n);

/*
 * In a forked child: it opens its own file if the name holds the pid, or, `usable` false, if
 * the parent's state may be half changed.
 */
void log_file_fork_child(bool usable);

#endif
