/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rotation of a log file that several processes may be writing to.
 *
 *   log       the file that is written to; once it has reached PQPOOL_LOG_MAX_SIZE it is
 *   log.1     the newest of the full ones, and an empty file takes its place
 *   ...
 *   log.N     the oldest, N = PQPOOL_LOG_KEEP; the next rotation removes it
 *   log.new   the empty file that is about to become `log`, for an instant
 *
 * What a reader of the whole log has to know:
 *
 * - The order is log.N, ..., log.1, log: numbers from high to low, then the name. A
 *   number may be missing, and there may be higher ones than N, left by processes that
 *   keep more. Only digits count (log.new does not).
 * - In this order each process's lines are in order. Those of different processes overlap
 *   where one was late to notice a rotation: it writes its next line to what is log.1 by
 *   then. While a log is being read a rotation may give its files other names; device and
 *   inode tell which is which.
 * - A process that died within a rotation may leave `log` and `log.1` as two names of one
 *   file (equal device and inode), to be read once. The next rotation puts that right.
 * - A process that went over to another file writes the lines of the stacks anew which it
 *   refers to from then on. Its first line there may still refer to one in the file before.
 * - What happened before the oldest file is not there: a release may come without its
 *   acquire, and a lease may be open of which no line is left.
 * - A line that ends in the word "torn" (no pair), or in no newline, was cut off by a disk
 *   that was full, or by a kill while it was written; it is to be skipped, for its last value
 *   may be half a value. Another process may have written a whole line, time=..., right behind
 *   the half. What a full disk tore is counted in a later lost=N of its process.
 *
 * The name always leads to a file, so that nobody is ever without one: the full file gets
 * its second name (link) before the empty one is put over its first (rename). The empty one
 * has the owner, group and mode of the full one. A process that is killed at any point of
 * this loses nothing, and holds nobody up: the lock is the kernel's (flock on the full file,
 * through a descriptor made for it, because the log's own is shared with forked children),
 * and nobody waits for it. Who does not get it goes on writing to what it has.
 *
 * A log that is no regular file is not rotated, nor one that is named by a descriptor, nor
 * where the directory does not let us: then it goes on growing.
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

/* True if a log file in this state is full, or has no room as the process's limits go. */
bool rotate_is_due(const struct stat *st, bool room);

/*
 * Rotates the file `name`, if it still is the one that `st` describes. Returns 0 if the
 * name leads to another file now, whoever did it; EWOULDBLOCK if somebody else is about
 * to; or the errno for which it cannot be.
 */
int rotate_file(const char *name, const struct stat *st);

/* True if `name` leads to the file that `st` describes. */
bool rotate_is_named(const char *name, const struct stat *st);

#endif
