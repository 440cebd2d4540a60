/* SPDX-License-Identifier: PostgreSQL */
/* epoll_ctl, the one call by which a program ties something to a connection's socket. */
#include "hooks/interposed.h"
#include "session/socket/epoll_registrations.h"

/* As libc's: result and errno are the kernel's. */
ENTRY int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD) {
		epoll_note(epfd, fd);
	}
	return epoll_control(epfd, op, fd, event);
}
