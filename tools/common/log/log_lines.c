/* SPDX-License-Identifier: PostgreSQL */
/* Reads logs, line by line. */
#include "common/log/log_lines.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/version.h"
#include "common/xalloc.h"

#define BUFFER_BYTES ((size_t)256 * 1024)
/* Much longer than any line of a log with its prefix: what is longer is none. */
#define LINE_BYTES   ((size_t)64 * 1024)
#define LINE_BEGINS  "time="
/* How often the beginning of a line is looked for in one. */
#define BEGINNINGS   8

static void note_format(struct log_lines *lines, const struct log_line *line)
{
	const char *event = log_line_get(line, "event");
	uint64_t format;

	if (event != NULL && strcmp(event, "config") == 0 &&
	    log_line_u64(line, "format", &format) && format > lines->format) {
		lines->format = format;
	}
}

static void take_text(struct log_lines *lines, struct log_file *file, char *text)
{
	char *at = strstr(text, LINE_BEGINS);
	bool torn = at == NULL;

	file->lines++;
	for (int i = 0; at != NULL && i < BEGINNINGS; i++) {
		char *next = strstr(at + 1, LINE_BEGINS);
		char *copy = next != NULL ? xalloc_copy(at, strlen(at)) : NULL;
		struct log_line line;

		/* Taking it apart spoils it, and there may be another beginning. */
		if (log_line_parse(&line, copy != NULL ? copy : at) &&
		    lines->take(lines->arg, file->family, &line)) {
			note_format(lines, &line);
			next = NULL;
		} else {
			torn = true;
		}
		free(copy);
		at = next;
	}
	file->unread += torn;
}

/* Bytes read and not yet taken: [begin, end) of the buffer. */
struct window {
	char *buffer;
	size_t begin;
	size_t end;
	bool inside_long; /* what comes next belongs to a line that is too long */
};

static void take_lines(struct log_lines *lines, struct log_file *file, struct window *window)
{
	for (;;) {
		char *line = window->buffer + window->begin;
		char *newline = memchr(line, '\n', window->end - window->begin);
		size_t n = newline != NULL ? (size_t)(newline - line) : 0;

		if (newline == NULL) {
			return;
		}
		window->begin += n + 1;
		if (window->inside_long || n > LINE_BYTES || memchr(line, '\0', n) != NULL) {
			window->inside_long = false;
			file->lines++;
			file->unread++;
			continue;
		}
		*newline = '\0';
		take_text(lines, file, line);
	}
}

/* What is left is the beginning of a line: it goes to the front, or away if too long. */
static void move_rest(struct window *window)
{
	size_t rest = window->end - window->begin;

	if (window->inside_long || rest > LINE_BYTES) {
		window->inside_long = true;
		rest = 0;
	}
	memmove(window->buffer, window->buffer + window->begin, rest);
	window->begin = 0;
	window->end = rest;
}

static bool read_file(struct log_lines *lines, struct log_file *file, char *buffer)
{
	struct window window = {.buffer = buffer};

	for (;;) {
		ssize_t n = read(file->fd, buffer + window.end, BUFFER_BYTES - window.end);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			warn("%s", file->name);
			return false;
		}
		if (n == 0) {
			break;
		}
		window.end += (size_t)n;
		take_lines(lines, file, &window);
		move_rest(&window);
	}
	if (window.end > 0 || window.inside_long) {
		file->lines++;
		file->unread++; /* without its newline: cut off by a death */
	}
	return true;
}

bool log_lines_read_open(struct log_lines *lines, const struct log_files *files)
{
	char *buffer = xalloc_new(BUFFER_BYTES, 1);
	bool good = true;

	for (size_t i = 0; i < files->count && good; i++) {
		good = read_file(lines, &files->all[i], buffer);
	}
	free(buffer);
	return good;
}

/* What makes the logs less than the whole truth. */
static void tell_gaps(const struct log_lines *lines, const struct log_files *files)
{
	uint64_t all = 0;
	uint64_t unread = 0;

	for (size_t i = 0; i < files->count; i++) {
		all += files->all[i].lines;
		unread += files->all[i].unread;
	}
	if (unread > 0) {
		warnx("%" PRIu64 " of %" PRIu64 " lines skipped: torn, or not of a log", unread,
		      all);
	}
	if (lines->format > LOG_VERSION) {
		warnx("log format %" PRIu64 " is newer than this pqpool, which knows %d",
		      lines->format, LOG_VERSION);
	}
}

/* Whether root reads what another user wrote. Says so. */
static bool is_foreign(const struct log_files *files)
{
	const struct log_file *foreign = log_files_foreign(files);

	if (foreign != NULL) {
		warnx("%s is another user's: what it names is not opened for names and lines",
		      foreign->name);
	}
	return foreign != NULL;
}

bool log_lines_read(struct log_lines *lines, struct log_files *files, char *const *names,
                    size_t count)
{
	bool done = log_files_open(files, names, count);

	lines->foreign = done && is_foreign(files);
	done = done && log_lines_read_open(lines, files);
	log_files_close(files);
	if (done) {
		tell_gaps(lines, files);
	}
	return done;
}
