/* SPDX-License-Identifier: PostgreSQL */
/* The directories that hold this user's status pages, and the life of a page's file. */
#include "trace/status/page_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text/strbuf.h"

#define NEW_SECONDS  60 /* how long the making of a page may take */
#define DEAD_SECONDS (PAGEDIR_DEAD_HOURS * 3600)

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name);
	size_t m = strlen(end);

	return n > m && n < PAGEDIR_NAME_BYTES && strcmp(name + n - m, end) == 0;
}

bool pagedir_is_page(const char *name)
{
	return ends_with(name, PAGEDIR_PAGE) || ends_with(name, PAGEDIR_DEAD);
}

bool pagedir_is_dead(const char *name)
{
	return ends_with(name, PAGEDIR_DEAD);
}

/* ---- places ---- */

/* The directory that XDG_RUNTIME_DIR names, if it is this user's; NULL. */
static const char *xdg_directory(void)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	return folder != NULL && folder[0] == '/' && stat(folder, &st) == 0 &&
	                       S_ISDIR(st.st_mode) && st.st_uid == geteuid()
	               ? folder
	               : NULL;
}

static bool name_place(enum pagedir_place place, struct text *path)
{
	const char *xdg;

	switch (place) {
	case PAGEDIR_XDG:
		xdg = xdg_directory();
		text_str(path, xdg);
		text_str(path, "/pqpool");
		return xdg != NULL && !path->cut;
	case PAGEDIR_SHM:
		text_str(path, "/dev/shm/pqpool-");
		text_u64(path, geteuid());
		return true;
	case PAGEDIR_TMP:
		text_str(path, "/tmp/pqpool-");
		text_u64(path, geteuid());
		return true;
	case PAGEDIR_RUN_USER:
		text_str(path, "/run/user/");
		text_u64(path, geteuid());
		text_str(path, "/pqpool");
		return true;
	case PAGEDIR_PLACES:
		break;
	}
	return false;
}

/*
 * A directory that we have just made lacks what the program's umask took away. By its
 * descriptor, as the name may be somebody else's by now.
 */
static void open_to_owner(int handle)
{
	char buf[64];
	struct text name;

	text_init(&name, buf, sizeof(buf));
	text_str(&name, "/proc/self/fd/");
	text_i64(&name, handle);
	chmod(buf, 0700);
}

bool pagedir_is_memory(int dir)
{
	struct statfs fs;

	if (fstatfs(dir, &fs) != 0) {
		return false;
	}
	errno = EOPNOTSUPP;
	return (unsigned long)fs.f_type == TMPFS_MAGIC;
}

/* Makes the directory if it is to be in memory. Looking at the one above it never waits. */
static bool make_in_memory(char *path)
{
	char *slash = strrchr(path, '/');
	bool made;
	int above;

	*slash = '\0';
	above = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	if (above < 0) {
		return false;
	}
	made = pagedir_is_memory(above) && mkdirat(above, slash + 1, 0700) == 0;
	close(above);
	return made;
}

int pagedir_open(enum pagedir_place place, bool make, char path[PAGEDIR_PATH_BYTES])
{
	struct text t;
	struct stat st;
	bool made;
	int handle;
	int dir = -1;

	text_init(&t, path, PAGEDIR_PATH_BYTES);
	if (!name_place(place, &t)) {
		return -1;
	}
	made = make && make_in_memory(path);
	handle = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (handle < 0) {
		return -1;
	}
	errno = EACCES;
	if (fstat(handle, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
	    (!make || pagedir_is_memory(handle))) {
		if (made && (st.st_mode & 0700) != 0700) {
			open_to_owner(handle);
		}
		dir = openat(handle, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	close(handle);
	return dir;
}

/* ---- life ---- */

/* The whole file, however long it gets. */
static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

bool pagedir_lock(int fd)
{
	struct flock lock = whole_file();

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool pagedir_is_live(int fd)
{
	struct flock lock = whole_file();

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- tidying ---- */

/* The dead pages met so far, the youngest PAGEDIR_DEAD_KEPT of them. */
struct graveyard {
	int dir;
	size_t count;
	struct grave {
		time_t since;
		char name[PAGEDIR_NAME_BYTES];
	} graves[PAGEDIR_DEAD_KEPT];
};

/* Keeps one more; if that is one too many, the oldest is removed. */
static void bury(struct graveyard *yard, const char *name, time_t since)
{
	struct grave *oldest = &yard->graves[0];

	if (yard->count < PAGEDIR_DEAD_KEPT) {
		oldest = &yard->graves[yard->count++];
	} else {
		for (size_t i = 1; i < yard->count; i++) {
			oldest = yard->graves[i].since < oldest->since ? &yard->graves[i]
			                                               : oldest;
		}
		if (since < oldest->since) {
			unlinkat(yard->dir, name, 0);
			return;
		}
		unlinkat(yard->dir, oldest->name, 0);
	}
	oldest->since = since;
	memcpy(oldest->name, name, strlen(name) + 1); /* ends_with() has seen to its length */
}

/* Its process has ended with leases open: keeps the page under the name that says so. */
static void declare_dead(struct graveyard *yard, int fd, const char *name, time_t now)
{
	char dead[PAGEDIR_NAME_BYTES];
	size_t stem = strlen(name) - strlen(PAGEDIR_PAGE);

	memcpy(dead, name, stem);
	memcpy(dead + stem, PAGEDIR_DEAD, sizeof(PAGEDIR_DEAD));
	futimens(fd, NULL);
	if (renameat(yard->dir, name, yard->dir, dead) == 0) {
		bury(yard, dead, now);
	}
}

static void tidy_file(struct graveyard *yard, const char *name, pagedir_holds *holds_leases)
{
	int fd = openat(yard->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct stat st;

	if (fd < 0) {
		return;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return;
	}
	if (pagedir_is_dead(name)) {
		if (now - st.st_mtime > DEAD_SECONDS) {
			unlinkat(yard->dir, name, 0);
		} else {
			bury(yard, name, st.st_mtime);
		}
	} else if (ends_with(name, PAGEDIR_NEW)) {
		if (now - st.st_mtime > NEW_SECONDS && !pagedir_is_live(fd)) {
			unlinkat(yard->dir, name, 0);
		}
	} else if (!pagedir_is_live(fd)) {
		if (holds_leases(fd)) {
			declare_dead(yard, fd, name, now);
		} else {
			unlinkat(yard->dir, name, 0);
		}
	}
	close(fd);
}

void pagedir_tidy(int dir, size_t max, pagedir_holds *holds_leases)
{
	struct graveyard yard = {.dir = dir};
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *entry;

	if (list == NULL) {
		if (copy >= 0) {
			close(copy);
		}
		return;
	}
	while (max > 0 && (entry = readdir(list)) != NULL) {
		if (pagedir_is_page(entry->d_name) || ends_with(entry->d_name, PAGEDIR_NEW)) {
			tidy_file(&yard, entry->d_name, holds_leases);
			max--;
		}
	}
	closedir(list);
}
