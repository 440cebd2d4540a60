/* SPDX-License-Identifier: PostgreSQL */
/* The file behind the status page. */
#include "trace/status/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text/strbuf.h"
#include "base/thread/pid.h"
#include "trace/status/status_format.h"

/* How many files of other processes it looks at. */
#define TIDY_MAX   64
/* A signal may interrupt the allocation of blocks. */
#define GROW_TRIES 8

static struct {
	char *base; /* NULL: none */
	int fd;     /* for page_file_grow; -1, or lost to the program */
	struct fd_id id;
	int dir;          /* while it is being made: the folder's handle; else -1 */
	struct stat seen; /* the folder before that */
	char folder[PAGE_DIR_PATH_BYTES];
	char path[PAGE_DIR_PATH_BYTES + PAGE_DIR_NAME_BYTES]; /* "": no file */
} page = {.fd = -1, .dir = -1};

/* That no other process has: two of the same moment differ by their pid, of 22 bits at most. */
static uint64_t own_number(void)
{
	return (clock_monotonic_ns() << 22) ^ (uint64_t)pid_self();
}

/* The path of a file in the page's folder, in page.path. */
static void name_file(uint64_t number, const char *end)
{
	struct strbuf t;

	strbuf_init(&t, page.path, sizeof(page.path));
	strbuf_str(&t, page.folder);
	strbuf_char(&t, '/');
	strbuf_hex(&t, number);
	strbuf_str(&t, end);
}

static const char *file_name(void)
{
	return page.path + strlen(page.folder) + 1;
}

/* Makes an empty file, of mode 0600 whatever the umask, and locks it. */
static bool make_file(void)
{
	struct stat st;
	int fd;

	name_file(own_number(), PAGE_DIR_NEW);
	fd = openat(page.dir, file_name(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	            0600);
	if (fd < 0) {
		page.path[0] = '\0';
		return false;
	}
	page.fd = fd_move_up(fd);
	if (page.fd < 0 || !page_dir_lock(page.fd)) {
		return false;
	}
	fd_identify(page.fd, &page.id, &st);
	return page.id.known && ((st.st_mode & 0777) == 0600 || fchmod(page.fd, 0600) == 0);
}

static bool make_in(enum page_dir_place place)
{
	page.dir = page_dir_find(place, true, page.folder, &page.seen);
	if (page.dir < 0) {
		return false;
	}
	if (!make_file()) {
		page_file_undo();
		return false;
	}
	return true;
}

/* A file above the limit on file sizes would end the program by SIGXFSZ. */
static bool is_within_limit(size_t end)
{
	struct rlimit limit;

	errno = EFBIG;
	return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	       (limit.rlim_cur == RLIM_INFINITY || end <= limit.rlim_cur);
}

static bool allocate(size_t offset, size_t bytes)
{
	int error = EINTR;

	for (int i = 0; i < GROW_TRIES && error == EINTR; i++) {
		error = posix_fallocate(page.fd, (off_t)offset, (off_t)bytes);
	}
	errno = error;
	return error == 0;
}

static bool allocate_first(const struct page_blocks *blocks, size_t n)
{
	/* The last ones reach farthest. */
	bool done = is_within_limit(blocks[n - 1].offset + blocks[n - 1].bytes);

	for (size_t i = 0; i < n && done; i++) {
		done = allocate(blocks[i].offset, blocks[i].bytes);
	}
	return done;
}

static bool map(void)
{
	void *base = mmap(NULL, STATUS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0);

	page.base = base != MAP_FAILED ? base : NULL;
	return page.base != NULL;
}

char *page_file_make(const struct page_blocks *blocks, size_t n, int *why)
{
	int place = 0;

	while (place < PAGE_DIR_MAKERS && !make_in((enum page_dir_place)place)) {
		place++;
	}
	if (place == PAGE_DIR_MAKERS) {
		*why = errno;
		return NULL;
	}
	if (!allocate_first(blocks, n) || !map()) {
		*why = errno;
		page_file_undo();
	}
	return page.base;
}

/* Opens the file again if the program has closed it. A number it has reused is left alone. */
static bool is_open(void)
{
	struct stat st;
	int fd;

	if (fd_is(page.fd, &page.id, &st)) {
		return true;
	}
	page.fd = -1;
	fd = open(page.path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && !fd_is(fd, &page.id, &st)) {
		close(fd);
		fd = -1;
	}
	page.fd = fd >= 0 ? fd_move_up(fd) : -1;
	return page.fd >= 0;
}

bool page_file_grow(size_t offset, size_t bytes)
{
	return is_open() && is_within_limit(offset + bytes) && allocate(offset, bytes);
}

bool page_file_write(size_t offset, const void *bytes, size_t n)
{
	return is_open() && is_within_limit(offset + n) &&
	       pwrite(page.fd, bytes, n, (off_t)offset) == (ssize_t)n;
}

static void tidy(void)
{
	int dir = page_dir_was_tidied(&page.seen, TIDY_MAX) ? -1 : page_dir_read(page.dir);

	if (dir >= 0) {
		page_dir_tidy(dir, TIDY_MAX, page_dir_holds_leases);
		close(dir);
	}
}

static void close_folder(void)
{
	if (page.dir >= 0) {
		close(page.dir);
	}
	page.dir = -1;
}

bool page_file_show(bool *paused)
{
	char made[PAGE_DIR_NAME_BYTES];
	struct stat st;
	size_t stem = strlen(file_name()) - strlen(PAGE_DIR_NEW);
	char *end = page.path + strlen(page.folder) + 1 + stem;

	memcpy(made, file_name(), stem + sizeof(PAGE_DIR_NEW));
	memcpy(end, PAGE_DIR_PAGE, sizeof(PAGE_DIR_PAGE));
	if (renameat(page.dir, made, page.dir, file_name()) != 0) {
		memcpy(end, PAGE_DIR_NEW, sizeof(PAGE_DIR_NEW));
		return false;
	}
	tidy();
	*paused = fstatat(page.dir, PAGE_DIR_PAUSED, &st, AT_SYMLINK_NOFOLLOW) == 0;
	close_folder();
	return true;
}

bool page_file_is_paused(void)
{
	char path[sizeof(page.path)];
	struct strbuf t;
	struct stat st;

	strbuf_init(&t, path, sizeof(path));
	strbuf_str(&t, page.folder);
	strbuf_str(&t, "/" PAGE_DIR_PAUSED);
	return page.base != NULL && lstat(path, &st) == 0;
}

static void close_own(void)
{
	struct stat st;

	if (fd_is(page.fd, &page.id, &st)) {
		close(page.fd);
	}
	page.fd = -1;
	page.id.known = false;
}

void page_file_undo(void)
{
	int saved_errno = errno;

	close_folder();
	page_file_unlink();
	if (page.fd >= 0 && !page.id.known) {
		close(page.fd);
	}
	page_file_leave();
	errno = saved_errno;
}

void page_file_unlink(void)
{
	if (page.path[0] != '\0') {
		unlink(page.path);
	}
}

void page_file_leave(void)
{
	if (page.base != NULL) {
		munmap(page.base, STATUS_BYTES);
		page.base = NULL;
	}
	close_own();
	page.path[0] = '\0';
}
