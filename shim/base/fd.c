/* SPDX-License-Identifier: PostgreSQL */
/* Descriptors of ours in somebody else's process. */
#include "base/fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Where our descriptors go: out of the way of programs that expect the next low number,
 * but not so high that the kernel's table, which is copied by every fork, grows for our
 * sake.
 */
#define HIGHEST_FD 4095

bool fd_is(int fd, const struct fd_id *id, struct stat *st)
{
	return id->known && fd >= 0 && fstat(fd, st) == 0 && st->st_dev == id->dev &&
	       st->st_ino == id->ino;
}

void fd_identify(int fd, struct fd_id *id, struct stat *st)
{
	id->known = fstat(fd, st) == 0;
	id->dev = id->known ? st->st_dev : 0;
	id->ino = id->known ? st->st_ino : 0;
}

int fd_move_up(int fd)
{
	struct rlimit limit;
	int at = HIGHEST_FD;
	int high = -1;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < HIGHEST_FD) {
		at = (int)limit.rlim_cur;
	}
	for (at -= at / 64 + 1; at > STDERR_FILENO && high < 0; at /= 2) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, at);
	}
	if (high < 0 && fd > STDERR_FILENO) {
		return fd;
	}
	close(fd);
	return high;
}
