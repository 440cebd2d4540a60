/* SPDX-License-Identifier: PostgreSQL */
/* Descriptors of the shim's. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"

/*
 * Above the low numbers that programs expect to get next, but not so high that the kernel's
 * table, which every fork copies, gets large.
 */
#define HIGHEST_FD 1023

#define WANTED                                                                                 \
	(STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_INO | STATX_SIZE)

static bool look(int fd, struct stat *st)
{
	struct statx seen;

	/* A filter on system calls may refuse the newer one. */
	if (statx(fd, "", AT_EMPTY_PATH, WANTED, &seen) != 0) {
		return fstat(fd, st) == 0;
	}
	*st = (struct stat){
		.st_dev = makedev(seen.stx_dev_major, seen.stx_dev_minor),
		.st_ino = seen.stx_ino,
		.st_mode = seen.stx_mode,
		.st_nlink = seen.stx_nlink,
		.st_uid = seen.stx_uid,
		.st_gid = seen.stx_gid,
		.st_size = (off_t)seen.stx_size,
	};
	return true;
}

bool fd_is(int fd, const struct fd_id *id, struct stat *st)
{
	return id->known && fd >= 0 && look(fd, st) && st->st_dev == id->dev &&
	       st->st_ino == id->ino;
}

void fd_identify(int fd, struct fd_id *id, struct stat *st)
{
	id->known = look(fd, st);
	id->dev = id->known ? st->st_dev : 0;
	id->ino = id->known ? st->st_ino : 0;
}

bool fd_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};
	int ready;

	do {
		ready = poll(&p, 1, clock_ms_until(clock_monotonic_ns(), deadline_ns));
	} while (ready < 0 && errno == EINTR);
	return ready > 0;
}

static int below(int limit)
{
	return limit - limit / 64 - 1;
}

int fd_move_up(int fd)
{
	struct rlimit limit;
	int at = HIGHEST_FD;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, below(at));

	if (high < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < HIGHEST_FD) {
		at = (int)limit.rlim_cur;
	}
	for (at = below(at); at > STDERR_FILENO && high < 0; at /= 2) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, at);
	}
	if (high < 0 && fd > STDERR_FILENO) {
		return fd;
	}
	close(fd);
	return high;
}

int fd_dead_socket(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		return -1;
	}
	close(pair[1]);
	return pair[0];
}

static char *read_text(int fd, size_t max)
{
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;
	char *text;

	if (fstat(fd, &st) != 0) {
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
		errno = EFBIG;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	while (text != NULL && n > 0) {
		n = read(fd, text + len, (size_t)st.st_size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0) {
		free(text);
		return NULL;
	}
	if (text != NULL) {
		text[len] = '\0';
	}
	return text;
}

char *fd_read_text(const char *path, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = fd >= 0 ? read_text(fd, max) : NULL;
	int saved_errno = errno;

	if (fd >= 0) {
		close(fd);
	}
	errno = saved_errno;
	return text;
}
