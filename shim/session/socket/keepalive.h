/* SPDX-License-Identifier: PostgreSQL */
/*
 * TCP keepalive of a session that lies idle: the kernel asks the server's host soon, so that a
 * NAT or a firewall on the way does not forget the session, and lets go of one that is dead.
 *
 * It is lowered once, when the session is idle for the first time, and put back only when the
 * program learns the descriptor (PQsocket), because it cannot look before. What a lease notices
 * without that is how long the kernel waits for a silent host before it gives the connection
 * up. That time is kept: the kernel asks earlier, and as often as it takes to give up no
 * earlier than with the options that libpq has set (TCP_KEEPIDLE + TCP_KEEPCNT *
 * TCP_KEEPINTVL).
 *
 * Locks: none. No function blocks or allocates; errno is not kept.
 */
#ifndef PQPOOL_SESSION_SOCKET_KEEPALIVE_H
#define PQPOOL_SESSION_SOCKET_KEEPALIVE_H

#include <stdbool.h>

/* What is set by three calls of setsockopt(2). */
struct keepalive_options {
	int idle_s;
	int interval_s;
	int count;
};

#define KEEPALIVE_CALLS 3

struct keepalive {
	bool lowered;
	bool looked;  /* at the socket: the rest is known */
	bool left_be; /* nothing is to be changed */
	struct keepalive_options before;
	struct keepalive_options idle;
};

/*
 * Lowers it to `idle_s` seconds, unless it is off or shorter already, or the kernel gives up by
 * another limit. True: KEEPALIVE_CALLS were made.
 */
bool keepalive_lower(struct keepalive *keepalive, int fd, int idle_s);

/* Puts back what was lowered, by KEEPALIVE_CALLS. */
void keepalive_put_back(struct keepalive *keepalive, int fd);

#endif
