/* SPDX-License-Identifier: PostgreSQL */
/* The leak report, on stderr and in the log. */
#include "trace/report/report.h"

#include <string.h>

#include "base/scratch.h"
#include "base/text/logfmt.h"
#include "base/thread/pid.h"
#include "trace/lease/kept.h"
#include "trace/log/record.h"
#include "trace/report/hold_pairs.h"
#include "trace/report/leak_groups.h"
#include "trace/report/suppressions.h"
#include "trace/report/totals.h"
#include "trace/stack/frame_names.h"
#include "trace/stack/stack.h"

#define PLACES_SHOWN 50
#define LEASES_SHOWN 8
#define LINE_BYTES   2048
#define CHUNK_BYTES  8192
#define ESCAPED_MAX  4 /* bytes that one becomes */

_Static_assert(ESCAPED_MAX *(LINE_BYTES - 1) + 1 < CHUNK_BYTES, "each line fits into a chunk");

/* Whole lines to be written to stderr together. */
struct output {
	uint64_t now_ns;
	char prefix[32]; /* "==71== " */
	struct strbuf line;
	struct strbuf chunk;
	char line_buf[LINE_BYTES];
	char chunk_buf[CHUNK_BYTES];
};

_Static_assert(sizeof(struct output) <= SCRATCH_BYTES, "the output fits into scratch");

void report_place(uint32_t stack, struct strbuf *t)
{
	const struct stack *known = stack_get(stack);
	char buf[FRAME_NAME_FUNCTION_MAX];
	const struct stack_frame *frame;
	const char *symbol;

	if (known == NULL || known->depth == 0) {
		strbuf_str(t, "an unknown place");
		return;
	}
	if (known->script != NULL) {
		strbuf_str(t, known->script);
		return;
	}
	frame = &known->frames[0];
	if (frame->module != NULL) {
		strbuf_str(t, frame_name_base(frame->module->path));
		strbuf_char(t, '+');
	}
	strbuf_hex(t, frame->offset);
	symbol = frame_name_function(frame, buf, sizeof(buf));
	if (symbol != NULL) {
		strbuf_str(t, " (");
		strbuf_str(t, symbol);
		strbuf_char(t, ')');
	}
}

/* ---- lines ---- */

static void start_chunk(struct output *out)
{
	strbuf_init(&out->chunk, out->chunk_buf, sizeof(out->chunk_buf));
}

static void start(struct output *out, uint64_t now_ns)
{
	struct strbuf prefix;

	out->now_ns = now_ns;
	strbuf_init(&prefix, out->prefix, sizeof(out->prefix));
	strbuf_str(&prefix, "==");
	strbuf_u64(&prefix, (uint64_t)pid_self());
	strbuf_str(&prefix, "== ");
	start_chunk(out);
}

static struct strbuf *line_start(struct output *out, const char *begin)
{
	strbuf_init(&out->line, out->line_buf, sizeof(out->line_buf));
	strbuf_str(&out->line, out->prefix);
	strbuf_str(&out->line, begin);
	return &out->line;
}

/* Names may hold any byte: control characters are escaped as in the log, for a terminal. */
static void line_end(struct output *out)
{
	const struct strbuf *line = &out->line;

	if (out->chunk.len + ESCAPED_MAX * line->len + 1 > out->chunk.size - 1) {
		record_to_stderr(&out->chunk);
		start_chunk(out);
	}
	for (size_t i = 0; i < line->len;) {
		if (logfmt_control(line->buf + i) > 0) {
			i += logfmt_byte(&out->chunk, line->buf + i);
		} else {
			strbuf_char(&out->chunk, line->buf[i++]);
		}
	}
	strbuf_char(&out->chunk, '\n');
}

/* ---- groups ---- */

static struct strbuf *frame_start(struct output *out, uint32_t number)
{
	struct strbuf *t = line_start(out, "    #");

	strbuf_u64(t, number);
	strbuf_char(t, ' ');
	return t;
}

static void show_frame(struct output *out, uint32_t number, const struct stack_frame *frame)
{
	char buf[FRAME_NAME_FUNCTION_MAX];
	const char *function = frame_name_function(frame, buf, sizeof(buf));
	struct strbuf *t = frame_start(out, number);

	if (frame->module != NULL) {
		strbuf_str(t, frame->module->path);
		strbuf_char(t, '+');
	}
	strbuf_hex(t, frame->offset);
	if (function != NULL) {
		strbuf_str(t, " in ");
		strbuf_str(t, function);
	}
	line_end(out);
}

