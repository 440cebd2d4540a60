/* SPDX-License-Identifier: PostgreSQL */
/*
 * A doorbell for programs that take nothing but a socket (ruby-pg makes a socket object of
 * what PQsocket says): it becomes readable when somebody rings, or, a quarter of a second
 * late, when a time has come; and stays so.
 *
 * A timer is no socket, but a TCP connection has one: the kernel gives it up when its peer
 * has not read for TCP_USER_TIMEOUT. So it is one end of a connection to ourselves over the
 * loopback interface, with more on its way than the other end, which never reads, can take.
 *
 * Owner: whoever made it. chime_ring may be called by any thread, under any lock.
 */
#ifndef PQPOOL_POOL_CHIME_H
#define PQPOOL_POOL_CHIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chime {
	int fd;            /* to be watched for reading; -1 = none */
	atomic_int ringer; /* the end that does not read; -1 = none */
};

void chime_init(struct chime *chime);

/*
 * False: no descriptors to be had, or no loopback interface. A ring that comes in the same
 * instant may be missed: whoever makes it looks after it whether it was due already.
 */
bool chime_make(struct chime *chime, uint64_t at_ns);
void chime_close(struct chime *chime);

void chime_ring(struct chime *chime);

#endif
