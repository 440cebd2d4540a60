/* SPDX-License-Identifier: PostgreSQL */
/* Appends whole lines to a regular file to which other processes append, too. */
#include "trace/log/append.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace/log/record.h"

/* A full disk cuts a line where a block ends, a kill where a page does: multiples of this. */
#define BLOCK 1024

static struct {
	char bytes[RECORD_MAX];
	size_t from;
	size_t to;
	off_t at; /* where in the file it goes on */
	uint64_t lines;
} rest;
static uint64_t given_up;

/*
 * The limit on file sizes, asked for anew before each write: the program, or anybody, may
 * have changed it since. The C library would ask by prlimit64, which looks for the process
 * first and takes half as long again.
 */
static rlim_t size_limit(void)
{
	struct rlimit limit;

#if defined(SYS_getrlimit) && defined(__LP64__)
	if (syscall(SYS_getrlimit, RLIMIT_FSIZE, &limit) == 0) {
		return limit.rlim_cur;
	}
#endif
	return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

bool append_has_room(const struct stat *st, size_t n)
{
	rlim_t limit = size_limit();

	return limit == RLIM_INFINITY ||
	       ((uint64_t)st->st_size <= limit && n <= limit - (uint64_t)st->st_size);
}

/* Bytes written. Once only: somebody may append between the two halves of a line. */
static size_t write_once(int fd, const char *bytes, size_t n)
{
	ssize_t done;

	do {
		done = write(fd, bytes, n);
	} while (done < 0 && errno == EINTR);
	return done > 0 ? (size_t)done : 0;
}

/*
 * The same file on a descriptor to read and lock it with; -1 if that is not allowed. Not by
 * its name, which may lead elsewhere by now.
 */
static int open_again(int fd)
{
	char buf[64];
	struct strbuf name;

	strbuf_init(&name, buf, sizeof(buf));
	strbuf_str(&name, "/proc/thread-self/fd/");
	strbuf_i64(&name, fd);
	return open(buf, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/*
 * The file's state after the write that may be going on: one of several pages shows a size
 * for each on its way, and one of no bytes has to wait for its end.
 */
static bool settle(int fd, struct stat *st)
{
	write_once(fd, "", 0);
	return fstat(fd, st) == 0;
}

void append_give_up(void)
{
	if (rest.from < rest.to) {
		given_up += rest.lines;
		rest.from = rest.to;
	}
}

uint64_t append_take_given_up(void)
{
	uint64_t lines = given_up;

	given_up = 0;
	return lines;
}

static void write_rest(int fd, struct stat *st)
{
	size_t done;

	if (!settle(fd, st) || st->st_size != rest.at) {
		append_give_up();
		return;
	}
	if (!append_has_room(st, rest.to - rest.from)) {
		return;
	}
	done = write_once(fd, rest.bytes + rest.from, rest.to - rest.from);
	rest.from += done;
	rest.at += (off_t)done;
	st->st_size = rest.at;
}

bool append_rest(int fd, struct stat *st)
{
	int again;

	if (rest.from == rest.to) {
		return true;
	}
	again = open_again(fd);
	if (again < 0) {
		append_give_up();
	} else {
		if (flock(again, LOCK_EX | LOCK_NB) == 0) {
			write_rest(fd, st);
			flock(again, LOCK_UN);
		}
		close(again);
	}
	return rest.from == rest.to;
}

static bool write_line(int fd, struct stat *st, const struct strbuf *line, uint64_t lines)
{
	size_t done = write_once(fd, line->buf, line->len);

	if (done > 0 && done < line->len) {
		rest.from = 0;
		rest.to = line->len - done;
		memcpy(rest.bytes, line->buf + done, rest.to);
		rest.at = st->st_size + (off_t)done;
		rest.lines = lines;
	}
	return done > 0;
}

/* True if the file ends, now and for good, in half a line. */
static bool ends_torn(int fd, int again, struct stat *st)
{
	off_t size = st->st_size;
	char last;

	return pread(again, &last, 1, size - 1) == 1 && last != '\n' && settle(fd, st) &&
	       st->st_size == size;
}

/* Where the file ends in half a line; `again` is the same file to be locked by. */
static bool write_behind_torn(int fd, int again, struct stat *st, const struct strbuf *line,
                              uint64_t lines)
{
	struct strbuf out = *line;
	bool written;

	if (flock(again, LOCK_EX | LOCK_NB) != 0) {
		return false;
	}
	if (ends_torn(fd, again, st)) {
		out.buf -= APPEND_HEAD;
		out.len += APPEND_HEAD;
		memcpy(out.buf, APPEND_TORN, APPEND_HEAD);
	}
	written = write_line(fd, st, &out, lines);
	flock(again, LOCK_UN); /* a child forked behind our back may have a copy of it */
	return written;
}

bool append_line(int fd, struct stat *st, const struct strbuf *line, uint64_t lines)
{
	bool written;
	int again = -1;

	if (st->st_size > 0 && st->st_size % BLOCK == 0) {
		again = open_again(fd);
	}
	if (again >= 0 && ends_torn(fd, again, st)) {
		written = write_behind_torn(fd, again, st, line, lines);
	} else {
		written = write_line(fd, st, line, lines);
	}
	if (again >= 0) {
		close(again);
	}
	return written;
}
