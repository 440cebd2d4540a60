/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's log. */
#include "keep/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config/version.h"
#include "trace/log/log_name.h"
#include "trace/log/rotate.h"

#define LINE_BYTES  4096
#define NAME_BYTES  4096
#define PROGRAM     "pqpool-keep"
/* For a reader of stderr that is slow. */
#define PATIENCE_NS (10 * NS_PER_MS)

static const char *const level_names[] = {[LEVEL_ERROR] = "error",
                                          [LEVEL_WARNING] = "warning",
                                          [LEVEL_INFO] = "info",
                                          [LEVEL_DEBUG] = "debug"};
static const int priorities[] = {[LEVEL_ERROR] = LOG_ERR,
                                 [LEVEL_WARNING] = LOG_WARNING,
                                 [LEVEL_INFO] = LOG_INFO,
                                 [LEVEL_DEBUG] = LOG_DEBUG};

static enum { TO_STDERR, TO_SYSLOG, TO_FILE } target;
static enum config_level threshold;
static enum config_level present;
static char text[LINE_BYTES];
static struct strbuf line;

void log_begin(const struct config *config)
{
	struct strbuf *t;

	threshold = config->log_level;
	if (strcmp(config->log, "syslog") == 0) {
		openlog(PROGRAM, LOG_PID, LOG_DAEMON);
		target = TO_SYSLOG;
	} else {
		target = strcmp(config->log, "stderr") != 0 &&
		                         log_name_set(config->log, PROGRAM) == 0
		                 ? TO_FILE
		                 : TO_STDERR;
	}
	rotate_configure(config->log_max_bytes, config->log_keep);
	t = log_line(LEVEL_INFO, "config");
	if (t != NULL) {
		log_u64(t, "format", LOG_VERSION);
		pair_str(t, "version", PQPOOL_VERSION);
		strbuf_char(t, ' ');
		config_describe(config, t);
		log_end();
	}
}

static void put_time(struct strbuf *t)
{
	uint64_t wall_us = clock_wall_us();
	time_t seconds = (time_t)(wall_us / 1000000);
	char at[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(at, sizeof(at), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900,
	         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	         (unsigned)(wall_us % 1000000));
	pair_str(t, "time", at);
}

struct strbuf *log_line(enum config_level level, const char *event)
{
	if (level > threshold) {
		return NULL;
	}
	present = level;
	strbuf_init(&line, text, sizeof(text) - 1); /* one byte for the newline */
	put_time(&line);
	pair_str(&line, "level", level_names[level]);
	log_u64(&line, "pid", (uint64_t)getpid());
	log_u64(&line, "tid", (uint64_t)getpid());
	pair_str(&line, "program", PROGRAM);
	pair_str(&line, "event", event);
	return &line;
}

void log_u64(struct strbuf *t, const char *key, uint64_t value)
{
	size_t start = t->len;

	if (pair_start(t, key)) {
		strbuf_u64(t, value);
		pair_end(t, start);
	}
}

/* The file; -1: it cannot be opened. */
static int open_file(const char *name)
{
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
	            0600);
}

static int open_log(void)
{
	char buf[NAME_BYTES];
	struct strbuf name;
	struct stat st;
	int fd;

	strbuf_init(&name, buf, sizeof(buf));
	if (!log_name_put(&name)) {
		return -1;
	}
	fd = open_file(buf);
	if (fd >= 0 && fstat(fd, &st) == 0 && rotate_is_due(&st, true) &&
	    rotate_file(buf, &st) == 0) {
		close(fd);
		fd = open_file(buf);
	}
	return fd;
}

/* A full disk, or a pipe that nobody reads: the line is lost, and the keeper goes on. */
void log_end(void)
{
	int fd;

	if (target == TO_SYSLOG) {
		syslog(priorities[present], "%s", text);
		return;
	}
	text[line.len++] = '\n';
	text[line.len] = '\0';
	fd = target == TO_FILE ? open_log() : STDERR_FILENO;
	if (fd >= 0) {
		strbuf_print(&line, fd, PATIENCE_NS);
	}
	if (fd > STDERR_FILENO) {
		close(fd);
	}
}
