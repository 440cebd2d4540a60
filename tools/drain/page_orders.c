/* SPDX-License-Identifier: PostgreSQL */
/* Orders to programs by their status pages. */
#include "drain/page_orders.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/pages/page_folders.h"
#include "trace/status/page_dir.h"

#define ORDERS_SINCE 3 /* version of the page */

bool page_orders_are_taken(const struct page *page)
{
	return page->version >= ORDERS_SINCE;
}

/* ---- on a page ---- */

static bool put(int fd, size_t at, uint64_t order)
{
	return pwrite(fd, &order, sizeof(order), (off_t)at) == (ssize_t)sizeof(order);
}

static bool put_drains(int fd, const struct page *page, const char *label, uint64_t order)
{
	for (size_t i = 0; i < page->pool_count; i++) {
		const struct page_pool *pool = &page->pools[i];

		if ((label == NULL || strcmp(pool->label, label) == 0) &&
		    !put(fd,
		         STATUS_POOLS_AT + pool->number * sizeof(struct status_pool) +
		                 offsetof(struct status_pool, drain),
		         order)) {
			return false;
		}
	}
	return label != NULL || put(fd, offsetof(struct status_head, drain), order);
}

/*
 * The page's file, for writing; -1. The file that was read, for its folder is its owner's, who
 * may have put a link there since.
 */
static int open_page(const struct page *page)
{
	int fd = open(page->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 &&
	    (fstat(fd, &st) != 0 || st.st_dev != page->device || st.st_ino != page->inode)) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

static bool give_order(const struct page *page, bool drain, const char *label)
{
	int fd = open_page(page);
	uint64_t order = clock_monotonic_ns();
	bool given;
	int saved_errno;

	if (fd < 0) {
		return errno == ENOENT; /* the program has ended */
	}
	given = (!drain || put_drains(fd, page, label, order)) &&
	        put(fd, offsetof(struct status_head, order), order);
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return given;
}

bool page_orders_drain(const struct page *page, const char *label)
{
	return give_order(page, true, label);
}

bool page_orders_look(const struct page *page)
{
	return give_order(page, false, NULL);
}

/* ---- in the directories ---- */

/* Whatever has that name already says the same. */
static bool mark(int dir, bool paused)
{
	int fd;

	if (!paused) {
		return unlinkat(dir, PAGE_DIR_PAUSED, 0) == 0 || errno == ENOENT;
	}
	fd = openat(dir, PAGE_DIR_PAUSED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	            0600);
	if (fd >= 0) {
		close(fd);
	}
	return fd >= 0 || errno == EEXIST;
}

/* Makes a folder for programs that begin later. */
static void make_folder(void)
{
	bool made = false;

	for (int place = 0; place < PAGE_DIR_MAKERS && !made; place++) {
		char path[PAGE_DIR_PATH_BYTES];
		int dir = page_dir_open((enum page_dir_place)place, true, path);

		made = dir >= 0;
		if (made) {
			close(dir);
		}
	}
}

struct marking {
	bool paused;
	bool any;
	bool failed;
};

static bool mark_folder(void *with, const struct page_folder *folder)
{
	struct marking *marking = with;

	marking->any |= folder->own;
	if (!mark(folder->dir, marking->paused)) {
		warn("%s/%s", folder->path, PAGE_DIR_PAUSED);
		marking->failed = true;
	}
	return true;
}

bool page_orders_pause(enum pages_whose whose, bool paused)
{
	struct marking marking = {.paused = paused};
	bool all = whose == PAGES_OF_ALL && page_folders_are_all_seen();
	struct processes processes = {0};

	if (paused) {
		make_folder();
	}
	if (all) {
		processes_read(&processes);
	}
	page_folders_each(all ? &processes : NULL, mark_folder, &marking);
	processes_free(&processes);
	if (paused && !marking.any) {
		warnx("no directory for status pages can be made: none of XDG_RUNTIME_DIR, "
		      "/dev/shm and "
		      "/tmp is in memory (tmpfs) and writable");
	}
	return !marking.failed && (marking.any || !paused);
}
