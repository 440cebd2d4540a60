/* SPDX-License-Identifier: PostgreSQL */
/* The files that an identity depends on, with a stamp of each. */
#include "key/file_stamp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text/hash.h"
#include "base/text/path.h"

static int64_t to_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * (int64_t)NS_PER_SEC + ts->tv_nsec;
}

static void take_times(struct file_stamp_print *print, const struct stat *st)
{
	print->mtime_ns = to_ns(&st->st_mtim);
	print->ctime_ns = to_ns(&st->st_ctim);
	print->mode = st->st_mode;
	print->uid = st->st_uid;
}

static uint64_t hash_entry(const char *folder, const char *name)
{
	struct file_stamp_print print = {0};
	struct stat st;
	char *path = path_join(folder, name);

	if (path != NULL && stat(path, &st) == 0) {
		print.ino = st.st_ino;
		print.size = st.st_size;
		take_times(&print, &st);
	}
	free(path);
	return hash_bytes(hash_bytes(0, &print, sizeof(print)), name, strlen(name));
}

/* Up to `max` entries of a folder; `*digest` gets one number for all of them, in any order. */
static unsigned read_folder(const char *path, unsigned max, uint64_t *digest)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	unsigned count = 0;

	while (folder != NULL && count < max && (entry = readdir(folder)) != NULL) {
		count++;
		if (digest != NULL) {
			*digest += hash_entry(path, entry->d_name);
		}
	}
	if (folder != NULL) {
		closedir(folder);
	} else if (fd >= 0) {
		close(fd);
	}
	return count;
}

static struct file_stamp_print take_print(const char *path, enum file_stamp_depth depth)
{
	struct file_stamp_print print = {0};
	uint64_t digest = 0;
	struct stat st;

	if (stat(path, &st) != 0) {
		print.error = errno;
		return print;
	}
	print.dev = st.st_dev;
	print.ino = st.st_ino;
	if (!S_ISDIR(st.st_mode)) {
		print.size = st.st_size;
		take_times(&print, &st);
	} else if (depth != FILE_STAMP_WHICH) {
		if (depth == FILE_STAMP_ENTRIES) {
			read_folder(path, UINT_MAX, &digest);
			print.size = (int64_t)digest;
		}
		take_times(&print, &st);
	}
	return print;
}

static void add_print(struct file_stamp_list *list, const char *path,
                      enum file_stamp_depth depth, bool for_password,
                      const struct file_stamp_print *print)
{
	char *copy;

	for (size_t i = 0; i < list->count; i++) {
		if (list->files[i].depth == depth && strcmp(list->files[i].path, path) == 0) {
			list->files[i].for_password =
				list->files[i].for_password && for_password;
			return;
		}
	}
	copy = list->count < FILE_STAMP_MAX ? strdup(path) : NULL;
	if (copy == NULL) {
		list->failed = true;
		return;
	}
	list->files[list->count].path = copy;
	list->files[list->count].depth = depth;
	list->files[list->count].for_password = for_password;
	list->files[list->count].print = *print;
	list->count++;
}

/*
 * Shortens the path of a file that does not exist to the first folder on the way that does not:
 * one look at that is enough for all the files that might be in it.
 */
static void find_gap(char *path, struct file_stamp_print *print)
{
	char *slash;

	while (print->error == ENOENT && (slash = strrchr(path, '/')) != NULL &&
	       slash != path) {
		struct file_stamp_print above;

		*slash = '\0';
		above = take_print(path, FILE_STAMP_WHICH);
		if (above.error != ENOENT) {
			*slash = '/';
			return;
		}
		*print = above;
	}
}

static void add(struct file_stamp_list *list, const char *path, enum file_stamp_depth depth,
                bool for_password)
{
	struct file_stamp_print print = take_print(path, depth);
	char *shortened = strdup(path);

	if (shortened == NULL) {
		list->failed = true;
		return;
	}
	find_gap(shortened, &print);
	add_print(list, shortened, depth, for_password, &print);
	free(shortened);
	if (path[0] != '/') {
		print = take_print(".", FILE_STAMP_WHICH);
		add_print(list, ".", FILE_STAMP_WHICH, for_password, &print);
	}
}

void file_stamp_add(struct file_stamp_list *list, const char *path)
{
	add(list, path, FILE_STAMP_WHICH, false);
}

void file_stamp_add_for_password(struct file_stamp_list *list, const char *path)
{
	add(list, path, FILE_STAMP_WHICH, true);
}

void file_stamp_add_contents(struct file_stamp_list *list, const char *path)
{
	unsigned count = read_folder(path, FILE_STAMP_ENTRIES_MAX + 1, NULL);

	add(list, path, count <= FILE_STAMP_ENTRIES_MAX ? FILE_STAMP_ENTRIES : FILE_STAMP_TIMES,
	    false);
}

bool file_stamp_unchanged(const struct file_stamp_list *list, bool passwords)
{
	int saved_errno = errno;
	bool unchanged = true;

	for (size_t i = 0; i < list->count && unchanged; i++) {
		struct file_stamp_print now;

		if (passwords || !list->files[i].for_password) {
			now = take_print(list->files[i].path, list->files[i].depth);
			unchanged = memcmp(&now, &list->files[i].print, sizeof(now)) == 0;
		}
	}
	errno = saved_errno;
	return unchanged;
}

bool file_stamp_equal(const struct file_stamp_list *a, const struct file_stamp_list *b)
{
	bool equal = a->count == b->count;

	for (size_t i = 0; i < a->count && equal; i++) {
		equal = a->files[i].depth == b->files[i].depth &&
		        strcmp(a->files[i].path, b->files[i].path) == 0 &&
		        memcmp(&a->files[i].print, &b->files[i].print,
		               sizeof(a->files[i].print)) == 0;
	}
	return equal;
}

void file_stamp_describe(const struct file_stamp_list *list, struct keybuf *key)
{
	for (size_t i = 0; i < list->count; i++) {
		keybuf_field(key, list->files[i].path);
		keybuf_bytes(key, &list->files[i].print, sizeof(list->files[i].print));
	}
}

void file_stamp_free(struct file_stamp_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->files[i].path);
	}
	list->count = 0;
}
