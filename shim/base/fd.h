/* SPDX-License-Identifier: PostgreSQL */
/*
 * Descriptors of ours in somebody else's process: out of its way, and recognised before
 * each use, because programs close descriptors that they do not know and are given the
 * same numbers for files of their own.
 */
#ifndef PQPOOL_BASE_FD_H
#define PQPOOL_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A file as fstat(2) sees it, to be recognised by. */
struct fd_id {
	bool known;
	dev_t dev;
	ino_t ino;
};

/*
 * Notes what `fd` is; `*st` gets what else there is to know of it, its times and its disk use
 * excepted: where somebody has asked for a file's times, the kernel has to note a new one in
 * the file system at the next write.
 */
void fd_identify(int fd, struct fd_id *id, struct stat *st);

/* True if `fd` is that file still; `*st` gets how it is now, with the same exceptions. */
bool fd_is(int fd, const struct fd_id *id, struct stat *st);

/*
 * Waits until `fd` is ready for these events of poll(2), or has an error or a hang-up; false at
 * the deadline. Goes on after a signal.
 */
bool fd_wait(int fd, short events, uint64_t deadline_ns);

/*
 * Moves `fd` up and out of the program's way, close-on-exec; -1, and it is closed, if only
 * 0, 1 or 2 was left to be had.
 */
int fd_move_up(int fd);

/*
 * A socket that nobody is behind: it can be read and written at once, and all it has to say is
 * that the other end is closed. Close-on-exec; -1: see errno.
 */
int fd_dead_socket(void);

/*
 * The text of a regular file of at most `max` bytes, malloc'ed, with a NUL behind it. NULL: see
 * errno, EFBIG if it is larger or no regular file. Never waits for the writer of a fifo.
 */
char *fd_read_text(const char *path, size_t max);

#endif
