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
 * record_begin costs a comparison when the level is not wanted. Events and keys are
 * words; values are quoted where they need it (space, quote, '=', control characters,
 * empty), with \" \\ \n \t and \xNN inside the quotes. A line too long for RECORD_MAX
 * ends with the last pair that fits, or within a string, whose quote is closed.
 *
 * Two lines are written for each lease, so the commonest pairs are put in place where they
 * are called for, with keys whose length the compiler knows.
 *
 * The descriptor of a log file is ours alone: high, close-on-exec, and compared by
 * device and inode before each write, because programs close descriptors they do
 * not know and get the same number for a file of their own. If it is lost, the file is
 * opened again; what could not be written is counted and told in the next line
 * that could (lost=N). How a file is rotated, and what a reader has to know of that, is
 * said in trace/log/rotate.h; where it cannot be, one line says why (event=rotate_failed).
 *
 * Locks: LOCK_RECORD around the descriptor only; record_end is called with no lock held, for a
 * file system may keep it. Then the lines of others are lost, and counted (sink.h). No stdio;
 * errno is kept.
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

struct stack;

struct record {
	struct strbuf line;
	enum config_level level;
	char *buf; /* RECORD_MAX of them: scratch, until record_end */
};

/*
 * The log is to be as `log` says: "stderr", "syslog", or a file name in which %p, %n,
 * %h and %% stand for pid, program, host and a percent sign. Called once, before any other
 * function here; does not block.
 */
void record_configure(const char *log, enum config_level level, const char *program);

/*
 * Opens it. A file that cannot be opened is complained of in one line on stderr, which then
 * takes its place at LEVEL_WARNING. Called once; lines of other threads that come earlier open
 * it, too.
 */
void record_open(void);

/*
 * Adds what the line event=stack says of a stack, but for its number: pairs, as many as
 * fit.
 */
void record_describe_stack(struct strbuf *t, const struct stack *stack);

/* For record_wants. */
extern _Atomic(enum config_level) record_threshold;

/* True if lines of this level are written anywhere. */
static inline bool record_wants(enum config_level level)
{
	return level != LEVEL_OFF &&
	       level <= atomic_load_explicit(&record_threshold, memory_order_relaxed);
}

/*
 * For record_begin: starts a line about an event whose name is `n` bytes long. False: there is
 * no memory for it, and it is counted as lost.
 */
bool record_start(struct record *r, enum config_level level, const char *event, size_t n);

/* Starts a line, to be ended; false (and nothing to end) if the level is not wanted. */
static inline bool record_begin(struct record *r, enum config_level level, const char *event)
{
	return record_wants(level) && record_start(r, level, event, strlen(event));
}

/* For those below: " key=", for which there is room; the key is `n` bytes long. */
static inline char *record_key(char *at, const char *key, size_t n)
{
	*at = ' ';
	memcpy(at + 1, key, n);
	at[1 + n] = '=';
	return at + n + 2;
}

void record_str(struct record *r, const char *key, const char *value);

/* A value of which the caller knows that it needs no quotes. */
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

/* For record_u64, where the line is nearly full. */
void record_tight_u64(struct record *r, const char *key, uint64_t value);

static inline void record_u64(struct record *r, const char *key, uint64_t value)
{
	size_t n = strlen(key);
	char *at = strbuf_room(&r->line, n + 2 + DECIMAL_MAX);

	if (at == NULL) {
		record_tight_u64(r, key, value);
		return;
	}
	strbuf_until(&r->line, decimal_put(record_key(at, key, n), value));
}

/* For record_i64. */
void record_negative(struct record *r, const char *key, int64_t value);

static inline void record_i64(struct record *r, const char *key, int64_t value)
{
	if (value < 0) {
		record_negative(r, key, value);
	} else {
		record_u64(r, key, (uint64_t)value);
	}
}

/* A span given in nanoseconds, written as whole microseconds: key it "…_us". */
static inline void record_us(struct record *r, const char *key, uint64_t ns)
{
	record_u64(r, key, ns / NS_PER_US);
}

/*
 * key=ID of an interned stack; nothing for 0. `key` is "stack" or ends in it. Where a
 * script made the call its place follows: script="/srv/app.py:12", or whatever the key
 * begins with before "script". The first time that a process writes it to a file the
 * stack's own line goes before:
 *
 *   ... event=stack stack=7 frames="/bin/app+0x11f3(main) /lib/x.so+0x20"
 *   build_ids="/bin/app=ab12"
 *
 * with script_frames="/srv/app.py:12(load) /srv/app.py:40" if there is a script.
 * Whole frames only, as many as fit; "?" for a frame in no module; a space within a
 * path is \x20, before quoting. build_ids names every module that has one, once.
 */
void record_stack(struct record *r, const char *key, uint32_t stack);
/* Ready-made logfmt pairs. */
void record_pairs(struct record *r, const char *pairs);

void record_end(struct record *r);

/*
 * Writes ready lines (the leak report) to stderr, if descriptor 2 is still the
 * file it was at record_open: a program may have put something of its own there.
 */
void record_to_stderr(const struct strbuf *t);

/*
 * True if the log itself goes to stderr, so that who has told something there in
 * prose (the leak report) need not repeat it as lines of the log.
 */
bool record_is_stderr(void);

void record_fork_prepare(void);
void record_fork_parent(void);
void record_fork_child(void);

#endif
