/* SPDX-License-Identifier: PostgreSQL */
/*
 * Appends whole lines to a regular file to which other processes append, too.
 *
 * One write(2) a line. One that a full disk cuts short leaves half a line, which cannot
 * be taken back, because others may have appended by then. So the other half is kept, and
 * written as soon as there is room; only if somebody else's line came between is the line
 * given up. Whoever finds the half line of another, at the end of the file, ends it by the
 * word "torn" and a newline before the line of his own: a half may look like a whole. Both are
 * done under a lock on the file (flock, not waited for), so that they do not happen at once:
 * who does not get it counts his line as lost, and tries with the next.
 *
 * One case is left: who looked at the file before the half line came, and does not write
 * before there is room again, writes right behind it.
 *
 * Locks: none of its own, called with LOCK_RECORD held, which guards the half line; but
 * append_has_room is free for all. errno is not kept.
 */
#ifndef PQPOOL_TRACE_LOG_APPEND_H
#define PQPOOL_TRACE_LOG_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/text/strbuf.h"

/* Bytes that are the caller's to spare before the text of a line. */
#define APPEND_HEAD (sizeof(APPEND_TORN) - 1)

/* Ends a half line. No whole line ends so: a word of its own stands for nothing. */
#define APPEND_TORN " torn\n"

/* False if the limit on file sizes forbids it: a write would raise SIGXFSZ. */
bool append_has_room(const struct stat *st, size_t n);

/*
 * Appends `line`, which stands behind APPEND_HEAD spare bytes, to the file on `fd`, which is in
 * the state `st` and has room. True if the line is in the file, or half of it and the rest will
 * be; otherwise it is lost. `lines` are lost if the rest is given up later.
 */
bool append_line(int fd, struct stat *st, const struct strbuf *line, uint64_t lines);

/* Sees to the half of an earlier line; false if it has to go on waiting. */
bool append_rest(int fd, struct stat *st);

/* Gives it up: the file is left, or the half is a parent's. */
void append_give_up(void);

/* How many lines were given up since this was last asked. */
uint64_t append_take_given_up(void);

#endif
