/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's epoll registrations of our sockets.
 *
 * Closing a socket takes it out of every epoll instance. A session that is kept does not close
 * its socket, so the program's next EPOLL_CTL_ADD of it would fail with EEXIST, and events
 * would arrive for a connection that it has finished. So registrations are noted, and deleted
 * when a session is given back.
 *
 * Not pairs are noted, but two supersets: the descriptors that were ever added to any instance,
 * and the descriptors of instances. After a PQfinish no instance may have the socket, so it is
 * deleted from each; where it is not registered, or the number means something else by now, the
 * kernel refuses. The kernel's key is the open file with its number: a child that shares an
 * instance with its parent deletes its own registrations only, if it opened the socket itself.
 *
 * Not seen: registrations by raw system call or through io_uring, and an instance that was
 * duplicated, registered with by its first number, and is then used by the second alone.
 *
 * Locks: none, everything is atomic: epoll_ctl may be called in a signal handler. Fork: the
 * child's copies are supersets still.
 */
#ifndef PQPOOL_SESSION_SOCKET_EPOLL_REGISTRATIONS_H
#define PQPOOL_SESSION_SOCKET_EPOLL_REGISTRATIONS_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "base/cold.h"

/* From now on registrations are noted: this process pools. */
void epoll_arm(void);

/* Before the program's EPOLL_CTL_ADD. Tests a flag, in a process that does not pool. */
void epoll_note(int epfd, int fd);

/* True if the program has ever added this number to an epoll instance. */
bool epoll_noted(int fd);

/* The real epoll_ctl; its result and its errno. */
int epoll_control(int epfd, int op, int fd, struct epoll_event *event);

/*
 * Deletes all registrations of `fd`, a socket that this process opened. False: there may be an
 * unknown one, which only closing the socket ends. errno is not kept.
 */
bool epoll_forget(int fd);

/*
 * The keeper has a copy of the socket `fd`, so closing it here would end no registration:
 * epoll_close_copied does, before the close, libpq's own included. It keeps errno, and leaves a
 * child's parent alone.
 */
void epoll_note_copied(int fd);
bool epoll_is_copied(int fd);
COLD void epoll_close_copied(int fd);

/* Child of a fork: what is copied is its parent's. */
void epoll_fork_child(void);

/* No more instances watch one connect. */
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
 * follows the file, so the registrations are deleted and made again. They are read from /proc,
 * if the program has ever added that number. `file` is `fd`, or a copy of the file if `fd` was
 * closed already. errno is not kept.
 */
COLD void epoll_take(int fd, int file, struct epoll_taken *taken);
COLD void epoll_put(int fd, const struct epoll_taken *taken);

#endif
