/* SPDX-License-Identifier: PostgreSQL */
/* The one descriptor that a program is shown of a connect in steps. */
#include "acquire/async/shown_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "session/socket/epoll_registrations.h"

void shown_init(struct shown_socket *shown)
{
	*shown = (struct shown_socket){.number = -1, .own_fd = -1, .wakeup = WAKEUP_NONE};
}

/* Puts another file at the number, and has what watched the one before watch that. */
static bool exchange(int number, int by)
{
	struct epoll_taken taken;
	bool done;

	epoll_take(number, number, &taken);
	done = dup3(by, number, O_CLOEXEC) == number;
	epoll_put(number, &taken);
	return done;
}

bool shown_wakeup(struct shown_socket *shown, int number, uint64_t at_ns)
{
	int copy = fcntl(number, F_DUPFD_CLOEXEC, 0);
	int own = copy >= 0 ? fd_move_up(copy) : -1;
	struct stat st;
	int error;

	if (own < 0 || !wakeup_make(&shown->wakeup, at_ns)) {
		error = errno;
		if (own >= 0) {
			close(own);
		}
		errno = error;
		return false;
	}
	fd_identify(own, &shown->own, &st);
	shown->number = number;
	shown->own_fd = own;
	if (!exchange(number, shown->wakeup.shown.fd)) {
		error = errno;
		shown_forget(shown);
		errno = error;
		return false;
	}
	return true;
}

/* The program may have closed it, and have something else there. */
static bool is_at_number(const struct shown_socket *shown)
{
	struct stat st;

	return fd_is(shown->number, &shown->wakeup.shown.id, &st);
}

void shown_own(struct shown_socket *shown)
{
	struct stat st;

	if (shown_is_wakeup(shown) && is_at_number(shown) &&
	    fd_is(shown->own_fd, &shown->own, &st)) {
		exchange(shown->number, shown->own_fd);
	}
	shown_forget(shown);
}

void shown_forget(struct shown_socket *shown)
{
	struct stat st;

	if (shown_is_wakeup(shown) && fd_is(shown->own_fd, &shown->own, &st)) {
		close(shown->own_fd);
	}
	shown->own_fd = -1;
	wakeup_close(&shown->wakeup);
}
