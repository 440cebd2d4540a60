/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keeps the number of a socket while libpq replaces the socket.
 *
 * PQresetStart closes its socket and makes another. A program that watches the number goes on
 * with it, and in a program with threads another one may get the number in between: each then
 * waits on what is the other's. So for the length of that call libpq's own close(2) of the
 * number is put off, and the socket that it makes next is put there (dup3), which closes the
 * old one. A libpq that is bound past us to the C library gets whatever number is free.
 *
 * Belongs to the thread. Locks: none. A call that never returns (longjmp) leaves it in place;
 * the thread's next call of libpq ends it (kept_number_put_away).
 */
#ifndef PQPOOL_SESSION_SOCKET_KEPT_NUMBER_H
#define PQPOOL_SESSION_SOCKET_KEPT_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"

struct kept_number {
	uintptr_t from; /* libpq's code; `to` 0: where it begins and ends is not known */
	uintptr_t to;
	int after;   /* the number + 1; 0 = none is kept */
	bool closed; /* libpq has closed it */
};

/* Zero: this thread keeps none. */
extern _Thread_local struct kept_number kept_number;

/*
 * Around the call. `closed`: libpq has closed the number before, and it is kept if it is still
 * free. After the call a number that was closed and not used again is closed really.
 */
COLD void kept_number_begin(const struct libpq *libpq, int number, bool closed);
COLD void kept_number_end(void);

static inline void kept_number_put_away(void)
{
	kept_number.after = 0;
}

/* close(fd), if it is libpq's of that number: true, it counts as closed. `caller`: whose. */
COLD bool kept_number_close(const void *caller, int fd);

/* What libpq's socket(2) has made; the number where it is now. errno is kept. */
COLD int kept_number_socket(const void *caller, int fd);

#endif