static void show_script_frame(struct output *out, uint32_t number,
                              const struct frame_name_script *script)
{
	struct strbuf *t = frame_start(out, number);

	frame_name_put_script(t, script->line, script->line_len);
	if (script->function_len > 0) {
		strbuf_str(t, " in ");
		frame_name_put_script(t, script->function, script->function_len);
	}
	line_end(out);
}

/* The script's frames called the others. */
static void show_frames(struct output *out, const struct stack *stack)
{
	const char *scripts = stack->script_frames;
	struct frame_name_script script;
	uint32_t number;

	for (number = 0; number < stack->depth; number++) {
		show_frame(out, number, &stack->frames[number]);
	}
	while (frame_name_next_script(&scripts, &script)) {
		if (script.line_len == 3 && memcmp(script.line, "...", 3) == 0) {
			line_start(out, "    ...");
			line_end(out);
		} else {
			show_script_frame(out, number++, &script);
		}
	}
}

static void show_lease(struct output *out, const struct lease *lease)
{
	/* In the words of pg_stat_activity. */
	static const char states[LEASE_TRANSACTIONS][32] = {
		[LEASE_TRANSACTION_IDLE] = ", idle",
		[LEASE_TRANSACTION_ACTIVE] = ", active",
		[LEASE_TRANSACTION_OPEN] = ", idle in transaction",
		[LEASE_TRANSACTION_FAILED] = ", idle in transaction (aborted)",
	};
	struct strbuf *t = line_start(out, lease->pending ? "    connect " : "    lease ");

	strbuf_u64(t, lease->id);
	strbuf_str(t, ": ");
	if (!lease->pending) {
		strbuf_str(t, "backend ");
		strbuf_i64(t, lease->backend_pid);
		strbuf_str(t, ", ");
	}
	strbuf_str(t, "thread ");
	strbuf_i64(t, lease->tid);
	strbuf_str(t, ", held ");
	strbuf_span(t, hold_ns(lease, out->now_ns));
	if (lease->pooled) {
		strbuf_str(t, ", pool ");
		strbuf_str(t, lease->pool);
	} else {
		strbuf_str(t, ", not pooled but passed through to libpq");
	}
	strbuf_str(t, states[lease->transaction]);
	if (lease->statement[0] != '\0') {
		strbuf_str(t, ", last statement: ");
		strbuf_str(t, lease->statement);
	}
	line_end(out);
}

static void show_group(struct output *out, const struct leak_group *group)
{
	const struct stack *stack = stack_get(group->first->stack);
	struct strbuf *t = line_start(out, "  ");

	strbuf_count(t, group->count, "connection");
	strbuf_str(t, group->count > 1 ? ", oldest held " : ", held ");
	strbuf_span(t, hold_ns(group->first, out->now_ns));
	strbuf_str(t, ", taken at");
	if (stack == NULL) {
		strbuf_str(t, " an unknown place");
	} else if (stack->script != NULL) {
		strbuf_char(t, ' ');
		strbuf_str(t, stack->script);
	}
	line_end(out);
	if (stack != NULL) {
		show_frames(out, stack);
	}
	for (size_t i = 0; i < group->count && i < LEASES_SHOWN; i++) {
		show_lease(out, &group->first[i]);
	}
	if (group->count > LEASES_SHOWN) {
		t = line_start(out, "    and ");
		strbuf_u64(t, group->count - LEASES_SHOWN);
		strbuf_str(t, " more");
		line_end(out);
	}
}

/* ---- sections ---- */

static void show_heading(struct output *out, enum leak_section section, size_t count,
                         size_t places, const struct lease_totals *totals, const char *program)
{
	static const char kinds[][48] = {
		[LEAK_NEVER_RELEASED] = " leaked, taken at ",
		[LEAK_RELEASED_BY_EXIT] = " released only by exit, taken at ",
		[LEAK_NEVER_FINISHED] = " never finished while connecting, taken at ",
		[LEAK_KEPT] = " kept to the end, taken at ",
	};
	struct strbuf *t = line_start(out, "pqpool: ");

	strbuf_count(t, count, "connection");
	strbuf_str(t, kinds[section]);
	strbuf_count(t, places, "place");
	if (totals != NULL) {
		strbuf_str(t, " (");
		strbuf_str(t, program);
		strbuf_str(t, ": ");
		strbuf_u64(t, totals->begun);
		strbuf_str(t, " acquired, ");
		strbuf_u64(t, totals->ended);
		strbuf_str(t, " released)");
	}
	line_end(out);
}

