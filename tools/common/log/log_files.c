/* SPDX-License-Identifier: PostgreSQL */
/* The files of a log in the order they were written. */
#include "common/log/log_files.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

/* Beyond it a number at the end of a name is something else: a process id, a date. */
#define ROTATED_MAX 9999

/* The number of "NAME.12"; 0 if `suffix` is not one that rotation makes. */
static unsigned rotation_number(const char *suffix)
{
	char *end;
	unsigned long n;

	if (suffix[0] != '.' || suffix[1] < '1' || suffix[1] > '9') {
		return 0;
	}
	n = strtoul(suffix + 1, &end, 10);
	return *end == '\0' && n <= ROTATED_MAX ? (unsigned)n : 0;
}

/* The log that `name` is a rotated file of, if that is there, else `name` itself. */
static char *log_of(const char *name)
{
	const char *dot = strrchr(name, '.');
	char *base;

	if (dot == NULL || rotation_number(dot) == 0) {
		return xalloc_copy(name, strlen(name));
	}
	base = xalloc_copy(name, (size_t)(dot - name));
	if (access(base, F_OK) != 0) {
		free(base);
		return xalloc_copy(name, strlen(name));
	}
	return base;
}

static int ascending(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a;
	unsigned y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

/* The numbers of the rotated files beside `name`, from the newest; their count. */
static size_t rotated_of(const char *name, unsigned *numbers)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash != NULL ? slash + 1 : name;
	char *folder =
		slash != NULL ? xalloc_copy(name, (size_t)(last - name)) : xalloc_copy(".", 1);
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	size_t count = 0;

	free(folder);
	while (dir != NULL && count < ROTATED_MAX && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, last, strlen(last)) == 0) {
			numbers[count] = rotation_number(entry->d_name + strlen(last));
			count += numbers[count] != 0;
		}
	}
	if (dir != NULL) {
		closedir(dir);
	}
	qsort(numbers, count, sizeof(*numbers), ascending);
	return count;
}

static bool is_open_already(const struct log_files *files, const struct stat *st)
{
	for (size_t i = 0; i < files->count; i++) {
		struct stat other;

		if (fstat(files->all[i].fd, &other) == 0 && other.st_dev == st->st_dev &&
		    other.st_ino == st->st_ino) {
			return true;
		}
	}
	return false;
}

static void add_open(struct log_files *files, int fd, const char *name, unsigned family)
{
	files->all = xalloc_resize(files->all, files->count + 1, sizeof(*files->all));
	files->all[files->count++] = (struct log_file){
		.name = xalloc_copy(name, strlen(name)), .fd = fd, .family = family};
}

/* Opens a log that was named, be it a pipe. False with errno. */
static bool add_named(struct log_files *files, const char *name, unsigned family)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return false;
	}
	if (S_ISREG(st.st_mode) && is_open_already(files, &st)) {
		close(fd);
	} else {
		add_open(files, fd, name, family);
	}
	return true;
}

/* Opened from the newest to the oldest, kept the other way round. */
static void turn_round(struct log_file *files, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		struct log_file swapped = files[i];

		files[i] = files[count - 1 - i];
		files[count - 1 - i] = swapped;
	}
}

/* The same for one that has the name of a rotated file; anything but a file is none. */
static bool add_rotated(struct log_files *files, const char *base, unsigned number,
                        unsigned family)
{
	bool good = true;
	struct stat st;
	char *name;
	int fd;

	if (asprintf(&name, "%s.%u", base, number) < 0) {
		xalloc_added(NULL);
	}
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno != ENOENT) {
		warn("%s", name); /* one that is gone by now was the oldest */
		good = false;
	} else if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	           !is_open_already(files, &st)) {
		add_open(files, fd, name, family);
	} else if (fd >= 0) {
		close(fd);
	}
	free(name);
	return good;
}

static bool add_family(struct log_files *files, const char *base, unsigned family)
{
	unsigned numbers[ROTATED_MAX];
	size_t first = files->count;
	bool opened = add_named(files, base, family);
	int why = errno;
	size_t rotated = rotated_of(base, numbers);

	/* A log that was rotated and not begun again. */
	if (!opened && (why != ENOENT || rotated == 0)) {
		errno = why;
		warn("%s", base);
		return false;
	}
	for (size_t i = 0; i < rotated; i++) {
		if (!add_rotated(files, base, numbers[i], family)) {
			return false;
		}
	}
	/* Rotated since they were listed: the oldest has moved on by one. */
	if (rotated > 0 && !add_rotated(files, base, numbers[rotated - 1] + 1, family)) {
		return false;
	}
	turn_round(files->all + first, files->count - first);
	return true;
}

/* As many rotated files as can be kept are more than a process usually may open. */
static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

bool log_files_open(struct log_files *files, char *const *names, size_t count)
{
	bool opened = true;

	allow_many_files();
	*files = (struct log_files){0};
	for (size_t i = 0; i < count && opened; i++) {
		char *base = log_of(names[i]);

		opened = add_family(files, base, (unsigned)i);
		free(base);
	}
	return opened;
}

const struct log_file *log_files_foreign(const struct log_files *files)
{
	struct stat st;

	for (size_t i = 0; i < files->count && geteuid() == 0; i++) {
		if (fstat(files->all[i].fd, &st) != 0 ||
		    (S_ISREG(st.st_mode) && st.st_uid != 0)) {
			return &files->all[i];
		}
	}
	return NULL;
}

void log_files_close(struct log_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		close(files->all[i].fd);
	}
}

void log_files_free(struct log_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->all[i].name);
	}
	free(files->all);
}
