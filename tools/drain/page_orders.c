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

static bool give_order(const struct page *page, bool drain, const char *label)
{
	int fd = open(page->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

static bool mark(int dir, bool paused)
{
	int fd;

	if (!paused) {
		return unlinkat(dir, PAGE_DIR_PAUSED, 0) == 0 || errno == ENOENT;
	}
	fd = openat(dir, PAGE_DIR_PAUSED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
	}
	return fd >= 0;
}

bool page_orders_pause(bool paused)
{
	bool made = !paused;

	for (int place = 0; place < PAGE_DIR_PLACES; place++) {
		char path[PAGE_DIR_PATH_BYTES];
		bool make = !made && place < PAGE_DIR_MAKERS;
		int dir = page_dir_open((enum page_dir_place)place, make, path);

		if (dir < 0) {
			continue;
		}
		if (!mark(dir, paused)) {
			warn("%s/%s", path, PAGE_DIR_PAUSED);
			close(dir);
			return false;
		}
		close(dir);
		made = true;
	}
	if (!made) {
		warnx("no directory for status pages can be made");
	}
	return made;
}

bool page_orders_are_paused(void)
{
	bool paused = false;

	for (int place = 0; place < PAGE_DIR_PLACES; place++) {
		char path[PAGE_DIR_PATH_BYTES];
		int dir = page_dir_open((enum page_dir_place)place, false, path);
		struct stat st;

		if (dir >= 0) {
			paused |= fstatat(dir, PAGE_DIR_PAUSED, &st, AT_SYMLINK_NOFOLLOW) == 0;
			close(dir);
		}
	}
	return paused;
}
