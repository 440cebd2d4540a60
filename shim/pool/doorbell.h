/* SPDX-License-Identifier: PostgreSQL */
/*
 * A descriptor that becomes readable when somebody rings, when a time has come, or when the
 * other end of a connection hangs up: what a program's event loop watches while it waits
 * for the pool.
 *
 * It is an epoll instance that holds a timer and, at need, one further descriptor: an event
 * loop can be shown only one, and any of them must wake it.
 *
 * Owner: whoever made it. doorbell_ring may be called by any thread, under any lock: it
 * does not block.
 */
#ifndef PQPOOL_POOL_DOORBELL_H
#define PQPOOL_POOL_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

struct doorbell {
	int fd; /* to be watched for reading; -1 = none */
	int timer_fd;
};

/* No descriptors yet. */
#define DOORBELL_NONE                                                                          \
	(struct doorbell)                                                                      \
	{                                                                                      \
		.fd = -1, .timer_fd = -1                                                       \
	}

/* False: no descriptors to be had; doorbell_close is due all the same. */
bool doorbell_make(struct doorbell *bell);
void doorbell_close(struct doorbell *bell);

/* Rings at CLOCK_MONOTONIC `at_ns`, instead of any time set before. */
void doorbell_set(const struct doorbell *bell, uint64_t at_ns);

/* Rings now, and goes on ringing until set anew. */
void doorbell_ring(const struct doorbell *bell);

/* Rings as well when the peer of `fd` hangs up. */
void doorbell_watch(const struct doorbell *bell, int fd);

#endif
