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

#include "keep/pool/member.h"

#define LINK_BYTES 64

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

enum copies copies_look(ino_t inode)
{
	char wanted[LINK_BYTES];
	const struct dirent *entry;
	bool in_use = false;
	DIR *proc;

	if (inode == 0 || !is_claimed_from(-1, inode)) {
		return COPIES_NONE;
	}
	proc = opendir("/proc");
	if (proc == NULL) {
		return COPIES_IN_USE;
	}
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", (unsigned long)inode);
	while (!in_use && (entry = readdir(proc)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);

		in_use = pid > 0 && pid != getpid() &&
		         process_has(dirfd(proc), entry->d_name, wanted) &&
		         !is_claimed_from((pid_t)pid, inode);
	}
	closedir(proc);
	return in_use ? COPIES_IN_USE : COPIES_STALE;
}
