/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the keeper is: only a socket of this user's is asked, in a folder that is closed to
 * others, and only a process of this user's is spoken to. Nothing here waits. Locks: none.
 */
#ifndef PQPOOL_SHARE_FIND_KEEPER_H
#define PQPOOL_SHARE_FIND_KEEPER_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/cold.h"

/* The socket at `path`, or if that is NULL in a directory of status pages. False: there is
 * none. */
COLD bool keeper_find(const char *path, struct sockaddr_un *address);

/* A connection to the keeper, non-blocking, close-on-exec; -1: see errno. */
COLD int keeper_connect(const struct sockaddr_un *address);

#endif
