/* SPDX-License-Identifier: PostgreSQL */
/*
 * connect, send and recv: libpq's own calls of them, in a connect that is recorded or played
 * (share/start_tape.h). close: of a socket that the keeper has, too, whoever closes it, and the
 * program's of an idle session's number (session/socket/idle_number.h). close and socket:
 * libpq's own where it replaces a socket (session/socket/kept_number.h). All others go on to
 * the real function, behind a load or two.
 *
 * Any program's calls come through here, from the first constructor on, and in signal handlers.
 * The real functions are found when they are called first, by the linker, which then neither
 * allocates nor waits for more than its own lock.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hooks/interposed.h"
#include "session/socket/epoll_registrations.h"
#include "session/socket/idle_number.h"
#include "session/socket/kept_number.h"
#include "share/start_tape.h"

/* Found by the first call. errno is kept. */
static COLD void *find(_Atomic(void *) *known, const char *name)
{
	int saved_errno = errno;
	void *function = interposed_next(known, name);

	errno = saved_errno;
	return function;
}

static _Atomic(void *) known_connect;
static _Atomic(void *) known_send;
static _Atomic(void *) known_recv;
static _Atomic(void *) known_close;
static _Atomic(void *) known_socket;

/* The body of a function: goes on to the real one, or takes the long way. */
#define TAP(name, ...)                                                                         \
	__typeof__(name) *real =                                                               \
		(__typeof__(name) *)atomic_load_explicit(&known_##name, memory_order_relaxed); \
	if (__builtin_expect(start_tape == NULL && real != NULL, 1)) {                         \
		return real(__VA_ARGS__);                                                      \
	}                                                                                      \
	return long_##name(CALLER, __VA_ARGS__)

/* Through the tape, if there is one. */
#define LONG_WAY(name, ...)                                                                    \
	start_##name *real = (start_##name *)find(&known_##name, #name);                       \
	return start_tape != NULL ? start_tape_##name(real, caller, __VA_ARGS__)               \
	                          : real(__VA_ARGS__)

static COLD int long_connect(const void *caller, int fd, const struct sockaddr *address,
                             socklen_t len)
{
	LONG_WAY(connect, fd, address, len);
}

static COLD ssize_t long_send(const void *caller, int fd, const void *bytes, size_t count,
                              int flags)
{
	LONG_WAY(send, fd, bytes, count, flags);
}

static COLD ssize_t long_recv(const void *caller, int fd, void *bytes, size_t count, int flags)
{
	LONG_WAY(recv, fd, bytes, count, flags);
}

ENTRY int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	TAP(connect, fd, address, len);
}

ENTRY ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
	TAP(send, fd, bytes, count, flags);
}

ENTRY ssize_t recv(int fd, void *bytes, size_t count, int flags)
{
	TAP(recv, fd, bytes, count, flags);
}

static COLD int long_close(const void *caller, int fd)
{
	__typeof__(close) *real = (__typeof__(close) *)find(&known_close, "close");

	if (idle_number_refuses(caller, fd)) {
		errno = EBADF;
		return -1;
	}
	if (epoll_is_copied(fd)) {
		epoll_close_copied(fd);
	}
	return kept_number_close(caller, fd) ? 0 : real(fd);
}

ENTRY int close(int fd)
{
	__typeof__(close) *real =
		(__typeof__(close) *)atomic_load_explicit(&known_close, memory_order_relaxed);

	if (__builtin_expect(real != NULL && kept_number.after == 0 && !epoll_is_copied(fd) &&
	                             !idle_number_may_be(fd),
	                     1)) {
		return real(fd);
	}
	return long_close(CALLER, fd);
}

static COLD int long_socket(const void *caller, int domain, int type, int protocol)
{
	__typeof__(socket) *real = (__typeof__(socket) *)find(&known_socket, "socket");

	return kept_number_socket(caller, real(domain, type, protocol));
}

ENTRY int socket(int domain, int type, int protocol)
{
	__typeof__(socket) *real =
		(__typeof__(socket) *)atomic_load_explicit(&known_socket, memory_order_relaxed);

	if (__builtin_expect(real != NULL && kept_number.after == 0, 1)) {
		return real(domain, type, protocol);
	}
	return long_socket(CALLER, domain, type, protocol);
}
