/* SPDX-License-Identifier: PostgreSQL */
/* Copies of a session's socket that other processes have. */
#include "keep/pool/copies.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "keep/pool/member.h"

#define LINK_BYTES 64
/* Processes, of some descriptors each: less than a millisecond. */
#define AT_ONCE    16

struct copies_look {
	DIR *proc;
	char wanted[LINK_BYTES]; /* what the link of such a descriptor says */
};

ino_t copies_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Whether a member has a copy that was claimed from it. */
static bool has_claimed(const struct member *member, ino_t inode)
{
	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		if (member->claimed[i] == inode &&
		    KEEPER_WORD_STATE(member_word(member, i)) == KEEPER_WORD_CLAIMED) {
			return true;
		}
	}
	return false;
}

/* `pid` -1: whether any member has. */
static bool is_claimed_from(pid_t pid, ino_t inode)
{
	for (const struct member *m = members_all(); m != NULL; m = m->hh.next) {
		if ((pid < 0 || m->pid == pid) && has_claimed(m, inode)) {
			return true;
		}
	}
	return false;
}

static bool process_has(int proc, const char *pid, const char *wanted)
{
	char path[LINK_BYTES];
	char to[LINK_BYTES];
	const struct dirent *entry;
	bool found = false;
	DIR *fds;
	int dir;

	snprintf(path, sizeof(path), "%.16s/fd", pid);
	dir = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds = dir >= 0 ? fdopendir(dir) : NULL;
	while (fds != NULL && !found && (entry = readdir(fds)) != NULL) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, to, sizeof(to) - 1);

		if (n < 0 && errno == EACCES) {
			break; /* another user's, or a guarded one */
		}
		to[n > 0 ? n : 0] = '\0';
		found = strcmp(to, wanted) == 0;
	}
	if (fds != NULL) {
		closedir(fds);
	}
	return found;
}

void copies_forget(struct copies_look **look)
{
	if (*look != NULL) {
		closedir((*look)->proc);
		free(*look);
		*look = NULL;
	}
}

static bool begin(struct copies_look **look, ino_t inode)
{
	DIR *proc = opendir("/proc");

	if (proc == NULL) {
		return false;
	}
	*look = xalloc_new(1, sizeof(**look));
	(*look)->proc = proc;
	snprintf((*look)->wanted, sizeof((*look)->wanted), "socket:[%lu]",
	         (unsigned long)inode);
	return true;
}

/* Looks at some processes. */
static enum copies go_on(const struct copies_look *look, ino_t inode)
{
	for (int i = 0; i < AT_ONCE;) {
		const struct dirent *entry = readdir(look->proc);
		long pid;

		if (entry == NULL) {
			return COPIES_STALE;
		}
		pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || pid == getpid()) {
			continue;
		}
		i++;
		if (process_has(dirfd(look->proc), entry->d_name, look->wanted) &&
		    !is_claimed_from((pid_t)pid, inode)) {
			return COPIES_IN_USE;
		}
	}
	return COPIES_UNKNOWN;
}

enum copies copies_look(struct copies_look **look, ino_t inode)
{
	enum copies copies;

	if (inode == 0 || !is_claimed_from(-1, inode)) {
		copies_forget(look);
		return COPIES_NONE;
	}
	if (*look == NULL && !begin(look, inode)) {
		return COPIES_IN_USE;
	}
	copies = go_on(*look, inode);
	if (copies != COPIES_UNKNOWN) {
		copies_forget(look);
	}
	return copies;
}
