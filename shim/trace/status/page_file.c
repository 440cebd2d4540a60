/* SPDX-License-Identifier: PostgreSQL */
/* The file behind the status page. */
#include "trace/status/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
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
	char folder[PAGE_DIR_PATH_BYTES];
	char path[PAGE_DIR_PATH_BYTES + PAGE_DIR_NAME_BYTES]; /* "": no file */
} page = {.fd = -1};

static uint64_t random_number(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) {
		number = (clock_monotonic_ns() << 20) ^ (uint64_t)pid_self();
	}
	return number;
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
static bool make_file(int dir)
{
	struct stat st;
	int fd;

	name_file(random_number(), PAGE_DIR_NEW);
	fd = openat(dir, file_name(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		page.path[0] = '\0';
		return false;
	}
	page.fd = fd_move_up(fd);
	if (page.fd < 0 || fchmod(page.fd, 0600) != 0 || !page_dir_lock(page.fd)) {
		return false;
	}
	fd_identify(page.fd, &page.id, &st);
	return page.id.known;
}

static bool make_in(enum page_dir_place place)
{
	int dir = page_dir_open(place, true, page.folder);
	bool made = dir >= 0 && make_file(dir);
	int saved_errno = errno;

	if (dir >= 0) {
		close(dir);
	}
	if (!made) {
		page_file_undo();
	}
	errno = saved_errno;
	return made;
}

char *page_file_make(int *why)
{
	void *base;
	int place = 0;

	while (place < PAGE_DIR_MAKERS && !make_in((enum page_dir_place)place)) {
		place++;
	}
	if (place == PAGE_DIR_MAKERS) {
		*why = errno;
		return NULL;
	}
	base = mmap(NULL, STATUS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0);
	if (base == MAP_FAILED) {
		*why = errno;
		page_file_undo();
		return NULL;
	}
	page.base = base;
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

/* A file above the limit on file sizes would end the program by SIGXFSZ. */
static bool is_within_limit(size_t end)
{
	struct rlimit limit;

	errno = EFBIG;
	return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	       (limit.rlim_cur == RLIM_INFINITY || end <= limit.rlim_cur);
}

bool page_file_grow(size_t offset, size_t bytes)
{
	int error = EINTR;

	if (!is_open() || !is_within_limit(offset + bytes)) {
		return false;
	}
	for (int i = 0; i < GROW_TRIES && error == EINTR; i++) {
		error = posix_fallocate(page.fd, (off_t)offset, (off_t)bytes);
	}
	errno = error;
	return error == 0;
}

bool page_file_write(size_t offset, const void *bytes, size_t n)
{
	return is_open() && is_within_limit(offset + n) &&
	       pwrite(page.fd, bytes, n, (off_t)offset) == (ssize_t)n;
}

bool page_file_show(void)
{
	char made[sizeof(page.path)];
	int dir;

	memcpy(made, page.path, sizeof(made));
	memcpy(page.path + strlen(page.path) - strlen(PAGE_DIR_NEW), PAGE_DIR_PAGE,
	       sizeof(PAGE_DIR_PAGE));
	if (rename(made, page.path) != 0) {
		memcpy(page.path, made, sizeof(made));
		return false;
	}
	dir = open(page.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0) {
		page_dir_tidy(dir, TIDY_MAX, page_dir_holds_leases);
		close(dir);
	}
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
