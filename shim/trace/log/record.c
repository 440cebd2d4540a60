/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log: lines of logfmt, each handed over whole to the sink.
 *
 * What all lines of a level have in common is put together once for each process, and most
 * pairs are written in place (record.h): here is what takes longer, or has to be cut.
 *
 * A line is built in its struct record, of whose buffer the first bytes are the sink's
 * and the last SINK_TAIL are kept back for what the sink adds. What does not fit is
 * left out pair by pair; only a string is cut in the middle, and its quote is closed
 * all the same.
 *
 * Locks: none of its own. Everything static is constant after record_open, but for the pid,
 * which a forked child puts right while it has one thread.
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
#include "trace/log/sink.h"
#include "trace/log/timestamp.h"
#include "trace/stack/stack.h"

static const char level_names[][8] = {
	[LEVEL_OFF] = "off",   [LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning",
	[LEVEL_INFO] = "info", [LEVEL_DEBUG] = "debug",
};

_Atomic(enum config_level) record_threshold = LEVEL_OFF;

static const char *log_name; /* as it was given */

/* " level=info pid=71 tid=", for each level: copied as a whole, whatever it uses of it. */
static struct notices {
	size_t len;
	char text[48];
} openings[LEVEL_DEBUG + 1];

/* " program=app event=", each byte of the name up to four long in quotes. */
static struct {
	size_t len;
	char name[NAME_MAX + 1];
	char text[4 * NAME_MAX + 32];
} program;

static void undo(struct strbuf *t, size_t len)
{
	t->len = len;
	t->buf[len] = '\0';
}

/* Once something did not fit, nothing follows it: a gap would look like the truth. */
static bool pair_start(struct strbuf *t, const char *key)
{
	if (t->cut) {
		return false;
	}
	if (t->len > 0) {
		strbuf_char(t, ' ');
	}
	strbuf_str(t, key);
	strbuf_char(t, '=');
	return true;
}

/* Ends a pair that is worth nothing unless it is whole. */
static void pair_end(struct strbuf *t, size_t start)
{
	if (t->cut) {
		undo(t, start);
	}
}

/* Starts key="; from here to quote_end the room for the closing quote is kept back. */
static bool quote_start(struct strbuf *t, const char *key)
{
	size_t start = t->len;

	if (!pair_start(t, key)) {
		return false;
	}
	strbuf_char(t, '"');
	if (t->cut || t->len + 1 > t->size - 1) {
		t->cut = true;
		undo(t, start);
		return false;
	}
	t->size--;
	return true;
}

static void quote_end(struct strbuf *t)
{
	t->size++;
	t->buf[t->len++] = '"';
	t->buf[t->len] = '\0';
}

static void quote_byte(struct strbuf *t, unsigned char c)
{
	size_t start = t->len;

	logfmt_byte(t, c);
	if (t->cut) {
		undo(t, start);
	}
}

static void quote_str(struct strbuf *t, const char *s)
{
	for (; *s != '\0' && !t->cut; s++) {
		quote_byte(t, (unsigned char)*s);
	}
}

static void put_str(struct strbuf *t, const char *key, const char *value)
{
	size_t start = t->len;

	if (value == NULL) {
		value = "";
	}
	if (logfmt_needs_quotes(value)) {
		if (quote_start(t, key)) {
			quote_str(t, value);
			quote_end(t);
		}
		return;
	}
	if (pair_start(t, key)) {
		if (t->cut) {
			undo(t, start);
			return;
		}
		strbuf_str(t, value);
	}
}

void record_str(struct record *r, const char *key, const char *value)
{
	put_str(&r->line, key, value);
}

void record_tight_u64(struct record *r, const char *key, uint64_t value)
{
	size_t start = r->line.len;

	if (pair_start(&r->line, key)) {
		strbuf_u64(&r->line, value);
		pair_end(&r->line, start);
	}
}

void record_negative(struct record *r, const char *key, int64_t value)
{
	size_t start = r->line.len;

	if (pair_start(&r->line, key)) {
		strbuf_i64(&r->line, value);
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
			/* Whatever they hold, it stays one line. */
			if ((unsigned char)t->buf[i] < ' ') {
				t->buf[i] = ' ';
			}
		}
		pairs += n + (pairs[n] == ' ');
	}
}

bool record_start(struct record *r, enum config_level level, const char *event, size_t n)
{
	const struct notices *opening = &openings[level];
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
	at = timestamp_put(at + 5, clock_wall_us());
	memcpy(at, opening->text, sizeof(opening->text));
	at = decimal_put(at + opening->len, (uint64_t)tid_self());
	memcpy(at, program.text, program.len);
	strbuf_until(&r->line, at + program.len);
	strbuf_bytes(&r->line, event, n);
	return true;
}

/* Frames are parted by spaces, so a space in a path is written \x20. */
static void quote_path(struct strbuf *t, const char *path)
{
	for (; *path != '\0' && !t->cut; path++) {
		if (*path == ' ') {
			quote_str(t, "\\x20");
		} else {
			quote_byte(t, (unsigned char)*path);
		}
	}
}

static void quote_frame(struct strbuf *t, const struct stack_frame *frame)
{
	quote_path(t, frame->module != NULL ? frame->module->path : "?");
	strbuf_char(t, '+');
	strbuf_hex(t, frame->offset);
	if (frame->symbol != NULL) {
		strbuf_char(t, '(');
		quote_path(t, frame->symbol);
		strbuf_char(t, ')');
	}
}

static void put_frames(struct strbuf *t, const struct stack *stack)
{
	if (!quote_start(t, "frames")) {
		return;
	}
	for (uint32_t i = 0; i < stack->depth && !t->cut; i++) {
		size_t start = t->len;

		if (i > 0) {
			strbuf_char(t, ' ');
		}
		quote_frame(t, &stack->frames[i]);
		pair_end(t, start);
	}
	quote_end(t);
}

static bool seen_before(const struct stack *stack, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (stack->frames[j].module == stack->frames[i].module) {
			return true;
		}
	}
	return false;
}

static void put_build_ids(struct strbuf *t, const struct stack *stack)
{
	size_t before = t->len;
	bool any = false;

	if (!quote_start(t, "build_ids")) {
		return;
	}
	for (uint32_t i = 0; i < stack->depth && !t->cut; i++) {
		const struct stack_module *module = stack->frames[i].module;
		size_t start = t->len;

		if (module == NULL || module->build_id[0] == '\0' || seen_before(stack, i)) {
			continue;
		}
		strbuf_str(t, any ? " " : NULL);
		quote_path(t, module->path);
		strbuf_char(t, '=');
		strbuf_str(t, module->build_id);
		pair_end(t, start);
		any = any || !t->cut;
	}
	quote_end(t);
	if (!any) {
		undo(t, before);
	}
}

void record_describe_stack(struct strbuf *t, const struct stack *stack)
{
	if (stack->script_frames != NULL) {
		put_str(t, "script_frames", stack->script_frames);
	}
	put_frames(t, stack);
	put_build_ids(t, stack);
}

/* On its own, so that the record being built elsewhere is not touched. */
static void write_stack(enum config_level level, const struct stack *stack)
{
	struct record r;

	if (record_begin(&r, level, "stack")) {
		record_u64(&r, "stack", stack->id);
		record_describe_stack(&r.line, stack);
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

static void tell_trouble(int error)
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
	error = sink_take_trouble();
	if (error != 0) {
		tell_trouble(error);
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
		struct notices *opening = &openings[level];
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
