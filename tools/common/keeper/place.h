/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's socket, and the directory that it is in: the effective user's own, closed to all
 * others, and reached by no symbolic link of its own name.
 */
#ifndef PQPOOL_TOOLS_COMMON_KEEPER_PLACE_H
#define PQPOOL_TOOLS_COMMON_KEEPER_PLACE_H

#include <stdbool.h>
#include <sys/un.h>

struct keeper_place {
	char *path;    /* of the socket; NULL: there is none */
	char *name;    /* the same without the directory */
	int directory; /* open */
};

/*
 * Opens the directory of `path`, with `make` after making it. NULL: the path that PQPOOL_SHARE
 * names, else the usual one, with `make` in the first directory of status pages that can be
 * had, else in the first with a keeper's socket in it. False: see errno.
 */
bool place_open(struct keeper_place *place, const char *path, bool make);

/* Says on stderr why place_open or place_connect failed, by errno. */
void place_complain(const struct keeper_place *place);

/* Whether place_open succeeded or not. */
void place_close(struct keeper_place *place);

/*
 * The socket's address by way of the open directory, whatever its path leads to by now, and
 * however long that is. False: see errno.
 */
bool place_name(const struct keeper_place *place, struct sockaddr_un *address);

/* Connects to the keeper, whose effective uid must be ours; -1: see errno. */
int place_connect(const struct keeper_place *place);

#endif
