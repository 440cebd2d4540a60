/* SPDX-License-Identifier: PostgreSQL */
/* Keeps the number of a socket while libpq replaces the socket. */
#include "session/socket/kept_number.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

_Thread_local struct kept_number kept_number;

static bool is_libpqs(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	return kept_number.after != 0 &&
	       (kept_number.to == 0 || (at >= kept_number.from && at < kept_number.to));
}

/* Puts some file at the number, if that is free. */
static bool occupy(int number)
{
	int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int got = any >= 0 && any != number ? fcntl(any, F_DUPFD_CLOEXEC, number) : any;

	if (any >= 0 && any != got) {
		close(any);
	}
	if (got >= 0 && got != number) {
		close(got);
	}
	return got == number;
}

void kept_number_begin(const struct libpq *libpq, int number, bool closed)
{
	bool ours = number >= 0 && (!closed || occupy(number));

	kept_number = (struct kept_number){.from = libpq->base,
	                                   .to = libpq->end,
	                                   .after = ours ? number + 1 : 0,
	                                   .closed = closed};
}

void kept_number_end(void)
{
	int number = kept_number.after - 1;

	kept_number.after = 0;
	if (number >= 0 && kept_number.closed) {
		close(number);
	}
}

bool kept_number_close(const void *caller, int fd)
{
	if (!is_libpqs(caller) || fd + 1 != kept_number.after) {
		return false;
	}
	kept_number.closed = true;
	return true;
}

int kept_number_socket(const void *caller, int fd)
{
	int number = kept_number.after - 1;
	int saved_errno = errno;

	if (fd >= 0 && is_libpqs(caller) && kept_number.closed &&
	    dup3(fd, number, O_CLOEXEC) >= 0) {
		kept_number.closed = false;
		close(fd);
		fd = number;
	}
	errno = saved_errno;
	return fd;
}
