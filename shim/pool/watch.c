/* SPDX-License-Identifier: PostgreSQL */
/* The files that a connection's identity depends on, and whether they changed. */
#include "pool/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/text.h"

static int64_t to_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * (int64_t)NS_PER_SEC + ts->tv_nsec;
}

static struct watch_print take_print(const char *path)
{
	struct watch_print print = {0};
	struct stat st;

	if (stat(path, &st) != 0) {
		print.error = errno;
		return print;
	}
	print.dev = st.st_dev;
	print.ino = st.st_ino;
	if (!S_ISDIR(st.st_mode)) {
		print.size = st.st_size;
		print.mtime_ns = to_ns(&st.st_mtim);
		print.ctime_ns = to_ns(&st.st_ctim);
		print.mode = st.st_mode;
		print.uid = st.st_uid;
	}
	return print;
}

static void add_print(struct watch_list *list, const char *path,
                      const struct watch_print *print)
{
	char *copy;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->files[i].path, path) == 0) {
			return;
		}
	}
	copy = list->count < WATCH_MAX ? strdup(path) : NULL;
	if (copy == NULL) {
		list->failed = true;
		return;
	}
	list->files[list->count].path = copy;
	list->files[list->count].print = *print;
	list->count++;
}

/*
 * Shortens the path of a file that does not exist to that of the first folder on the way to
 * it that does not: one look at that is enough for all the files that might be in it.
 */
static void find_gap(char *path, struct watch_print *print)
{
	char *slash;

	while (print->error == ENOENT && (slash = strrchr(path, '/')) != NULL &&
	       slash != path) {
		struct watch_print above;

		*slash = '\0';
		above = take_print(path);
		if (above.error != ENOENT) {
			*slash = '/';
			return;
		}
		*print = above;
	}
}

void watch_add(struct watch_list *list, const char *path)
{
	struct watch_print print = take_print(path);
	char shortened[PATH_MAX];
	struct text t;

	text_init(&t, shortened, sizeof(shortened));
	text_str(&t, path);
	if (t.cut) {
		list->failed = true;
		return;
	}
	find_gap(shortened, &print);
	add_print(list, shortened, &print);
	if (path[0] != '/') {
		print = take_print(".");
		add_print(list, ".", &print);
	}
}

void watch_add_in(struct watch_list *list, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct text t;

	text_init(&t, path, sizeof(path));
	text_str(&t, dir);
	text_char(&t, '/');
	text_str(&t, name);
	if (t.cut) {
		list->failed = true;
	} else {
		watch_add(list, path);
	}
}

bool watch_unchanged(const struct watch_list *list)
{
	int saved_errno = errno;
	bool unchanged = true;

	for (size_t i = 0; i < list->count && unchanged; i++) {
		struct watch_print now = take_print(list->files[i].path);

		unchanged = memcmp(&now, &list->files[i].print, sizeof(now)) == 0;
	}
	errno = saved_errno;
	return unchanged;
}

void watch_describe(const struct watch_list *list, struct blob *key)
{
	for (size_t i = 0; i < list->count; i++) {
		blob_field(key, list->files[i].path);
		blob_bytes(key, &list->files[i].print, sizeof(list->files[i].print));
	}
}

void watch_free(struct watch_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->files[i].path);
	}
	list->count = 0;
}
