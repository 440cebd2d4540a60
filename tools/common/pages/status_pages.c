/* SPDX-License-Identifier: PostgreSQL */
/* The status pages, as copies that hold still: finding them. */
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
#include "common/pages/page_folders.h"
#include "common/pages/processes.h"
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

/* ---- what of a user's is read ---- */

/* For root of other users', each. */
#define FILES_MAX 4096
#define BYTES_MAX (64U << 20)

/* What was read of one user's, over all folders. */
struct allowance {
	uid_t owner;
	size_t files;
	size_t bytes;
};

struct search {
	struct pages *pages;
	pid_t pid;
	pages_complain *complain;
	struct processes processes;
	struct allowance *allowances;
	size_t allowance_count;

	/* The folder. */
	const struct page_folder *folder;
	bool paused;
	bool complained;
};

static struct allowance *allowance_of(struct search *search, uid_t owner)
{
	struct allowance *fresh;

	for (size_t i = 0; i < search->allowance_count; i++) {
		if (search->allowances[i].owner == owner) {
			return &search->allowances[i];
		}
	}
	search->allowances = xalloc_resize(search->allowances, search->allowance_count + 1,
	                                   sizeof(*search->allowances));
	fresh = &search->allowances[search->allowance_count++];
	*fresh = (struct allowance){.owner = owner};
	return fresh;
}

/* False: the folder's owner has used it up. */
static bool may_read_more(struct search *search)
{
	struct allowance *allowance = allowance_of(search, search->folder->owner);

	return search->folder->own ||
	       (allowance->files++ < FILES_MAX && allowance->bytes < BYTES_MAX);
}

/* The memory that it takes, about. */
static size_t bytes_of(const struct page *page)
{
	size_t bytes = sizeof(*page) + page->pool_count * sizeof(*page->pools) +
	               page->session_count * (sizeof(*page->sessions) +
	                                      sizeof(page->sessions[0].row.statement));

	for (size_t i = 0; i < page->stack_count; i++) {
		bytes += 4 * sizeof(*page->stacks) + 2 * strlen(page->stacks[i].text);
	}
	return bytes;
}

/* ---- finding the files ---- */

static void reject(struct search *search, const char *path, const char *what)
{
	if (search->complain != NULL && (search->folder->own || !search->complained)) {
		search->complain(path, what);
	}
	search->complained = true;
}

/* What is wrong with the file; NULL: it is a page, and this is its head. */
static const char *check_file(int fd, uid_t owner, struct stat *st, struct status_head *head)
{
	if (fstat(fd, st) != 0) {
		return strerror(errno);
	}
	if (!S_ISREG(st->st_mode) || st->st_uid != owner) {
		return "is not a file of this user's";
	}
	if (pread(fd, head, sizeof(*head), 0) != (ssize_t)sizeof(*head) ||
	    memcmp(head->magic, STATUS_MAGIC, sizeof(head->magic)) != 0 || head->pid <= 0) {
		return "is not a status page";
	}
	return status_is_page(head) ? NULL : "is a status page of another version of pqpool";
}

/* The process whose page it is, by its number here; 0: none that the owner may speak for. */
static pid_t find_process(const struct search *search, int fd, pid_t claimed, bool *live)
{
	const struct page_folder *folder = search->folder;
	pid_t pid = claimed;

	if (!folder->own && *live) {
		pid = processes_find(&search->processes, claimed, folder->owner,
		                     folder->mounts);
		if (pid == 0 && !page_dir_is_live(fd)) {
			*live = false; /* it has just ended */
			pid = claimed;
		}
	}
	return pid;
}

