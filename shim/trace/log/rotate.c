/* SPDX-License-Identifier: PostgreSQL */
/* Rotation of a log file that several processes may be writing to. */
#include "trace/log/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "trace/log/log_name.h"

#define SUFFIX_MAX 24 /* ".new", or a point and a number */

static int64_t max_bytes;
static int64_t keep;

void rotate_configure(int64_t max_file_bytes, int64_t keep_files)
{
	max_bytes = max_file_bytes;
	keep = keep_files;
}

bool rotate_is_due(const struct stat *st, bool room)
{
	return max_bytes > 0 && st->st_size > 0 && (!room || st->st_size >= max_bytes);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool rotate_is_named(const char *name, const struct stat *st)
{
	struct stat there;

	return (log_name_is_descriptor() ? stat(name, &there) : lstat(name, &there)) == 0 &&
	       is_same(&there, st);
}

/* The name of a full file, in `buf` of PATH_MAX bytes; rotate_file ensures that it fits. */
static const char *numbered(char *buf, const char *name, int64_t number)
{
	struct strbuf t;

	strbuf_init(&t, buf, PATH_MAX);
	strbuf_str(&t, name);
	strbuf_char(&t, '.');
	strbuf_i64(&t, number);
	return buf;
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 || errno != ENOENT;
}

/* Never over an existing file: two rotations at once must not replace each other's. */
static int move(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS) {
		return errno;
	}
	return rename(from, to) == 0 ? 0 : errno; /* the file system has no RENAME_NOREPLACE */
}

/*
 * Makes the number 1 free. Files move up only as far as the first free number, which a killed
 * rotation may have left: none is removed before all numbers are in use.
 */
static int make_room(const char *name, char *from, char *to)
{
	int64_t vacant = 1;

	while (vacant <= keep && exists(numbered(to, name, vacant))) {
		vacant++;
	}
	if (vacant > keep) {
		vacant = keep;
		if (unlink(numbered(to, name, vacant)) != 0) {
			return errno;
		}
	}
	for (; vacant > 1; vacant--) {
		int error = move(numbered(from, name, vacant - 1), numbered(to, name, vacant));

		if (error != 0) {
			return error;
		}
	}
	return 0;
}

static int make_empty(const char *name, const struct stat *like)
{
	struct stat st;
	int error = 0;
	int fd;

	unlink(name); /* left by a process that was killed here */
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0) {
		return errno;
	}
	/* With another owner, processes that write to the full one could not write to it. */
	if (fstat(fd, &st) != 0 ||
	    ((st.st_uid != like->st_uid || st.st_gid != like->st_gid) &&
	     fchown(fd, like->st_uid, like->st_gid) != 0) ||
	    fchmod(fd, like->st_mode & 07777) != 0) {
		error = errno;
	}
	close(fd);
	return error;
}

/* Names in a rotation. */
struct names {
	char empty[PATH_MAX];
	char first[PATH_MAX];
	char from[PATH_MAX];
	char to[PATH_MAX];
};

_Static_assert(sizeof(struct names) <= SCRATCH_BYTES, "they fit into scratch");

/* Puts an empty file in the place of the full one, which gets the number 1. */
static int replace(const char *name, const struct stat *st)
{
	struct names *names = scratch_take();
	struct strbuf t;
	int error;

	if (names == NULL) {
		return ENOMEM;
	}
	strbuf_init(&t, names->empty, sizeof(names->empty));
	strbuf_str(&t, name);
	strbuf_str(&t, ".new");
	error = make_empty(names->empty, st);
	/* The full one may have its number already, from a rotation that was killed. */
	if (error == 0 && keep > 0 && !rotate_is_named(numbered(names->first, name, 1), st)) {
		error = make_room(name, names->from, names->to);
		if (error == 0 && link(name, names->first) != 0) {
			error = errno;
		}
	}
	if (error == 0 && rename(names->empty, name) != 0) {
		error = errno;
	}
	if (error != 0) {
		unlink(names->empty);
	}
	scratch_give(names);
	return error;
}

int rotate_file(const char *name, const struct stat *st)
{
	struct stat opened;
	int error = 0;
	int fd;

	if (strlen(name) > PATH_MAX - SUFFIX_MAX) {
		return ENAMETOOLONG;
	}
	fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0) {
		return errno == ENOENT ? 0 : errno;
	}
	if (fstat(fd, &opened) == 0 && is_same(&opened, st)) {
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			error = errno;
		} else if (rotate_is_named(name, st)) {
			error = replace(name, st);
		}
		/* A child forked past our handlers would keep the lock with its copy. */
		if (error != EWOULDBLOCK) {
			flock(fd, LOCK_UN);
		}
	}
	close(fd);
	return error;
}
