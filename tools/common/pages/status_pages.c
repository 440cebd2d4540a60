/* SPDX-License-Identifier: PostgreSQL */
/* The status pages of this user's processes, as copies that hold still: finding them. */
#include "common/pages/status_pages.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/pages/page_file.h"
#include "common/xalloc.h"
#include "trace/status/page_dir.h"

void pages_warn(const char *path, const char *what)
{
	warnx("%s: %s", path, what);
}

/* Of an ended process only wall clocks are left to compare: it may be of another boot. */
uint64_t pages_held_ns(const struct page *page, const struct page_session *session)
{
	uint64_t until_us = page->live || page->ended_us == 0 ? page->read_us : page->ended_us;

	return until_us > session->row.began_us ? (until_us - session->row.began_us) * NS_PER_US
	                                        : 0;
}

/* ---- finding the files ---- */

struct search {
	struct pages *pages;
	pid_t pid;
	pages_complain *complain;
};

static void reject(const struct search *search, const char *path, const char *what)
{
	if (search->complain != NULL) {
		search->complain(path, what);
	}
}

/* What is wrong with the file; NULL: it is a page, and this is its head. */
static const char *check_file(int fd, struct stat *st, struct status_head *head)
{
	if (fstat(fd, st) != 0) {
		return strerror(errno);
	}
	if (!S_ISREG(st->st_mode) || st->st_uid != geteuid()) {
		return "is not a file of this user's";
	}
	if (pread(fd, head, sizeof(*head), 0) != (ssize_t)sizeof(*head) ||
	    memcmp(head->magic, STATUS_MAGIC, sizeof(head->magic)) != 0 || head->pid <= 0) {
		return "is not a status page";
	}
	return status_is_page(head) ? NULL : "is a status page of another version of pqpool";
}

static void read_file(struct search *search, int fd, const char *path, const char *name)
{
	struct pages *pages = search->pages;
	struct status_head head = {0};
	struct stat st;
	const char *wrong = check_file(fd, &st, &head);
	struct page page = {0};

	if (wrong != NULL) {
		reject(search, path, wrong);
		return;
	}
	if (search->pid != 0 && head.pid != search->pid) {
		return;
	}
	page.path = xalloc_copy(path, strlen(path));
	page.live = !page_dir_is_dead(name) && page_dir_is_live(fd);
	page.read_us = clock_wall_us();
	page.ended_us = page_dir_is_dead(name) ? (uint64_t)st.st_mtime * 1000000 : 0;
	page_file_read(&page, fd, &head);
	pages->all = xalloc_resize(pages->all, pages->count + 1, sizeof(page));
	pages->all[pages->count++] = page;
}

static void read_entry(struct search *search, int dir, const char *folder, const char *name)
{
	char path[PAGE_DIR_PATH_BYTES + PAGE_DIR_NAME_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		read_file(search, fd, path, name);
		close(fd);
	} else if (errno != ENOENT) {
		reject(search, path, strerror(errno));
	}
}

static bool read_folder(struct search *search, int dir, const char *folder)
{
	DIR *list = fdopendir(dir);
	const struct dirent *entry;

	if (list == NULL) {
		close(dir);
		return false;
	}
	while ((entry = readdir(list)) != NULL) {
		if (page_dir_is_page(entry->d_name)) {
			read_entry(search, dirfd(list), folder, entry->d_name);
		}
	}
	closedir(list);
	return true;
}

/* Calls `each` with every directory there is, once; `dir` is closed by it. */
static bool for_each_folder(bool (*each)(struct search *search, int dir, const char *folder),
                            struct search *search)
{
	struct stat seen[PAGE_DIR_PLACES];
	size_t count = 0;

	for (int place = 0; place < PAGE_DIR_PLACES; place++) {
		char folder[PAGE_DIR_PATH_BYTES];
		int dir = page_dir_open((enum page_dir_place)place, false, folder);
		bool again = dir < 0 || fstat(dir, &seen[count]) != 0;

		for (size_t i = 0; !again && i < count; i++) {
			again = seen[i].st_dev == seen[count].st_dev &&
			        seen[i].st_ino == seen[count].st_ino;
		}
		if (again) {
			if (dir >= 0) {
				close(dir);
			}
			continue;
		}
		count++;
		if (!each(search, dir, folder)) {
			return false;
		}
	}
	return true;
}

static int compare_pages(const void *a, const void *b)
{
	const struct page *x = a;
	const struct page *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

bool pages_read(struct pages *pages, pid_t pid, pages_complain *complain)
{
	struct search search = {.pages = pages, .pid = pid, .complain = complain};

	memset(pages, 0, sizeof(*pages));
	if (!for_each_folder(read_folder, &search)) {
		warn("status pages");
		return false;
	}
	if (pages->count > 0) {
		qsort(pages->all, pages->count, sizeof(*pages->all), compare_pages);
	}
	return true;
}

void pages_free(struct pages *pages)
{
	for (size_t i = 0; i < pages->count; i++) {
		page_file_free(&pages->all[i]);
		free(pages->all[i].path);
	}
	free(pages->all);
	memset(pages, 0, sizeof(*pages));
}

/* ---- tidying ---- */

static bool tidy_folder(struct search *search, int dir, const char *folder)
{
	(void)search;
	(void)folder;
	page_dir_tidy(dir, SIZE_MAX, page_dir_holds_leases);
	close(dir);
	return true;
}

void pages_tidy(void)
{
	for_each_folder(tidy_folder, NULL);
}
