/* SPDX-License-Identifier: PostgreSQL */
/*
 * How long the kernel waits for a network peer that acknowledges nothing, while a session is
 * checked in steps: the program watches its socket, which becomes readable when the kernel
 * gives up, and is so woken by a server that the network has swallowed.
 *
 * Both do nothing on a Unix socket, and keep what TCP_USER_TIMEOUT was before.
 */
#ifndef PQPOOL_SESSION_SOCKET_USER_TIMEOUT_H
#define PQPOOL_SESSION_SOCKET_USER_TIMEOUT_H

#include <stdint.h>

#include "session/session.h"

void user_timeout_limit(struct session *session, uint64_t limit_ns);
void user_timeout_lift(struct session *session);

#endif
