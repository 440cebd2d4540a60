/* SPDX-License-Identifier: PostgreSQL */
/*
 * The one descriptor that a program is shown of a connect in steps: a socket, whose number
 * stays what PQsocket said first, since some ask only once (aiopg), and some make a socket
 * object of it (ruby-pg).
 *
 * libpq knows that number, too, so what is to wake the program for another reason than the
 * server's answer is put at it with dup3(2), and the connection's own socket kept aside until
 * libpq goes on. poll(2) and select(2) go by numbers; epoll goes by files, and its
 * registrations are moved along (epoll_registrations.h).
 *
 * Not seen by that: a poll through io_uring that is under way, and what a program has set on
 * the socket meanwhile.
 *
 * Belongs to the thread that drives the connect.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_SHOWN_SOCKET_H
#define PQPOOL_ACQUIRE_ASYNC_SHOWN_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/async/wakeup_socket.h"
#include "base/fd.h"

struct shown_socket {
	int number;       /* where the wakeup is shown */
	int own_fd;       /* the connection's own socket meanwhile; -1 = it is shown itself */
	struct fd_id own; /* that */
	struct wakeup_socket
		wakeup; /* see wakeup_socket.h; it is there as long as it is shown */
};

void shown_init(struct shown_socket *shown);

/*
 * Shows a wakeup, set to `at_ns`, in place of the socket `number`. False: no descriptors to be
 * had, errno says why.
 */
bool shown_wakeup(struct shown_socket *shown, int number, uint64_t at_ns);
static inline bool shown_is_wakeup(const struct shown_socket *shown)
{
	return shown->own_fd >= 0;
}

/* Shows the connection's own socket again, if it is not shown. */
void shown_own(struct shown_socket *shown);

/* The PGconn was freed past us, or in the child of a fork: closes what is ours alone. */
void shown_forget(struct shown_socket *shown);

#endif
