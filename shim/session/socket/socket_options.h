/* SPDX-License-Identifier: PostgreSQL */
/*
 * The socket options that a program may set on its connection, and the next lease must not
 * have; and the process that gets the socket's signals.
 *
 * A program learns the descriptor by PQsocket, so a lease that never called that needs no look.
 * Each value is compared with what it was when the session was opened, and put back. Not seen:
 * buffer sizes on kernels before 5.14, which do not tell that they were set.
 *
 * Locks: none. No function blocks or allocates; errno is not kept.
 */
#ifndef PQPOOL_SESSION_SOCKET_SOCKET_OPTIONS_H
#define PQPOOL_SESSION_SOCKET_SOCKET_OPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#define SOCKET_OPTIONS 22

union socket_option {
	int number;
	struct linger linger;
	struct timeval time;
	char name[16];
};

struct socket_options {
	uint32_t known; /* a bit for each of the values that the socket has */
	union socket_option values[SOCKET_OPTIONS];
};

/*
 * Counts the calls of this process that put something in the place of a descriptor (dup2,
 * dup3) or change options or flags of one: setsockopt, and those of fcntl and ioctl that do. A
 * socket whose session was looked at when the count was
 * the same is as it was, and need not be looked at again. Which descriptor a call is about does
 * not matter, because a copy of the socket has another number.
 *
 * Not seen: raw system calls, io_uring, and calls of the C library's own function, found by its
 * handle. Async-signal-safe.
 */
extern atomic_uint socket_options_calls;

static inline void socket_options_count_call(void)
{
	atomic_fetch_add_explicit(&socket_options_calls, 1, memory_order_relaxed);
}

/* Notes the options of `fd`, a socket that libpq has set up. */
void socket_options_note(struct socket_options *options, int fd);

/* Puts them back. False: one could not be. */
bool socket_options_put_back(const struct socket_options *options, int fd);

/*
 * Limits for how long the kernel waits for a network peer that acknowledges nothing, after
 * which the socket becomes readable: a program that watches it while its session is checked is
 * so woken if the network has swallowed the server. `*before_ms` is what the limit was, to be
 * put back by the same function. False: it could not be set. For TCP sockets.
 */
bool socket_options_set_timeout(int fd, unsigned timeout_ms, unsigned *before_ms);

#endif