static void show_groups(struct output *out, const struct lease *leaks, size_t count,
                        size_t places)
{
	struct leak_group group = {0};

	for (size_t i = 0; i < places && i < PLACES_SHOWN; i++) {
		group = leak_groups_next(leaks, count, group);
		show_group(out, &group);
	}
	if (places > PLACES_SHOWN) {
		strbuf_count(line_start(out, "  and "), places - PLACES_SHOWN, "more place");
		line_end(out);
	}
}

/* The sections up to `last`. The first one also states the totals. */
static void show_report(const struct lease *leaks, size_t count,
                        const struct lease_totals *totals, const char *program, uint64_t now_ns,
                        enum leak_section last)
{
	struct output *out = scratch_take();

	if (out == NULL) {
		return;
	}
	start(out, now_ns);
	for (enum leak_section section = 0; section <= last; section++) {
		size_t n = count;
		const struct lease *first = leak_groups_section(leaks, &n, section);
		size_t places = leak_groups_count(first, n);

		if (n > 0) {
			show_heading(out, section, n, places, totals, program);
			show_groups(out, first, n, places);
			totals = NULL;
		}
	}
	totals_put(line_start(out, "pqpool: in all "));
	line_end(out);
	leak_groups_section(leaks, &count, LEAK_SUPPRESSED);
	if (count > 0) {
		struct strbuf *t = line_start(out, "pqpool: ");

		strbuf_count(t, count, "leak");
		strbuf_str(t, " suppressed by ");
		strbuf_str(t, suppress_file());
		line_end(out);
	}
	record_to_stderr(&out->chunk);
	scratch_give(out);
}

static void log_leak(const struct lease *lease, uint64_t now_ns)
{
	static const char kinds[][20] = {
		[LEAK_NEVER_RELEASED] = "never_released",
		[LEAK_RELEASED_BY_EXIT] = "released_by_exit",
		[LEAK_NEVER_FINISHED] = "never_finished",
	};
	struct record r;
	bool begun = leak_section(lease) == LEAK_KEPT ? record_begin(&r, LEVEL_INFO, "kept")
	                                              : record_begin(&r, LEVEL_WARNING, "leak");

	if (!begun) {
		return;
	}
	record_u64(&r, "lease", lease->id);
	record_u64(&r, "session", lease->session);
	if (!lease->pending) {
		record_i64(&r, "backend", lease->backend_pid);
	}
	record_i64(&r, "thread", lease->tid);
	record_str(&r, "pool", lease->pool);
	if (!lease->pooled) {
		record_str(&r, "pooled", "no");
	}
	record_str(&r, "kind", kinds[leak_kind(lease)]);
	if (lease->suppressed) {
		record_str(&r, "suppressed", "yes");
	}
	hold_pairs_put(&r, lease, now_ns);
	record_str(&r, "transaction", lease_transaction_name(lease->transaction));
	if (lease->statement[0] != '\0') {
		record_str(&r, "statement", lease->statement);
	}
	record_stack(&r, "stack", lease->stack);
	record_end(&r);
}

/* Each stack is matched once: its modules' files are read for that. */
static void mark_suppressed(struct lease *leaks, size_t count)
{
	bool suppressed = false;

	if (suppress_file() == NULL) {
		return;
	}
	leak_groups_sort(leaks, count);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || leaks[i].stack != leaks[i - 1].stack) {
			suppressed = suppress_matches(leaks[i].stack);
		}
		leaks[i].suppressed = suppressed;
	}
}

size_t report_leaks(struct lease *leaks, size_t count, const struct lease_totals *totals,
                    const char *program, uint64_t now_ns, enum config_report wanted)
{
	size_t counts[LEAK_SECTIONS] = {0};
	size_t unsuppressed;

	kept_judge(leaks, count);
	mark_suppressed(leaks, count);
	leak_groups_sort(leaks, count);
	for (size_t i = 0; i < count; i++) {
		counts[leak_section(&leaks[i])]++;
	}
	unsuppressed = count - counts[LEAK_KEPT] - counts[LEAK_SUPPRESSED];
	if ((wanted == REPORT_ON && unsuppressed > 0) ||
	    (wanted == REPORT_ALL && unsuppressed + counts[LEAK_KEPT] > 0)) {
		show_report(leaks, count, totals, program, now_ns,
		            wanted == REPORT_ALL ? LEAK_KEPT : LEAK_NEVER_FINISHED);
	}
	for (size_t i = 0; i < count && !record_is_stderr(); i++) {
		log_leak(&leaks[i], now_ns);
	}
	return unsuppressed;
}
