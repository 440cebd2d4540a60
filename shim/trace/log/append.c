/* SPDX-License-Identifier: PostgreSQL */
/* Appends whole lines to a regular file to which other processes append, too. */
#include "trace/log/append.h"

#include <errno.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

/* Ends a half line. No whole line ends so: a word of its own stands for nothing. */
static const char torn_end[APPEND_MORE] = {' ', 't', 'o', 'r', 'n', '\n'};

static bool torn; /* the last line was cut */

/* Asked before each write: the program, or any other, may have changed the limit. */
bool append_has_room(const struct stat *st, size_t n)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	       ((uint64_t)st->st_size <= limit.rlim_cur &&
	        n <= limit.rlim_cur - (uint64_t)st->st_size);
}

/* Bytes written. Once only: another process may append between the two halves of a line. */
static size_t write_once(int fd, const char *bytes, size_t n)
{
	ssize_t done;

	do {
		done = write(fd, bytes, n);
	} while (done < 0 && errno == EINTR);
	return done > 0 ? (size_t)done : 0;
}

void append_begin(void)
{
	torn = false;
}

bool append_line(int fd, const struct strbuf *line)
{
	size_t done;

	if (torn && write_once(fd, torn_end, APPEND_MORE) != APPEND_MORE) {
		return false;
	}
	done = write_once(fd, line->buf, line->len);
	torn = done > 0 && done < line->len;
	return done == line->len;
}
