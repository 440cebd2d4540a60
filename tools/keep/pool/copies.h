/* SPDX-License-Identifier: PostgreSQL */
/*
 * Copies of a session's socket that other processes have.
 *
 * One from which an idle session was claimed has its copy until it next looks at its pool. When
 * the process that the session was lent to then dies, that copy would keep the session alive,
 * with its transaction and locks. But a copy that a child of the dead one has is in use.
 */
#ifndef PQPOOL_TOOLS_KEEP_POOL_COPIES_H
#define PQPOOL_TOOLS_KEEP_POOL_COPIES_H

#include <sys/types.h>

/* The number of a socket, the same for all copies; 0: unknown. */
ino_t copies_inode(int fd);

enum copies {
	COPIES_NONE,    /* no member has one that was claimed from it */
	COPIES_STALE,   /* such members have them, and the keeper, and nobody else */
	COPIES_IN_USE,  /* others have them, too; or for a moment, between fork and exec */
	COPIES_UNKNOWN, /* to be called again */
};

/* A look into /proc of all processes that it may, some at a time: others wait for the keeper.
 */
struct copies_look;

/* Goes on with `*look`, which is NULL before and after. */
enum copies copies_look(struct copies_look **look, ino_t inode);

/* Gives it up. */
void copies_forget(struct copies_look **look);

#endif
