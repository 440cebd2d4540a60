/* SPDX-License-Identifier: PostgreSQL */
/* The folders of status pages, found. */
#include "common/pages/page_folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "trace/status/page_dir.h"

#define PREFIX "pqpool-" /* of a folder's name in /dev/shm and /tmp */

struct round {
	page_folders_visit *visit;
	void *with;
	bool going;
	struct stat *seen; /* folders, and directories of folders */
	size_t seen_count;
};

/* A file system that a process sees. */
struct root {
	char prefix[40]; /* of a path there, for us: "" or "/proc/71/root" */
	ino_t mounts;
};

bool page_folders_are_all_seen(void)
{
	return geteuid() == 0;
}

static bool is_new(struct round *round, int dir)
{
	struct stat st;

	if (fstat(dir, &st) != 0) {
		return false;
	}
	for (size_t i = 0; i < round->seen_count; i++) {
		if (round->seen[i].st_dev == st.st_dev && round->seen[i].st_ino == st.st_ino) {
			return false;
		}
	}
	round->seen = xalloc_resize(round->seen, round->seen_count + 1, sizeof(*round->seen));
	round->seen[round->seen_count++] = st;
	return true;
}

/* ---- this user's ---- */

static void visit_own(struct round *round)
{
	for (int place = 0; place < PAGE_DIR_PLACES && round->going; place++) {
		char path[PAGE_DIR_PATH_BYTES];
		int dir = page_dir_open((enum page_dir_place)place, false, path);

		if (dir >= 0 && is_new(round, dir)) {
			struct page_folder folder = {
				.dir = dir, .path = path, .owner = geteuid(), .own = true};

			round->going = round->visit(round->with, &folder);
		}
		if (dir >= 0) {
			close(dir);
		}
	}
}

/* ---- those of all ---- */

/* The directory `name` in `dir`, by a handle that asks nothing of its file system; -1. */
static int enter(int dir, const char *name)
{
	return openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_list(int handle)
{
	return openat(handle, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
}

/* The folder behind `handle`, if it is one. */
static void visit_folder(struct round *round, const struct root *root, int handle,
                         const char *path)
{
	char whole[PAGE_DIR_PATH_BYTES];
	struct page_folder folder = {.path = whole, .mounts = root->mounts};
	struct stat st;

	if (!page_dir_is_memory(handle) || fstat(handle, &st) != 0 || (st.st_mode & 077) != 0 ||
	    !is_new(round, handle)) {
		return;
	}
	snprintf(whole, sizeof(whole), "%s%s", root->prefix, path);
	folder.owner = st.st_uid;
	folder.dir = open_list(handle);
	if (folder.dir >= 0) {
		round->going = round->visit(round->with, &folder);
		close(folder.dir);
	}
}

/* The entry `name` of the directory `path` is a folder, or has one called `below`. */
static void visit_entry(struct round *round, const struct root *root, int dir, const char *path,
                        const char *name, const char *below)
{
	char inner[64];
	int handle = enter(dir, name);

	snprintf(inner, sizeof(inner), "%.16s/%.24s", path, name);
	if (handle >= 0 && below != NULL) {
		int outer = handle;

		handle = enter(outer, below);
		close(outer);
		snprintf(inner, sizeof(inner), "%.16s/%.24s/%.16s", path, name, below);
	}
	if (handle >= 0) {
		visit_folder(round, root, handle, inner);
		close(handle);
	}
}

/* Those of its entries whose name is `prefix` and a user's number. */
static void visit_entries(struct round *round, const struct root *root, int dir,
                          const char *path, const char *prefix, const char *below)
{
	int list_fd = is_new(round, dir) ? open_list(dir) : -1;
	DIR *list = list_fd >= 0 ? fdopendir(list_fd) : NULL;
	const struct dirent *entry;
	size_t n = strlen(prefix);

	if (list == NULL) {
		if (list_fd >= 0) {
			close(list_fd);
		}
		return;
	}
	while (round->going && (entry = readdir(list)) != NULL) {
		const char *number = entry->d_name + n;

		if (strncmp(entry->d_name, prefix, n) == 0 && number[0] != '\0' &&
		    strlen(number) <= 10 && number[strspn(number, "0123456789")] == '\0') {
			visit_entry(round, root, dir, path, entry->d_name, below);
		}
	}
	closedir(list);
}

static void visit_root(struct round *round, const struct root *root)
{
	static const struct {
		const char *outer;
		const char *inner; /* NULL: none */
		const char *path;
		const char *prefix;
		const char *below;
	} places[] = {
		{"run", "user", "/run/user", "", "pqpool"},
		{"dev", "shm", "/dev/shm", PREFIX, NULL},
		{"tmp", NULL, "/tmp", PREFIX, NULL},
	};
	char path[sizeof(root->prefix) + 1];
	int top;

	snprintf(path, sizeof(path), "%s/", root->prefix);
	top = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; top >= 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		int dir = enter(top, places[i].outer);

		if (dir >= 0 && places[i].inner != NULL) {
			int outer = dir;

			dir = enter(outer, places[i].inner);
			close(outer);
		}
		if (dir >= 0) {
			visit_entries(round, root, dir, places[i].path, places[i].prefix,
			              places[i].below);
			close(dir);
		}
	}
	if (top >= 0) {
		close(top);
	}
}

static bool is_same_root(const struct process_place *a, const struct process_place *b)
{
	return a->mounts == b->mounts && a->root_device == b->root_device && a->root == b->root;
}

/* True if no process before this one sees the same file system; nor do we. */
static bool is_new_root(const struct processes *processes, size_t i)
{
	const struct process_place *place = &processes->all[i];

	for (size_t j = 0; j < i; j++) {
		if (is_same_root(&processes->all[j], place)) {
			return false;
		}
	}
	return !is_same_root(&processes->own, place);
}

static void visit_all(struct round *round, const struct processes *processes)
{
	struct root root = {.prefix = ""};

	visit_root(round, &root);
	for (size_t i = 0; i < processes->count && round->going; i++) {
		if (is_new_root(processes, i)) {
			snprintf(root.prefix, sizeof(root.prefix), "/proc/%d/root",
			         (int)processes->all[i].pid);
			root.mounts = processes->all[i].mounts;
			visit_root(round, &root);
		}
	}
}

bool page_folders_each(const struct processes *processes, page_folders_visit *visit, void *with)
{
	struct round round = {.visit = visit, .with = with, .going = true};

	visit_own(&round);
	if (processes != NULL && round.going) {
		visit_all(&round, processes);
	}
	free(round.seen);
	return round.going;
}
