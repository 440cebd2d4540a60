/* SPDX-License-Identifier: PostgreSQL */
/*
 * The folders of status pages: this user's (trace/status/page_dir.h); for root those of all
 * users as well, in each mount namespace and root directory that a process has
 * (/proc/PID/root), so that services with a /tmp of their own and containers are seen.
 *
 * Root trusts nothing of what others can make: each step of a path is one directory's entry and
 * no link; a folder counts if it is in memory and closed to all but its owner. A file system of
 * a user's own making that answers late (FUSE) is not asked for anything by root, unless
 * /etc/fuse.conf lets users have that (user_allow_other).
 *
 * A folder of XDG_RUNTIME_DIR is found for other users where systemd has it, in /run/user/UID.
 */
#ifndef PQPOOL_TOOLS_COMMON_PAGES_PAGE_FOLDERS_H
#define PQPOOL_TOOLS_COMMON_PAGES_PAGE_FOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/pages/processes.h"

struct page_folder {
	int dir; /* open for reading, for the length of the visit */
	const char *path;
	uid_t owner;
	ino_t mounts; /* the mount namespace it was found in; 0: ours */
	bool own;     /* this user's by its place, not one that root has found */
};

/* What a visit returns ends the round if it is false. */
typedef bool page_folders_visit(void *with, const struct page_folder *folder);

/* True if folders of others are there to be seen: for root. */
bool page_folders_are_all_seen(void);

/*
 * Visits each folder once: this user's, and those of others in the namespaces of `processes`,
 * if it is not NULL. False: a visit was.
 */
bool page_folders_each(const struct processes *processes, page_folders_visit *visit,
                       void *with);

#endif
