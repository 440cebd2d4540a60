/* SPDX-License-Identifier: PostgreSQL */
/*
 * Descriptors of the shim's: with high numbers, and checked before each use, because programs
 * close descriptors that they do not know and get the same numbers for files of their own.
 */
#ifndef PQPOOL_BASE_FD_H
#define PQPOOL_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* The identity of a file. */
struct fd_id {
	bool known;
	dev_t dev;
	ino_t ino;
};

/*
 * Notes which file `fd` is. `*st` gets its status without times and disk use: once a file's
 * times were asked for, the kernel has to note a new one in the file system at the next write.
 */
void fd_identify(int fd, struct fd_id *id, struct stat *st);

/* True if `fd` is still that file; `*st` gets its status now, with the same exceptions. */
bool fd_is(int fd, const struct fd_id *id, struct stat *st);

/*
 * Waits until `fd` is ready for these events of poll(2), or has an error or a hang-up; false at
 * the deadline. Goes on after a signal.
 */
bool fd_wait(int fd, short events, uint64_t deadline_ns);

/*
 * Moves `fd` to a high number, close-on-exec; -1, and it is closed, if only 0, 1 or 2 was
 * free.
 */
int fd_move_up(int fd);

/*
 * A socket whose other end is closed: poll(2) reports it as readable and writable, and reading
 * finds the end. Close-on-exec; -1: see errno.
 */
int fd_dead_socket(void);

/*
 * The text of a regular file of at most `max` bytes, malloc'ed, with a NUL behind it. NULL: see
 * errno, EFBIG if it is larger or no regular file. Never waits for the writer of a fifo.
 */
char *fd_read_text(const char *path, size_t max);

#endif
