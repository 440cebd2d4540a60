/* SPDX-License-Identifier: PostgreSQL */
/*
 * The C library's functions by which a program ties a connection's socket to something, or sets
 * its options or flags: what PQfinish has to undo is noted. Result and errno are the real
 * function's. Any thread, also in a signal handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hooks/interposed.h"
#include "session/socket/epoll_registrations.h"
#include "session/socket/socket_options.h"

ENTRY int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD) {
		epoll_note(epfd, fd);
	}
	return epoll_control(epfd, op, fd, event);
}

ENTRY int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	static _Atomic(void *) known;
	__typeof__(setsockopt) *real = REAL(setsockopt, &known);

	socket_options_count_call();
	return real(fd, level, name, value, size);
}

ENTRY int dup2(int from, int to)
{
	static _Atomic(void *) known;
	__typeof__(dup2) *real = REAL(dup2, &known);

	socket_options_count_call();
	return real(from, to);
}

ENTRY int dup3(int from, int to, int flags)
{
	static _Atomic(void *) known;
	__typeof__(dup3) *real = REAL(dup3, &known);

	socket_options_count_call();
	return real(from, to, flags);
}

static bool changes(int command)
{
	return command == F_SETFL || command == F_SETFD || command == F_SETOWN ||
	       command == F_SETOWN_EX || command == F_SETSIG;
}

/* The argument, if there is one, is a number or a pointer, which travel alike. */
#define ARGUMENT(last)                                                                         \
	va_list list;                                                                          \
	void *argument;                                                                        \
                                                                                               \
	va_start(list, last);                                                                  \
	argument = va_arg(list, void *);                                                       \
	va_end(list)

ENTRY int fcntl(int fd, int command, ...)
{
	static _Atomic(void *) known;
	ARGUMENT(command);

	if (changes(command)) {
		socket_options_count_call();
	}
	return REAL(fcntl, &known)(fd, command, argument);
}

/* Under this name for programs built with 64-bit file offsets. */
ENTRY int fcntl64(int fd, int command, ...)
{
	static _Atomic(void *) known;
	ARGUMENT(command);

	if (changes(command)) {
		socket_options_count_call();
	}
	return REAL(fcntl64, &known)(fd, command, argument);
}

ENTRY int ioctl(int fd, unsigned long request, ...)
{
	static _Atomic(void *) known;
	ARGUMENT(request);

	switch (request) {
	case FIONBIO:
	case FIOASYNC:
	case FIOCLEX:
	case FIONCLEX:
	case FIOSETOWN:
	case SIOCSPGRP:
		socket_options_count_call();
		break;
	default:
		break;
	}
	return REAL(ioctl, &known)(fd, request, argument);
}
