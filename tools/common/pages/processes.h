/* SPDX-License-Identifier: PostgreSQL */
/*
 * The machine's processes with their namespaces, for root: where else there may be status
 * pages, and which process one is of.
 *
 * A page is a word of its file's owner about a process, and a number that means something in
 * that process's pid namespace only. It is believed if the process runs as that owner, or if
 * the owner is root.
 */
#ifndef PQPOOL_TOOLS_COMMON_PAGES_PROCESSES_H
#define PQPOOL_TOOLS_COMMON_PAGES_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_place {
	pid_t pid;
	ino_t mounts; /* namespaces, by their numbers */
	ino_t pids;
	pid_t number;      /* in its own pid namespace, if that is another than ours */
	dev_t root_device; /* the root directory */
	ino_t root;
};

/* Zeroed: none. */
struct processes {
	struct process_place *all;
	size_t count;
	struct process_place own; /* ours */
};

/* Reads them. Those that may not be looked at are left out. Owner: the caller. */
void processes_read(struct processes *processes);
void processes_free(struct processes *processes);

/*
 * The process, by its number here, that is `claimed` by a page of `owner`'s which was found in
 * the mount namespace `mounts`; 0: there is none that the owner may speak for.
 */
pid_t processes_find(const struct processes *processes, pid_t claimed, uid_t owner,
                     ino_t mounts);

#endif
