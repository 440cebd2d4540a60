/* SPDX-License-Identifier: PostgreSQL */
/* The directories of this user's status pages, and how long a page's file stays. */
#include "trace/status/page_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "trace/status/status_format.h"

#define NEW_SECONDS  60 /* how long the making of a page may take */
#define DEAD_SECONDS (PAGE_DIR_DEAD_HOURS * 3600)
#define LOOK_US      1000000 /* how long nobody needs to look again */
#define ENTRY_BYTES  20      /* in a directory's size, on tmpfs */
#define NO_FILES     2       /* so many entries does an empty one have */

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name);
	size_t m = strlen(end);

	return n > m && n < PAGE_DIR_NAME_BYTES && strcmp(name + n - m, end) == 0;
}

bool page_dir_is_page(const char *name)
{
	return ends_with(name, PAGE_DIR_PAGE) || ends_with(name, PAGE_DIR_DEAD);
}

bool page_dir_is_dead(const char *name)
{
	return ends_with(name, PAGE_DIR_DEAD);
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

static bool name_place(enum page_dir_place place, struct strbuf *path)
{
	static const struct {
		char before_uid[20];
		char after_uid[8];
	} places[PAGE_DIR_PLACES] = {
		[PAGE_DIR_SHM] = {"/dev/shm/pqpool-", ""},
		[PAGE_DIR_TMP] = {"/tmp/pqpool-", ""},
		[PAGE_DIR_RUN_USER] = {"/run/user/", "/pqpool"},
	};
	const char *xdg;

	if (place == PAGE_DIR_XDG) {
		xdg = xdg_directory();
		strbuf_str(path, xdg);
		strbuf_str(path, "/pqpool");
		return xdg != NULL && !path->cut;
	}
	strbuf_str(path, places[place].before_uid);
	strbuf_u64(path, geteuid());
	strbuf_str(path, places[place].after_uid);
	return true;
}

/*
 * Gives back to a directory that we have just made what the program's umask took away. By its
 * descriptor, for the name may lead to another user's directory by now.
 */
static void open_to_owner(int handle)
{
	char buf[64];
	struct strbuf name;

	strbuf_init(&name, buf, sizeof(buf));
	strbuf_str(&name, "/proc/self/fd/");
	strbuf_i64(&name, handle);
	chmod(buf, 0700);
}

bool page_dir_is_memory(int dir)
{
	struct statfs fs;

	if (fstatfs(dir, &fs) != 0) {
		return false;
	}
	errno = EOPNOTSUPP;
	return (unsigned long)fs.f_type == TMPFS_MAGIC;
}

/* Makes the directory if it would be in memory. To look at the one above it never blocks. */
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
	made = page_dir_is_memory(above) && mkdirat(above, slash + 1, 0700) == 0;
	close(above);
	return made;
}

int page_dir_find(enum page_dir_place place, bool make, char path[PAGE_DIR_PATH_BYTES],
                  struct stat *st)
{
	struct strbuf t;
	bool made;
	int handle;

