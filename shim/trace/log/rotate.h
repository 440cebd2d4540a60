/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rotation of a log file that several processes may write to.
 *
 *   log       the file that is written to; when it has reached PQPOOL_LOG_MAX_SIZE it becomes
 *   log.1     the newest of the full ones, and an empty file takes its place
 *   ...
 *   log.N     the oldest, N = PQPOOL_LOG_KEEP; the next rotation removes it
 *   log.new   the empty file before it becomes `log`
 *
 * For readers of the whole log:
 *
 * - The order is log.N, ..., log.1, log. A number may be missing, and there may be higher ones
 *   than N, from processes that keep more. Only digits count (not log.new).
 * - In this order the lines of each process are in order. Those of different processes overlap
 *   where one noticed a rotation late: it writes its next line to what is log.1 by then. A
 *   rotation may rename files while they are read; device and inode tell which is which.
 * - A process that died during a rotation may leave `log` and `log.1` as two names of one file
 *   (equal device and inode), to be read once. The next rotation mends that.
 * - A process that changes to another file writes the stacks that it refers to there again. Its
 *   first line there may still refer to a stack in the file before.
 * - What happened before the oldest file is missing: there may be a release without its
 * acquire, and an open lease without any line.
 * - A line that ends in the word "torn" (no pair), or in no newline, was cut off by a full
 * disk, or by a kill while it was written; skip it, for its last value may be half a value.
 * Another process may have written a whole line, time=..., right behind the half. What a full
 * disk tore is counted in a later lost=N of its process.
 *
 * The name always leads to a file: the full one gets its second name (link) before the empty
 * one replaces its first (rename). The empty one gets the owner, group and mode of the full
 * one. A process that is killed at any point loses nothing and blocks no other: the lock is the
 * kernel's (flock on the full file, through a descriptor of its own, for the log's is shared
 * with forked children), and is not waited for. A process that does not get it goes on writing
 * to the file that it has.
 *
 * A log is not rotated, and goes on growing, if it is no regular file, if its name is that of a
 * descriptor, or if the directory does not permit it.
 *
 * Locks: none of its own; called with LOCK_RECORD held. errno is not kept.
 */
#ifndef PQPOOL_TRACE_LOG_ROTATE_H
#define PQPOOL_TRACE_LOG_ROTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* A file of `max_bytes` is full (0: none ever is); of the full ones `keep` are kept. */
void rotate_configure(int64_t max_bytes, int64_t keep);

/* True if a log file in this state is full, or, no `room`, at the limit on file sizes. */
bool rotate_is_due(const struct stat *st, bool room);

/*
 * Rotates the file `name`, if it still is the one that `st` describes. Returns 0 if the name
 * leads to another file now; EWOULDBLOCK if another process is rotating it; or the errno of the
 * failure.
 */
int rotate_file(const char *name, const struct stat *st);

/* True if `name` leads to the file that `st` describes. */
bool rotate_is_named(const char *name, const struct stat *st);

#endif
