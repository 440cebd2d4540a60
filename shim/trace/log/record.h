/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log: logfmt, one event one line, one write(2) a line.
 *
 *   time=2024-05-01T09:30:00.123456Z level=info pid=71 tid=71 program=app
 *   event=acquire lease=12 session=3 backend=4711 pool="app@db:5432/shop" ...
 *
 * A line is built by its writer:
 *
 *   struct record r;
 *   if (record_begin(&r, LEVEL_INFO, "acquire")) {
 *           record_u64(&r, "lease", id);
 *           record_end(&r);
 *   }
 *
 * record_begin costs a comparison when the level is not wanted. Events and keys are words;
 * values are quoted where they need it (base/text/logfmt.h). A line too long for RECORD_MAX
 * ends with the last pair that fits, or within a string, whose quote is closed.
 *
 * Two lines are written for each lease, so the commonest pairs are inline, with keys whose
 * length the compiler knows.
 *
 * A line that cannot be written is lost, and counted in the next one that can (lost=N). How a
 * file is opened and followed says log_file.h; how it is rotated, and what a reader has to know
 * of that, rotate.h; where rotation fails, one line says why (event=rotate_failed).
 *
 * Locks: LOCK_RECORD, for the descriptor only (sink.h). record_end must be called with no lock
 * held, for a file system may block it. No stdio; errno is kept.
 */
#ifndef PQPOOL_TRACE_LOG_RECORD_H
#define PQPOOL_TRACE_LOG_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/config/config.h"
#include "base/text/decimal.h"
#include "base/text/strbuf.h"

#define RECORD_MAX 4096

struct record {
	struct strbuf line;
	enum config_level level;
	char *buf; /* RECORD_MAX of them: scratch, until record_end */
};

/*
 * `log` is "stderr", "syslog", or a file name in which %p, %n, %h and %% stand for pid,
 * program, host and a percent sign. Called once, first; does not block.
 */
void record_configure(const char *log, enum config_level level, const char *program);

/*
 * Opens the log. If the file cannot be opened, says so in one line on stderr, which then takes
 * its place at LEVEL_WARNING. Called once; earlier lines of other threads open it, too.
 */
void record_open(void);

/* For record_wants. */
extern _Atomic(enum config_level) record_threshold;

/* True if lines of this level are written anywhere. */
static inline bool record_wants(enum config_level level)
{
	return level != LEVEL_OFF &&
	       level <= atomic_load_explicit(&record_threshold, memory_order_relaxed);
}

/*
 * For record_begin: starts a line about an event whose name has `n` bytes. False: there is no
 * memory for it, and it counts as lost.
 */
bool record_start(struct record *r, enum config_level level, const char *event, size_t n);

/* Starts a line, to be ended; false (and nothing to end) if the level is not wanted. */
static inline bool record_begin(struct record *r, enum config_level level, const char *event)
{
	return record_wants(level) && record_start(r, level, event, strlen(event));
}

/* For those below: " key=", for which there is room; the key has `n` bytes. */
static inline char *record_key(char *at, const char *key, size_t n)
{
	*at = ' ';
	memcpy(at + 1, key, n);
	at[1 + n] = '=';
	return at + n + 2;
}

void record_str(struct record *r, const char *key, const char *value);

/* A value that, as the caller knows, needs no quotes. */
static inline void record_word(struct record *r, const char *key, const char *word)
{
	size_t n = strlen(key);
	size_t m = strlen(word);
	char *at = strbuf_room(&r->line, n + 2 + m);

	if (at == NULL) {
		record_str(r, key, word);
		return;
	}
	at = record_key(at, key, n);
	memcpy(at, word, m);
	strbuf_until(&r->line, at + m);
}

/* For the two below: where the line is nearly full, and for a negative number, its amount. */
void record_number(struct record *r, const char *key, uint64_t value, bool negative);

static inline void record_u64(struct record *r, const char *key, uint64_t value)
{
	size_t n = strlen(key);
	char *at = strbuf_room(&r->line, n + 2 + DECIMAL_MAX);

	if (at == NULL) {
		record_number(r, key, value, false);
		return;
	}
	strbuf_until(&r->line, decimal_put(record_key(at, key, n), value));
}

static inline void record_i64(struct record *r, const char *key, int64_t value)
{
	if (value < 0) {
		record_number(r, key, 0 - (uint64_t)value, true);
	} else {
		record_u64(r, key, (uint64_t)value);
	}
}

/* A span in nanoseconds, written in whole microseconds; the key ends in "_us". */
static inline void record_us(struct record *r, const char *key, uint64_t ns)
{
	record_u64(r, key, ns / NS_PER_US);
}

/*
 * key=ID of an interned stack; nothing for 0. `key` is "stack" or ends in it. If a script made
 * the call, its place follows: script="/srv/app.py:12" (or finish_script for finish_stack). The
 * first time that a process writes this stack to a file, the line event=stack (stack_pairs.h)
 * comes first.
 */
void record_stack(struct record *r, const char *key, uint32_t stack);

/* Ready logfmt pairs. */
void record_pairs(struct record *r, const char *pairs);

void record_end(struct record *r);

/*
 * Writes whole lines (the leak report) to stderr, if descriptor 2 is still the file it was at
 * record_configure: the program may have put a file of its own there.
 */
void record_to_stderr(const struct strbuf *t);

/* True if the log goes to stderr: it need not repeat what the leak report says there. */
bool record_is_stderr(void);

void record_fork_prepare(void);
void record_fork_parent(void);
void record_fork_child(void);

#endif
