/* SPDX-License-Identifier: PostgreSQL */
/*
 * Makes the keeper's listening socket.
 *
 * Locks: a keeper holds a lock (flock) on PATH.lock, so that two never serve one path. What a
 * killed keeper left in its place is replaced.
 */
#ifndef PQPOOL_TOOLS_KEEP_LISTEN_H
#define PQPOOL_TOOLS_KEEP_LISTEN_H

#include <stdbool.h>

#include "common/keeper/place.h"

/*
 * The listening socket: the one that the service manager passes (LISTEN_FDS), else a fresh one.
 * -1: complained of, or another keeper serves the path.
 */
int listen_at(const struct keeper_place *place);

/*
 * A descriptor that can be read when the socket's name may have gone, close-on-exec; -1: it
 * cannot be told. After that: whether it is still there, or no program finds the keeper again.
 */
int listen_watch_name(const struct keeper_place *place);
bool listen_has_name(const struct keeper_place *place);

/* Removes the socket, if this process made it. */
void listen_end(const struct keeper_place *place);

#endif