static void read_file(struct search *search, int fd, const char *path, const char *name)
{
	struct pages *pages = search->pages;
	const struct page_folder *folder = search->folder;
	struct status_head head = {0};
	struct stat st;
	const char *wrong = check_file(fd, folder->owner, &st, &head);
	struct page page = {0};

	if (wrong != NULL) {
		reject(search, path, wrong);
		return;
	}
	page.live = !page_dir_is_dead(name) && page_dir_is_live(fd);
	page.pid = find_process(search, fd, head.pid, &page.live);
	if (page.pid == 0) {
		reject(search, path, "is of no process of its owner's");
		return;
	}
	if (search->pid != 0 && page.pid != search->pid) {
		return;
	}
	page.path = xalloc_copy(path, strlen(path));
	page.device = st.st_dev;
	page.inode = st.st_ino;
	page.owner = st.st_uid;
	page.foreign = !folder->own;
	page.paused = search->paused;
	page.read_us = clock_wall_us();
	page.ended_us = page_dir_is_dead(name) ? (uint64_t)st.st_mtime * 1000000 : 0;
	page_file_read(&page, fd, &head);
	allowance_of(search, folder->owner)->bytes += bytes_of(&page);
	pages->all = xalloc_resize(pages->all, pages->count + 1, sizeof(page));
	pages->all[pages->count++] = page;
}

static void read_entry(struct search *search, int dir, const char *name)
{
	char path[PAGE_DIR_PATH_BYTES + PAGE_DIR_NAME_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", search->folder->path, name);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		read_file(search, fd, path, name);
		close(fd);
	} else if (errno != ENOENT) {
		reject(search, path, strerror(errno));
	}
}

static bool read_folder(void *with, const struct page_folder *folder)
{
	struct search *search = with;
	int fd = openat(folder->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	struct stat st;

	if (list == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return !folder->own;
	}
	search->folder = folder;
	search->complained = false;
	search->paused = fstatat(folder->dir, PAGE_DIR_PAUSED, &st, AT_SYMLINK_NOFOLLOW) == 0;
	while ((entry = readdir(list)) != NULL) {
		if (!page_dir_is_page(entry->d_name)) {
			continue;
		}
		if (!may_read_more(search)) {
			reject(search, folder->path, "has more pages than are read");
			break;
		}
		read_entry(search, dirfd(list), entry->d_name);
	}
	closedir(list);
	return true;
}

/* ---- putting them in order ---- */

/* By pid, of one the live page first, and of two the younger. */
static int compare_pages(const void *a, const void *b)
{
	const struct page *x = a;
	const struct page *y = b;

	if (x->pid != y->pid) {
		return x->pid < y->pid ? -1 : 1;
	}
	if (x->live != y->live) {
		return x->live ? -1 : 1;
	}
	return x->created_us > y->created_us ? -1 : x->created_us < y->created_us;
}

static void free_page(struct page *page)
{
	page_file_free(page);
	free(page->path);
}

/* A process has one page; what else says that it is of a live one is a forgery. */
static void leave_out_second_ones(struct pages *pages)
{
	size_t kept = 0;

	for (size_t i = 0; i < pages->count; i++) {
		struct page *page = &pages->all[i];

		if (page->live && kept > 0 && pages->all[kept - 1].live &&
		    pages->all[kept - 1].pid == page->pid) {
			free_page(page);
		} else {
			pages->all[kept++] = *page;
		}
	}
	pages->count = kept;
}

bool pages_read(struct pages *pages, pid_t pid, enum pages_whose whose,
                pages_complain *complain)
{
	struct search search = {.pages = pages, .pid = pid, .complain = complain};
	bool all = whose == PAGES_OF_ALL && page_folders_are_all_seen();
	bool done;

	memset(pages, 0, sizeof(*pages));
	if (all) {
		processes_read(&search.processes);
	}
	done = page_folders_each(all ? &search.processes : NULL, read_folder, &search);
	processes_free(&search.processes);
	free(search.allowances);
	if (!done) {
		warn("status pages");
		return false;
	}
	if (pages->count > 0) {
		qsort(pages->all, pages->count, sizeof(*pages->all), compare_pages);
		leave_out_second_ones(pages);
	}
	return true;
}

void pages_free(struct pages *pages)
{
	for (size_t i = 0; i < pages->count; i++) {
		free_page(&pages->all[i]);
	}
	free(pages->all);
	memset(pages, 0, sizeof(*pages));
}

/* ---- tidying ---- */

static bool tidy_folder(void *with, const struct page_folder *folder)
{
	(void)with;
	page_dir_tidy(folder->dir, SIZE_MAX, page_dir_holds_leases);
	return true;
}

void pages_tidy(void)
{
	page_folders_each(NULL, tidy_folder, NULL);
}
