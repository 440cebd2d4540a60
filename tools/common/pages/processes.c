/* SPDX-License-Identifier: PostgreSQL */
/* The machine's processes with their namespaces, from /proc. */
#include "common/pages/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

/* ---- what /proc tells ---- */

/* The effective user, and the number in its own pid namespace. */
struct credentials {
	uid_t user;
	pid_t number;
};

static bool read_credentials(pid_t pid, struct credentials *credentials)
{
	char path[64];
	char line[1024];
	bool users = false;
	bool numbers = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	/* The program's name comes first, on one line: what could end it is escaped there. */
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *last = strrchr(line, '\t');

		users |= sscanf(line, "Uid: %*u %u", &credentials->user) == 1;
		if (strncmp(line, "NSpid:", 6) == 0 && last != NULL) {
			credentials->number = (pid_t)strtol(last, NULL, 10);
			numbers = true;
		}
	}
	if (file != NULL) {
		fclose(file);
	}
	return users && numbers;
}

static bool stat_of(const char *pid, const char *what, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	return stat(path, st) == 0;
}

/* False: it has ended, or may not be looked at. */
static bool read_place(struct process_place *place, const char *pid)
{
	struct stat mounts;
	struct stat pids;
	struct stat root;

	if (!stat_of(pid, "ns/mnt", &mounts) || !stat_of(pid, "ns/pid", &pids) ||
	    !stat_of(pid, "root", &root)) {
		return false;
	}
	*place = (struct process_place){.pid = (pid_t)strtol(pid, NULL, 10),
	                                .mounts = mounts.st_ino,
	                                .pids = pids.st_ino,
	                                .root_device = root.st_dev,
	                                .root = root.st_ino};
	return true;
}

static void read_number(struct process_place *place, ino_t own_pids)
{
	struct credentials credentials;

	if (place->pids != own_pids && read_credentials(place->pid, &credentials)) {
		place->number = credentials.number;
	}
}

void processes_read(struct processes *processes)
{
	DIR *list = opendir("/proc");
	const struct dirent *entry;
	struct process_place place;

	memset(processes, 0, sizeof(*processes));
	read_place(&processes->own, "self");
	while (list != NULL && (entry = readdir(list)) != NULL) {
		const char *name = entry->d_name;

		if (name[strspn(name, "0123456789")] == '\0' && read_place(&place, name)) {
			read_number(&place, processes->own.pids);
			processes->all = xalloc_resize(processes->all, processes->count + 1,
			                               sizeof(place));
			processes->all[processes->count++] = place;
		}
	}
	if (list != NULL) {
		closedir(list);
	}
}

void processes_free(struct processes *processes)
{
	free(processes->all);
	memset(processes, 0, sizeof(*processes));
}

/* ---- which one it is ---- */

static bool is_believed(pid_t pid, pid_t claimed, uid_t owner)
{
	struct credentials credentials = {0};

	return read_credentials(pid, &credentials) && credentials.number == claimed &&
	       (owner == 0 || credentials.user == owner);
}

/* Among those of other pid namespaces; `mounts` 0: all. */
static pid_t find_elsewhere(const struct processes *processes, pid_t claimed, uid_t owner,
                            ino_t mounts)
{
	for (size_t i = 0; i < processes->count; i++) {
		const struct process_place *place = &processes->all[i];

		if (place->number == claimed && (mounts == 0 || place->mounts == mounts) &&
		    is_believed(place->pid, claimed, owner)) {
			return place->pid;
		}
	}
	return 0;
}

pid_t processes_find(const struct processes *processes, pid_t claimed, uid_t owner,
                     ino_t mounts)
{
	pid_t pid = mounts != 0 ? find_elsewhere(processes, claimed, owner, mounts) : 0;

	if (pid == 0 && is_believed(claimed, claimed, owner)) {
		pid = claimed;
	}
	return pid != 0 ? pid : find_elsewhere(processes, claimed, owner, 0);
}
