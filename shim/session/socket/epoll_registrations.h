/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's epoll registrations of our sockets.
 *
 * Closing a socket takes it out of every epoll instance. A session that is kept does not
 * close its socket, so the program's next EPOLL_CTL_ADD of it would fail with EEXIST, and
 * events would arrive for a connection it has finished. So what the program registers is
 * noted, and deleted when it gives a session back.
 *
 * Noted are not pairs, but two supersets: the descriptors that were ever added anywhere,
 * and the descriptors of epoll instances. Deleting (instance, socket) is right for every
 * instance there is, because after a PQfinish none may hold the socket; where it does not,
 * or the number means something else by now, the kernel says so and nothing happens. The
 * kernel's own key is the open file with its number: a child that shares an instance with
 * its parent deletes its own registrations only, as long as it does so for sockets that it
 * opened itself.
 *
 * Not seen: registrations by raw system call or through io_uring, and an instance that was
 * duplicated, registered with by its first number, and is then used by the second alone.
 *
 * Locks: none, everything is atomic: epoll_ctl may be called in a signal handler. Fork:
 * the child goes on with a copy, which is a superset still.
 */
#ifndef PQPOOL_SESSION_SOCKET_EPOLL_REGISTRATIONS_H
#define PQPOOL_SESSION_SOCKET_EPOLL_REGISTRATIONS_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "base/cold.h"

/* From now on registrations are noted: this process pools. */
void epoll_arm(void);

/* Before the program's EPOLL_CTL_ADD. One test of a flag in a process that does not pool. */
void epoll_note(int epfd, int fd);

/* True if the program has ever added this number to an epoll instance. */
bool epoll_noted(int fd);

/* The real epoll_ctl, to be called whatever was noted; its result and its errno. */
int epoll_control(int epfd, int op, int fd, struct epoll_event *event);

/*
 * Deletes all registrations of `fd`, a socket that this process opened. False: there may
 * be one that is not known, and only closing the socket ends it. errno is not kept.
 */
bool epoll_forget(int fd);

/* More instances than these do not watch one connect. */
#define EPOLL_TAKEN_MAX 4

/* Registrations that were taken out of their instances. */
struct epoll_taken {
	unsigned count;
	struct {
		int epfd;
		struct epoll_event event;
	} of[EPOLL_TAKEN_MAX];
};

/*
 * Around an exchange of the file at the number `fd`, which the program goes on watching: epoll
 * follows the file, so its registrations are taken out and made again. They are found in
 * /proc, and only where the program has ever added that number. `file` is `fd`, or what is
 * left of its file when that was closed already: to be closed then. errno is not kept.
 */
COLD void epoll_take(int fd, int file, struct epoll_taken *taken);
COLD void epoll_put(int fd, const struct epoll_taken *taken);

#endif
