/* SPDX-License-Identifier: PostgreSQL */
/*
 * The descriptors of idle sessions, which to the program are closed.
 *
 * Without us PQfinish closes the number, and a close(2) of it after that fails with EBADF.
 * Tcl's channels do that (pgtcl makes one of PQsocket's number, which is closed after
 * PQfinish), and programs that close all numbers. With us the number is open, and the close
 * would cost the idle session its socket. So it fails in the same way, and the session stays.
 * From the moment the session is about to be lent the number is the program's again.
 *
 * A number is refused only while the socket that was noted is there, to the process that noted
 * it, and not to libpq, which closes what the server has ended. Where libpq's code begins and
 * ends must be known.
 *
 * Locks: none, everything is atomic: close may be called in a signal handler. Fork: to a child
 * nothing is refused.
 */
#ifndef PQPOOL_SESSION_SOCKET_IDLE_NUMBER_H
#define PQPOOL_SESSION_SOCKET_IDLE_NUMBER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"

/* Higher numbers are not noted. */
#define IDLE_NUMBER_MAX 4096

/* A line of the processor's cache each: sessions of two threads write none in common. */
struct idle_number {
	_Alignas(64) _Atomic(ino_t) socket; /* its inode; 0 = no idle session at that number */
};

extern struct idle_number idle_numbers[IDLE_NUMBER_MAX];

/* The session with this socket lies idle from now on. */
void idle_number_note(const struct libpq *libpq, int fd, ino_t socket);

/* It is about to be lent or closed. */
static inline void idle_number_forget(int fd)
{
	if (fd >= 0 && fd < IDLE_NUMBER_MAX) {
		atomic_store_explicit(&idle_numbers[fd].socket, 0, memory_order_relaxed);
	}
}

/* A load, for any program's close: whether it may be one. */
static inline bool idle_number_may_be(int fd)
{
	return fd >= 0 && fd < IDLE_NUMBER_MAX &&
	       atomic_load_explicit(&idle_numbers[fd].socket, memory_order_relaxed) != 0;
}

/* Whether close(fd), called by `caller`, is to fail with EBADF. errno is kept. */
COLD bool idle_number_refuses(const void *caller, int fd);

#endif
