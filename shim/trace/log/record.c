/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log: lines of logfmt, each handed to the sink whole.
 *
 * What all lines of a level have in common is made once for each process, and most pairs are
 * written in place (record.h): here are the rarer pairs, and those that have to be cut.
 *
 * A line is built in scratch, of which the last SINK_TAIL bytes are for what the sink adds.
 *
 * Locks: none of its own. Everything static is constant after record_open, but for the pid,
 * which a forked child corrects while it has one thread.
 */
#include "trace/log/record.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scratch.h"
#include "base/text/decimal.h"
#include "base/text/logfmt.h"
#include "base/thread/pid.h"
#include "trace/log/log_file.h"
#include "trace/log/pairs.h"
#include "trace/log/sink.h"
#include "trace/log/stack_pairs.h"
#include "trace/stack/stack.h"

#define US_PER_SEC  1000000U
#define SEC_PER_DAY 86400U

static const char level_names[][8] = {
	[LEVEL_OFF] = "off",   [LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning",
	[LEVEL_INFO] = "info", [LEVEL_DEBUG] = "debug",
};

_Atomic(enum config_level) record_threshold = LEVEL_OFF;

static const char *log_name; /* as it was given */

/* " level=info pid=71 tid=", for each level; always copied as a whole. */
static struct opening {
	size_t len;
	char text[48];
} openings[LEVEL_DEBUG + 1];

/* " program=app event=", each byte of the name up to four long if quoted. */
static struct {
	size_t len;
	char name[NAME_MAX + 1];
	char text[4 * NAME_MAX + 32];
} program;

/* Puts the date so many days after 1970-01-01, in years that begin in March: leap days come
 * last. */
static char *put_date(char *at, uint32_t days)
{
	uint32_t since_0000_03_01 = days + 719468;
	uint32_t era = since_0000_03_01 / 146097;
	uint32_t day_of_era = since_0000_03_01 % 146097;
	uint32_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) /
		365;
	uint32_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t month_from_march = (5 * day_of_year + 2) / 153;
	uint32_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	uint32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	uint32_t year = era * 400 + year_of_era + (month <= 2);

	at = decimal_pair(at, year / 100 % 100);
	at = decimal_pair(at, year % 100);
	*at++ = '-';
	at = decimal_pair(at, month);
	*at++ = '-';
	return decimal_pair(at, day);
}

/* 2024-05-01T09:30:00.123456Z. Not by gmtime(3), which may take the lock of the time zone. */
static char *put_time(char *at, uint64_t wall_us)
{
	uint64_t wall_s = wall_us / US_PER_SEC;
	unsigned us = (unsigned)(wall_us % US_PER_SEC);
	unsigned second = (unsigned)(wall_s % SEC_PER_DAY);

	at = put_date(at, (uint32_t)(wall_s / SEC_PER_DAY));
	*at++ = 'T';
	at = decimal_pair(at, second / 3600);
	*at++ = ':';
	at = decimal_pair(at, second / 60 % 60);
	*at++ = ':';
	at = decimal_pair(at, second % 60);
	*at++ = '.';
	at = decimal_pair(at, us / 10000);
	at = decimal_pair(at, us / 100 % 100);
	at = decimal_pair(at, us % 100);
	*at++ = 'Z';
	return at;
}

void record_str(struct record *r, const char *key, const char *value)
{
	pair_str(&r->line, key, value);
}

void record_number(struct record *r, const char *key, uint64_t value, bool negative)
{
	size_t start = r->line.len;

	if (pair_start(&r->line, key)) {
		strbuf_str(&r->line, negative ? "-" : NULL);
		strbuf_u64(&r->line, value);
		pair_end(&r->line, start);
	}
}

/* The length of the first pair in `s`: up to a space outside quotes. */
static size_t pair_length(const char *s)
{
	bool quoted = false;
	size_t n;

	for (n = 0; s[n] != '\0' && (quoted || s[n] != ' '); n++) {
		if (s[n] == '"') {
			quoted = !quoted;
		} else if (quoted && s[n] == '\\' && s[n + 1] != '\0') {
			n++;
		}
	}
	return n;
}

void record_pairs(struct record *r, const char *pairs)
{
	struct strbuf *t = &r->line;

	while (*pairs != '\0' && !t->cut) {
		size_t start = t->len;
		size_t n = pair_length(pairs);

		if (n > 0) {
			strbuf_char(t, ' ');
			strbuf_bytes(t, pairs, n);
			pair_end(t, start);
		}
		for (size_t i = start; i < t->len; i++) {
			/* Whatever they hold, the line stays one. */
			if ((unsigned char)t->buf[i] < ' ') {
				t->buf[i] = ' ';
			}
		}
		pairs += n + (pairs[n] == ' ');
	}
}

