/* SPDX-License-Identifier: PostgreSQL */
/* While the file $UNWATCHED is there, no epoll takes another descriptor; each such call adds a
 * byte to the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static char name[PATH_MAX];

/* At the start: the keeper wipes its environment. */
__attribute__((constructor)) static void begin(void)
{
	const char *said = getenv("UNWATCHED");

	snprintf(name, sizeof(name), "%s", said != NULL ? said : "");
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) =
		(int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl");
	int file = -1;

	if (operation == EPOLL_CTL_ADD) {
		file = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	}
	if (file < 0) {
		return real(epoll, operation, fd, event);
	}
	if (write(file, "x", 1) != 1) {
		abort();
	}
	close(file);
	errno = ENOSPC;
	return -1;
}