	strbuf_init(&t, path, PAGE_DIR_PATH_BYTES);
	if (!name_place(place, &t)) {
		return -1;
	}
	handle = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	made = handle < 0 && make && make_in_memory(path);
	if (made) {
		handle = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (handle < 0) {
		return -1;
	}
	errno = EACCES;
	if (fstat(handle, st) == 0 && st->st_uid == geteuid() && (st->st_mode & 077) == 0 &&
	    (!make || page_dir_is_memory(handle))) {
		if (made && (st->st_mode & 0700) != 0700) {
			open_to_owner(handle);
		}
		return handle;
	}
	close(handle);
	return -1;
}

int page_dir_read(int handle)
{
	return openat(handle, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int page_dir_open(enum page_dir_place place, bool make, char path[PAGE_DIR_PATH_BYTES])
{
	struct stat st;
	int handle = page_dir_find(place, make, path, &st);
	int dir = -1;

	if (handle >= 0) {
		dir = page_dir_read(handle);
		close(handle);
	}
	return dir;
}

/* ---- life ---- */

static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

bool page_dir_lock(int fd)
{
	struct flock lock = whole_file();

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool page_dir_is_live(int fd)
{
	struct flock lock = whole_file();

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- tidying ---- */

/* The dead pages found so far, the youngest PAGE_DIR_DEAD_KEPT of them. */
struct graveyard {
	int dir;
	size_t count;
	struct grave {
		time_t since;
		char name[PAGE_DIR_NAME_BYTES];
	} graves[PAGE_DIR_DEAD_KEPT];
};

/* Keeps one more; if that is too many, removes the oldest. */
static void bury(struct graveyard *yard, const char *name, time_t since)
{
	struct grave *oldest = &yard->graves[0];

	if (yard->count < PAGE_DIR_DEAD_KEPT) {
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
	memcpy(oldest->name, name, strlen(name) + 1); /* ends_with() has checked its length */
}

/* Its process ended with leases open: keeps the page under a name that says so. */
static void declare_dead(struct graveyard *yard, int fd, const char *name, time_t now)
{
	char dead[PAGE_DIR_NAME_BYTES];
	size_t stem = strlen(name) - strlen(PAGE_DIR_PAGE);

	memcpy(dead, name, stem);
	memcpy(dead + stem, PAGE_DIR_DEAD, sizeof(PAGE_DIR_DEAD));
	futimens(fd, NULL);
	if (renameat(yard->dir, name, yard->dir, dead) == 0) {
		bury(yard, dead, now);
	}
}

static void tidy_file(struct graveyard *yard, const char *name, page_dir_holds *holds_leases)
{
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct stat st;
	int fd;

	if (fstatat(yard->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
		return; /* not ours */
	}
	if (page_dir_is_dead(name)) {
		if (now - st.st_mtime > DEAD_SECONDS) {
			unlinkat(yard->dir, name, 0);
		} else {
			bury(yard, name, st.st_mtime);
		}
		return;
	}
	fd = openat(yard->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		return;
	}
	if (ends_with(name, PAGE_DIR_NEW)) {
		if (now - st.st_mtime > NEW_SECONDS && !page_dir_is_live(fd)) {
			unlinkat(yard->dir, name, 0);
		}
	} else if (!page_dir_is_live(fd)) {
		if (holds_leases(fd)) {
			declare_dead(yard, fd, name, now);
		} else {
			unlinkat(yard->dir, name, 0);
		}
	}
	close(fd);
}

bool page_dir_was_tidied(const struct stat *dir, size_t max)
{
	int64_t read_us = (int64_t)dir->st_atim.tv_sec * 1000000 + dir->st_atim.tv_nsec / 1000;
	int64_t age_us = (int64_t)clock_wall_us() - read_us;

	return age_us >= 0 && age_us < LOOK_US &&
	       (uint64_t)dir->st_size / ENTRY_BYTES <= max + NO_FILES;
}

/* By the system call: readdir(3) would take 32 kB from malloc. Not inlined, for its frame. */
__attribute__((noinline)) void page_dir_tidy(int dir, size_t max, page_dir_holds *holds_leases)
{
	struct graveyard yard = {.dir = dir};
	_Alignas(struct dirent64) char entries[768];
	ssize_t n = 0;

	lseek(dir, 0, SEEK_SET);
	while (max > 0 && (n = getdents64(dir, entries, sizeof(entries))) > 0) {
		const struct dirent64 *entry;

		for (ssize_t at = 0; at < n && max > 0; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(const void *)(entries + at);
			if (page_dir_is_page(entry->d_name) ||
			    ends_with(entry->d_name, PAGE_DIR_NEW)) {
				tidy_file(&yard, entry->d_name, holds_leases);
				max--;
			}
		}
	}
}

bool page_dir_holds_leases(int fd)
{
	struct status_head *head = scratch_take();
	uint64_t counts[2]; /* acquired, released; those of version 1 count twice */
	uint64_t open = 0;

	if (head != NULL && pread(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head) &&
	    status_is_page(head)) {
		open = head->acquired - head->released;
		for (uint32_t i = 0; i < head->pools && i < STATUS_POOLS_MAX; i++) {
			size_t at = STATUS_POOLS_AT + i * sizeof(struct status_pool) +
			            offsetof(struct status_pool, acquired);

			if (pread(fd, counts, sizeof(counts), (off_t)at) ==
			    (ssize_t)sizeof(counts)) {
				open += counts[0] - counts[1];
			}
		}
	}
	scratch_give(head);
	return open != 0;
}
