/* SPDX-License-Identifier: PostgreSQL */
/*
 * Appends whole lines to a regular file to which other processes append, too.
 *
 * One write(2) a line. A full disk may cut a line, and half of it cannot be taken back: other
 * processes may have appended by then. It is lost, and the next line of this process first ends
 * the half by the word "torn" and a newline. Until then another process may append its own line
 * right behind the half.
 *
 * Locks: none of its own, called with LOCK_RECORD held; but append_has_room may be called
 * without. errno is not kept.
 */
#ifndef PQPOOL_TRACE_LOG_APPEND_H
#define PQPOOL_TRACE_LOG_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/text/strbuf.h"

/* Bytes that may be written in addition to a line. */
#define APPEND_MORE 6

/* False if the limit on file sizes forbids it: a write would raise SIGXFSZ. */
bool append_has_room(const struct stat *st, size_t n);

/* From now on lines go to another file, or this is a child of the process that wrote before. */
void append_begin(void);

/* Appends a line to the file on `fd`, which has room for it and APPEND_MORE. False: it is lost.
 */
bool append_line(int fd, const struct strbuf *line);

#endif
