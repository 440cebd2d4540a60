/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a program's event loop watches while its connect waits for the pool: a socket that
 * becomes readable when it is rung or when a time has come, and is writable always.
 *
 * A socket, because some programs take nothing else (ruby-pg makes a socket object of what
 * PQsocket says). A timer is none, but TCP has one that does no harm: it sends no faster than
 * SO_MAX_PACING_RATE says. So this is one end of a connection to ourselves over the loopback
 * interface; the other end sends more than its rate allows for the time given, and
 * SO_RCVLOWAT keeps what has arrived before from counting. It is exact to a millisecond, and
 * ends in neither an error nor a hang-up, which some loops would take for the connection's.
 * Without a loopback interface, or a kernel that paces (4.13), it is a pair of Unix sockets,
 * and can be rung alone.
 *
 * Its file stays the same from wakeup_make to wakeup_close, and may be put at another number.
 *
 * Owner: the connect. wakeup_ring may be called by any thread, under any lock, between those
 * two.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_WAKEUP_SOCKET_H
#define PQPOOL_ACQUIRE_ASYNC_WAKEUP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fd.h"

struct wakeup_end {
	int fd; /* a number of our own for it; -1 = none */
	struct fd_id id;
};

struct wakeup_socket {
	struct wakeup_end shown;
	struct wakeup_end sender;
	bool timed; /* it can be set to a time */
};

/* No descriptors yet. */
#define WAKEUP_NONE                                                                            \
	(struct wakeup_socket)                                                                 \
	{                                                                                      \
		.shown.fd = -1, .sender.fd = -1                                                \
	}

/* Makes one that is set. False: no descriptors to be had, errno says why; nothing is open. */
bool wakeup_make(struct wakeup_socket *wakeup, uint64_t at_ns);
void wakeup_close(struct wakeup_socket *wakeup);

/*
 * Readable at CLOCK_MONOTONIC `at_ns`, perhaps before, instead of any time set before, and
 * not rung. A ring in the same instant may be lost: ask after it whether there was one.
 */
void wakeup_set(struct wakeup_socket *wakeup, uint64_t at_ns);

/* Readable from now on, until it is set. */
void wakeup_ring(const struct wakeup_socket *wakeup);

/* Is it? */
bool wakeup_is_due(const struct wakeup_socket *wakeup);

#endif
