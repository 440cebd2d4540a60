/* SPDX-License-Identifier: PostgreSQL */
/* The log file: opened, followed by its name, rotated, appended to. */
#include "trace/log/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/scratch.h"
#include "trace/log/log_name.h"
#include "trace/log/rotate.h"

/* How often the name is looked at. */
#define LOOK_NS  (100 * NS_PER_MS)
/* When to try a rotation again that another process is doing, and one that failed. */
#define BUSY_NS  (1 * NS_PER_MS)
#define RETRY_NS (1 * NS_PER_SEC)

/* Ends half a line. No whole line ends so: a word of its own has no meaning. */
static const char torn_end[] = " torn\n";
#define TORN_BYTES (sizeof(torn_end) - 1)

static struct {
	int fd; /* -1: to be opened */
	struct fd_id id;
	bool regular;
	bool torn;             /* our last line was cut */
	off_t size;            /* when it was last looked at */
	uint64_t look_at_ns;   /* when the name is to be looked at again */
	uint64_t rotate_at_ns; /* not before, if it is due */
	bool in_trouble;       /* it could not be rotated, and `trouble` was set */
} file = {.fd = -1};

static atomic_uint number = 1;
static atomic_int trouble; /* an errno that is not yet reported */

unsigned log_file_number(void)
{
	return atomic_load_explicit(&number, memory_order_relaxed);
}

int log_file_take_trouble(void)
{
	return atomic_load_explicit(&trouble, memory_order_relaxed) != 0
	               ? atomic_exchange(&trouble, 0)
	               : 0;
}

/* ---- opening ---- */

/*
 * In a folder that others may write to, a file of that name may be theirs, or a link to one of
 * ours or theirs: only a regular file or a fifo of the effective user's own will do, and what
 * only root can make (a terminal, /dev/null).
 */
static bool is_own(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return false;
	}
	errno = EPERM;
	return S_ISCHR(st.st_mode) ||
	       ((S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)) && st.st_uid == geteuid());
}

/* Not blocking: a fifo without a reader must not stop the program, neither now nor later. */
static int open_own(const char *name)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd;

	if (log_name_is_descriptor()) {
		return open(name, flags);
	}
	fd = open(name, flags | O_CREAT | O_NOFOLLOW, 0600);
	if (fd >= 0 && !is_own(fd)) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		fd = -1;
	}
	return fd;
}

static int open_named(void)
{
	char *buf = scratch_take();
	struct strbuf name;
	int fd = -1;

	if (buf == NULL) {
		errno = ENOMEM;
		return -1;
	}
	strbuf_init(&name, buf, PATH_MAX);
	errno = ENAMETOOLONG;
	if (log_name_put(&name)) {
		fd = open_own(buf);
	}
	scratch_give(buf);
	return fd >= 0 ? fd_move_up(fd) : -1;
}

/* Writes to `fd` from now on. It may be the same file on another descriptor. */
static void take(int fd)
{
	struct stat st;

	if (!fd_is(fd, &file.id, &st)) {
		fd_identify(fd, &file.id, &st);
		file.regular = file.id.known && S_ISREG(st.st_mode);
		file.torn = false;
		file.size = 0;
		atomic_fetch_add(&number, 1);
	}
	file.fd = fd;
	file.look_at_ns = clock_coarse_ns() + LOOK_NS;
	file.rotate_at_ns = 0;
}

static bool open_again(void)
{
	int fd = open_named();

	file.fd = -1;
	if (fd >= 0) {
		take(fd);
	}
	return fd >= 0;
}

bool log_file_open(void)
{
	return file.fd >= 0 || open_again();
}

/* ---- following the name ---- */

/* Opens the file that the name leads to now; true if there is one to write to, new or old. */
static bool reopen(struct stat *st)
{
	int fd = open_named();

	if (fd < 0) {
		return st->st_nlink > 0;
	}
	close(file.fd);
	take(fd);
	return fd_is(file.fd, &file.id, st);
}

static void rotate(const char *name, const struct stat *st, uint64_t now)
{
	int error = rotate_file(name, st);

	file.rotate_at_ns = now + (error == EWOULDBLOCK ? BUSY_NS : RETRY_NS);
	if (error == 0) {
		file.in_trouble = false;
	} else if (error != EWOULDBLOCK && !file.in_trouble) {
		file.in_trouble = true;
		atomic_store(&trouble, error);
	}
}

static bool look_at_name(struct stat *st, bool due, uint64_t now)
{
	char *buf = scratch_take();
	struct strbuf name;
	bool there = true;

	file.look_at_ns = now + LOOK_NS;
	if (buf == NULL) {
		return true;
	}
	strbuf_init(&name, buf, PATH_MAX);
	if (log_name_put(&name)) {
		if (due) {
			rotate(buf, st, now);
		}
		there = rotate_is_named(buf, st) || reopen(st);
	}
	scratch_give(buf);
	return there;
}

/*
 * Rotates a full file, and changes to the file that the name leads to if that is another one;
 * `st` then describes that. False if the old one was removed and there is no new one.
 */
static bool follow_name(struct stat *st, bool room)
{
	uint64_t now = clock_coarse_ns();
	bool due = rotate_is_due(st, room) && now >= file.rotate_at_ns;

	if (st->st_size < file.size) {
		atomic_fetch_add(&number, 1);
	}
	file.size = st->st_size;
	return (!due && now < file.look_at_ns && st->st_nlink > 0) ||
	       look_at_name(st, due, now);
}

/* ---- writing ---- */

/* Asked before each write: the program, or any other, may have changed the limit. */
bool log_file_has_room(const struct stat *st, size_t n)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	       ((uint64_t)st->st_size <= limit.rlim_cur &&
	        n <= limit.rlim_cur - (uint64_t)st->st_size);
}

/* Bytes written. Once only: another process may append between the two halves of a line. */
static size_t write_once(const char *bytes, size_t n)
{
	ssize_t done;

	do {
		done = write(file.fd, bytes, n);
	} while (done < 0 && errno == EINTR);
	return done > 0 ? (size_t)done : 0;
}

static bool append(const struct strbuf *line)
{
	size_t done;

	if (file.torn && write_once(torn_end, TORN_BYTES) != TORN_BYTES) {
		return false;
	}
	done = write_once(line->buf, line->len);
	file.torn = done > 0 && done < line->len;
	return done == line->len;
}

bool log_file_put(const struct strbuf *line)
{
	size_t n = line->len + TORN_BYTES;
	struct stat st;
	off_t size;
	bool room = true;

	if (!fd_is(file.fd, &file.id, &st) &&
	    !(open_again() && fd_is(file.fd, &file.id, &st))) {
		return false;
	}
	size = st.st_size;
	if (file.regular) {
		room = log_file_has_room(&st, n);
		if (!follow_name(&st, room)) {
			return false;
		}
	}
	if (!file.regular) {
		return strbuf_print(line, file.fd, 0);
	}
	if (!room || st.st_size > size) {
		room = log_file_has_room(&st, n);
	}
	return room && append(line);
}

void log_file_fork_child(bool usable)
{
	struct stat st;

	file.torn = false;
	if (!usable || log_name_has_pid()) {
		if (fd_is(file.fd, &file.id, &st)) {
			close(file.fd);
		}
		file.fd = -1;
	}
}
