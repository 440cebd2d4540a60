/* SPDX-License-Identifier: PostgreSQL */
/*
 * The socket that a waiting connect shows, and how it wakes the program.
 *
 * The number that PQsocket returned first must stay: some programs ask only once (aiopg), and
 * some make a socket object of it (ruby-pg). libpq knows that number, too. So while the connect
 * waits for the pool, a wakeup socket is put at the number with dup3(2), and the connection's
 * own socket is kept aside until libpq continues. poll(2) and select(2) look files up by
 * number; epoll does not, and its registrations are moved (epoll_registrations.h). Not handled:
 * a poll through io_uring that is under way, and options that the program sets on the socket
 * meanwhile.
 *
 * The wakeup becomes readable when it is rung or at a set time, and is always writable. It is a
 * TCP socket, since a timer descriptor is no socket, and TCP sends no faster than
 * SO_MAX_PACING_RATE: it is one end of a connection to ourselves over the loopback interface;
 * the other end sends more than its rate allows until the set time, and SO_RCVLOWAT keeps what
 * arrived before from counting. It is exact to a millisecond, and ends in neither an error nor
 * a hang-up, which some event loops would take for the connection's. Without a loopback
 * interface, or a kernel that paces (4.13), it is a pair of Unix sockets, and can only be rung.
 *
 * Belongs to the thread that drives the connect; but any thread may call wakeup_ring, under any
 * lock, between wakeup_make and wakeup_close.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_WAKEUP_SOCKET_H
#define PQPOOL_ACQUIRE_ASYNC_WAKEUP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fd.h"

/* A descriptor of ours, which the program does not know. */
struct own_fd {
	int fd; /* -1 = none */
	struct fd_id id;
};

struct wakeup_socket {
	struct own_fd
		shown; /* the same file until wakeup_close; may be put at another number */
	struct own_fd sender;
	bool timed; /* it can be set to a time */
};

/* No descriptors yet. */
#define WAKEUP_NONE                                                                            \
	(struct wakeup_socket)                                                                 \
	{                                                                                      \
		.shown.fd = -1, .sender.fd = -1                                                \
	}

/* Makes one that is set to `at_ns`. False: no descriptors, errno says why; nothing is open. */
bool wakeup_make(struct wakeup_socket *wakeup, uint64_t at_ns);
void wakeup_close(struct wakeup_socket *wakeup);

/*
 * Readable at CLOCK_MONOTONIC `at_ns`, perhaps before; any time set before, or ring, is
 * cancelled. A ring at the same moment may be lost: check after this whether there was a reason
 * for one.
 */
void wakeup_set(struct wakeup_socket *wakeup, uint64_t at_ns);

/* Readable from now on, until it is set. */
void wakeup_ring(const struct wakeup_socket *wakeup);

bool wakeup_is_due(const struct wakeup_socket *wakeup);

struct shown_socket {
	int number;                  /* where the wakeup is shown */
	struct own_fd own;           /* the connection's own socket meanwhile */
	struct wakeup_socket wakeup; /* open as long as it is shown */
};

void shown_init(struct shown_socket *shown);

/* Shows a wakeup, set to `at_ns`, in place of the socket `number`. False: see wakeup_make. */
bool shown_wakeup(struct shown_socket *shown, int number, uint64_t at_ns);
static inline bool shown_is_wakeup(const struct shown_socket *shown)
{
	return shown->own.fd >= 0;
}

/* Shows the connection's own socket again, if it does not. */
void shown_own(struct shown_socket *shown);

/* The program freed the PGconn, or this is the child of a fork: closes only what is ours. */
void shown_forget(struct shown_socket *shown);

#endif
