/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's socket, and the directory that it is in: the effective user's own, closed to all
 * others, and reached by no symbolic link of its own name.
 *
 * Locks: a keeper holds a lock (flock) on PATH.lock, so that two never serve one path. What a
 * killed keeper left in its place is replaced.
 */
#ifndef PQPOOL_TOOLS_KEEP_PLACE_H
#define PQPOOL_TOOLS_KEEP_PLACE_H

#include <stdbool.h>

struct place {
	char *path;    /* of the socket */
	char *name;    /* the same without the directory */
	int directory; /* open */
};

/*
 * Opens the directory of `path`, with `make` after making it; NULL: of the usual path, with
 * `make` the first directory of status pages that can be had, else the first with a keeper's
 * socket in it. False: complained of.
 */
bool place_open(struct place *place, const char *path, bool make);

/* Whether that succeeded or not. */
void place_close(struct place *place);

/*
 * The listening socket: the one that the service manager passes (LISTEN_FDS), else a fresh one.
 * -1: complained of, or another keeper serves the path.
 */
int place_listen(const struct place *place);

/* Removes the socket, if this process made it. */
void place_leave(const struct place *place);

/* Connects to the keeper, whose effective uid must be ours; -1: see errno. */
int place_connect(const struct place *place);

#endif