bool record_start(struct record *r, enum config_level level, const char *event, size_t n)
{
	const struct opening *opening = &openings[level];
	char *at;

	r->buf = scratch_take();
	if (r->buf == NULL) {
		sink_count_lost();
		return false;
	}
	at = r->buf;
	strbuf_init(&r->line, at, RECORD_MAX - SINK_TAIL);
	r->level = level;
	memcpy(at, "time=", 5);
	at = put_time(at + 5, clock_wall_us());
	memcpy(at, opening->text, sizeof(opening->text));
	at = decimal_put(at + opening->len, (uint64_t)tid_self());
	memcpy(at, program.text, program.len);
	strbuf_until(&r->line, at + program.len);
	strbuf_bytes(&r->line, event, n);
	return true;
}

/* On its own, so that the record being built elsewhere is not touched. */
static void write_stack(enum config_level level, const struct stack *stack)
{
	struct record r;

	if (record_begin(&r, level, "stack")) {
		record_u64(&r, "stack", stack->id);
		stack_pairs_put(&r.line, stack);
		record_end(&r);
	}
}

/* "finish_stack" goes with "finish_script". */
static void put_script(struct record *r, const char *key, const char *script)
{
	char buf[64];
	struct strbuf name;
	size_t n = strlen(key);
	size_t end = strlen("stack");

	strbuf_init(&name, buf, sizeof(buf));
	strbuf_bytes(&name, key, n > end ? n - end : 0);
	strbuf_str(&name, "script");
	record_str(r, buf, script);
}

void record_stack(struct record *r, const char *key, uint32_t stack)
{
	const struct stack *known = stack_get(stack);

	if (known == NULL) {
		return;
	}
	if (stack_claim_for_log(stack, sink_part())) {
		write_stack(r->level, known);
	}
	record_u64(r, key, stack);
	if (known->script != NULL) {
		put_script(r, key, known->script);
	}
}

static void put(struct record *r)
{
	r->line.size += SINK_TAIL;
	r->line.cut = false;
	sink_put(&r->line, r->level);
	scratch_give(r->buf);
}

_Static_assert(RECORD_MAX <= SCRATCH_BYTES, "a line fits into the room it is made in");

static void log_trouble(int error)
{
	struct record r;

	if (record_begin(&r, LEVEL_WARNING, "rotate_failed")) {
		record_str(&r, "error", strerrordesc_np(error));
		put(&r);
	}
}

void record_end(struct record *r)
{
	int error;

	put(r);
	error = log_file_take_trouble();
	if (error != 0) {
		log_trouble(error);
	}
}

void record_to_stderr(const struct strbuf *t)
{
	sink_put_on_stderr(t);
}

bool record_is_stderr(void)
{
	return record_wants(LEVEL_ERROR) && sink_is_stderr();
}

static void complain(int error)
{
	char *buf = scratch_take();
	struct strbuf t;

	if (buf == NULL) {
		return;
	}
	strbuf_init(&t, buf, PATH_MAX + 256);
	strbuf_str(&t, "pqpool: cannot open the log \"");
	logfmt_bytes(&t, log_name, strlen(log_name));
	strbuf_str(&t, "\": ");
	strbuf_str(&t, error == ELOOP   ? "it is a symbolic link"
	               : error == EPERM ? "it is not this user's own"
	                                : strerrordesc_np(error));
	strbuf_str(&t, "; warnings go to stderr instead");
	t.size++;
	strbuf_char(&t, '\n');
	sink_put_on_stderr(&t);
	scratch_give(buf);
}

static void make_openings(void)
{
	for (enum config_level level = LEVEL_OFF; level <= LEVEL_DEBUG; level++) {
		struct opening *opening = &openings[level];
		struct strbuf t;

		strbuf_init(&t, opening->text, sizeof(opening->text));
		strbuf_str(&t, " level=");
		strbuf_str(&t, level_names[level]);
		strbuf_str(&t, " pid=");
		strbuf_u64(&t, (uint64_t)pid_self());
		strbuf_str(&t, " tid=");
		opening->len = t.len;
	}
}

static void set_program(const char *name)
{
	struct strbuf t;

	strbuf_init(&t, program.name, sizeof(program.name));
	strbuf_str(&t, name);
	strbuf_init(&t, program.text, sizeof(program.text));
	strbuf_str(&t, " program=");
	logfmt_value(&t, program.name);
	strbuf_str(&t, " event=");
	program.len = t.len;
}

void record_configure(const char *log, enum config_level level, const char *name)
{
	set_program(name);
	make_openings();
	sink_configure(level == LEVEL_OFF ? "stderr" : log, program.name);
	log_name = log;
	atomic_store(&record_threshold, level);
}

void record_open(void)
{
	int error = sink_open();

	if (error != 0) {
		complain(error);
		if (record_wants(LEVEL_INFO)) {
			atomic_store(&record_threshold, LEVEL_WARNING);
		}
	}
}

void record_fork_prepare(void)
{
	sink_fork_prepare();
}

void record_fork_parent(void)
{
	sink_fork_parent();
}

void record_fork_child(void)
{
	pid_renew();
	make_openings();
	sink_fork_child();
}
