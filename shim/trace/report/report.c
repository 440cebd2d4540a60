/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leak report.
 *
 * It works within the array it is handed: sorted by section and stack, the leases of one
 * place stand together, and the next largest place is found by going through them again.
 * So a report needs no memory, which may be what the program has run out of.
 *
 * Locks: those of stack.c and record.c. Not here: whether there is a leak, and which
 * leases count as one; that is for the caller, who took the snapshot.
 */
#include "trace/report/report.h"

#include "base/text/logfmt.h"
#include "base/text/sort.h"
#include "base/thread/pid.h"

#include <string.h>
#include <unistd.h>

#include "base/scratch.h"
#include "trace/lease/kept.h"
#include "trace/log/record.h"
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

/* Whole lines on their way to stderr. */
struct page {
	char prefix[32]; /* "==71== " */
	struct strbuf line;
	struct strbuf chunk;
	char line_buf[LINE_BYTES];
	char chunk_buf[CHUNK_BYTES];
};

/* The leases that one stack took: `count` of them from `first`, the oldest. */
struct group {
	const struct lease *first;
	size_t count;
};

/* ---- places ---- */

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

/* ---- pages ---- */

static void page_start(struct page *page)
{
	struct strbuf prefix;

	strbuf_init(&prefix, page->prefix, sizeof(page->prefix));
	strbuf_str(&prefix, "==");
	strbuf_u64(&prefix, (uint64_t)pid_self());
	strbuf_str(&prefix, "== ");
	strbuf_init(&page->chunk, page->chunk_buf, sizeof(page->chunk_buf));
}

static void page_flush(struct page *page)
{
	if (page->chunk.len > 0) {
		record_to_stderr(&page->chunk);
		strbuf_init(&page->chunk, page->chunk_buf, sizeof(page->chunk_buf));
	}
}

static struct strbuf *line_start(struct page *page)
{
	strbuf_init(&page->line, page->line_buf, sizeof(page->line_buf));
	strbuf_str(&page->line, page->prefix);
	return &page->line;
}

/*
 * Names may hold anything, and the report goes to a terminal: what controls one is written as
 * in the log, \x1b for example.
 */
static void line_end(struct page *page)
{
	const struct strbuf *line = &page->line;

	if (page->chunk.len + ESCAPED_MAX * line->len + 1 > page->chunk.size - 1) {
		page_flush(page);
	}
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->buf[i];

		if (c < ' ' || c == 0x7f) {
			logfmt_byte(&page->chunk, c);
		} else {
			strbuf_char(&page->chunk, (char)c);
		}
	}
	strbuf_char(&page->chunk, '\n');
}

/* ---- sorting ---- */

/* The parts of a report, in this order. */
enum section { NEVER_RELEASED, RELEASED_BY_EXIT, NEVER_FINISHED, KEPT, SUPPRESSED, SECTIONS };

static enum section kind_of(const struct lease *lease)
{
	if (lease->pending) {
		return NEVER_FINISHED;
	}
	return lease->at_exit ? RELEASED_BY_EXIT : NEVER_RELEASED;
}

static enum section section_of(const struct lease *lease)
{
	if (lease->suppressed) {
		return SUPPRESSED;
	}
	return lease->kept ? KEPT : kind_of(lease);
}

static int by_stack(const void *left, const void *right)
{
	const struct lease *a = left;
	const struct lease *b = right;

	if (section_of(a) != section_of(b)) {
		return section_of(a) < section_of(b) ? -1 : 1;
	}
	if (a->stack != b->stack) {
		return a->stack < b->stack ? -1 : 1;
	}
	if (a->began_ns != b->began_ns) {
		return a->began_ns < b->began_ns ? -1 : 1;
	}
	return a->id < b->id ? -1 : a->id > b->id;
}

/* The leases of one section, of those that are sorted; its `count` may be 0. */
static struct lease *find_section(struct lease *leaks, size_t *count, enum section section)
{
	size_t all = *count;
	size_t from = 0;

	while (from < all && section_of(&leaks[from]) < section) {
		from++;
	}
	*count = from;
	while (*count < all && section_of(&leaks[*count]) == section) {
		++*count;
	}
	*count -= from;
	return leaks + from;
}

static void suppress(struct lease *leaks, size_t count)
{
	bool suppressed = false;

	if (suppress_file() == NULL) {
		return;
	}
	sort_items(leaks, count, sizeof(*leaks), by_stack);
	for (size_t i = 0; i < count; i++) {
		/* Asked once for each place: its module's file is read for that. */
		if (i == 0 || leaks[i].stack != leaks[i - 1].stack) {
			suppressed = suppress_matches(leaks[i].stack);
		}
		leaks[i].suppressed = suppressed;
	}
}

static struct group group_at(const struct lease *leaks, size_t count, size_t at)
{
	struct group group = {.first = &leaks[at], .count = 1};

	while (at + group.count < count &&
	       leaks[at + group.count].stack == group.first->stack) {
		group.count++;
	}
	return group;
}

/* The order of printing: more leases first, then the older, then as they stand. */
static bool goes_before(const struct group *a, const struct group *b)
{
	if (a->count != b->count) {
		return a->count > b->count;
	}
	if (a->first->began_ns != b->first->began_ns) {
		return a->first->began_ns < b->first->began_ns;
	}
	return a->first < b->first;
}

static size_t count_groups(const struct lease *leaks, size_t count)
{
	size_t groups = 0;

	for (size_t at = 0; at < count; groups++) {
		at += group_at(leaks, count, at).count;
	}
	return groups;
}

/* The first in the order of printing that comes after `last` (first = NULL: of all). */
static struct group next_group(const struct lease *leaks, size_t count, struct group last)
{
	struct group best = {0};

	for (size_t at = 0; at < count;) {
		struct group group = group_at(leaks, count, at);

		if ((last.first == NULL || goes_before(&last, &group)) &&
		    (best.first == NULL || goes_before(&group, &best))) {
			best = group;
		}
		at += group.count;
	}
	return best;
}

/* ---- the report ---- */

static uint64_t held_ns(const struct lease *lease, uint64_t now_ns)
{
	if (lease->at_exit) {
		now_ns = lease->ended_ns;
	}
	return now_ns > lease->began_ns ? now_ns - lease->began_ns : 0;
}

static void show_frame(struct page *page, uint32_t number, const struct stack_frame *frame)
{
	char buf[FRAME_NAME_FUNCTION_MAX];
	const char *function = frame_name_function(frame, buf, sizeof(buf));
	struct strbuf *t = line_start(page);

	strbuf_str(t, "    #");
	strbuf_u64(t, number);
	strbuf_char(t, ' ');
	if (frame->module != NULL) {
		strbuf_str(t, frame->module->path);
		strbuf_char(t, '+');
	}
	strbuf_hex(t, frame->offset);
	if (function != NULL) {
		strbuf_str(t, " in ");
		strbuf_str(t, function);
	}
	line_end(page);
}

static void show_script_frame(struct page *page, uint32_t number,
                              const struct frame_name_script *script)
{
	struct strbuf *t = line_start(page);

	strbuf_str(t, "    #");
	strbuf_u64(t, number);
	strbuf_char(t, ' ');
	frame_name_put_script(t, script->line, script->line_len);
	if (script->function_len > 0) {
		strbuf_str(t, " in ");
		frame_name_put_script(t, script->function, script->function_len);
	}
	line_end(page);
}

/* A script's frames are those that called the others. */
static void show_frames(struct page *page, uint32_t id)
{
	const struct stack *stack = stack_get(id);
	const char *scripts = stack != NULL ? stack->script_frames : NULL;
	struct frame_name_script script;
	uint32_t number = 0;

	while (stack != NULL && number < stack->depth) {
		show_frame(page, number, &stack->frames[number]);
		number++;
	}
	while (frame_name_next_script(&scripts, &script)) {
		if (script.line_len == 3 && memcmp(script.line, "...", 3) == 0) {
			strbuf_str(line_start(page), "    ...");
			line_end(page);
		} else {
			show_script_frame(page, number++, &script);
		}
	}
}

static void show_lease(struct page *page, const struct lease *lease, uint64_t now_ns)
{
	/* As pg_stat_activity says it. */
	static const char states[LEASE_TRANSACTIONS][32] = {
		[LEASE_TRANSACTION_IDLE] = ", idle",
		[LEASE_TRANSACTION_ACTIVE] = ", active",
		[LEASE_TRANSACTION_OPEN] = ", idle in transaction",
		[LEASE_TRANSACTION_FAILED] = ", idle in transaction (aborted)",
	};
	struct strbuf *t = line_start(page);

	strbuf_str(t, lease->pending ? "    connect " : "    lease ");
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
	strbuf_span(t, held_ns(lease, now_ns));
	strbuf_str(t, lease->pooled ? ", pool " : ", not pooled: ");
	strbuf_str(t, lease->pool);
	strbuf_str(t, states[lease->transaction]);
	if (lease->statement[0] != '\0') {
		strbuf_str(t, ", last statement: ");
		strbuf_str(t, lease->statement);
	}
	line_end(page);
}

static void show_group(struct page *page, const struct group *group, uint64_t now_ns)
{
	const struct stack *stack = stack_get(group->first->stack);
	struct strbuf *t = line_start(page);

	strbuf_str(t, "  ");
	strbuf_count(t, group->count, "connection");
	strbuf_str(t, group->count > 1 ? ", oldest held " : ", held ");
	strbuf_span(t, held_ns(group->first, now_ns));
	strbuf_str(t, ", taken at");
	if (stack == NULL) {
		strbuf_str(t, " an unknown place");
	} else if (stack->script != NULL) {
		strbuf_char(t, ' ');
		strbuf_str(t, stack->script);
	}
	line_end(page);
	show_frames(page, group->first->stack);
	for (size_t i = 0; i < group->count && i < LEASES_SHOWN; i++) {
		show_lease(page, &group->first[i], now_ns);
	}
	if (group->count > LEASES_SHOWN) {
		t = line_start(page);
		strbuf_str(t, "    and ");
		strbuf_u64(t, group->count - LEASES_SHOWN);
		strbuf_str(t, " more");
		line_end(page);
	}
}

static const char headings[][48] = {
	[NEVER_RELEASED] = " leaked, taken at ",
	[RELEASED_BY_EXIT] = " released only by exit, taken at ",
	[NEVER_FINISHED] = " never finished while connecting, taken at ",
	[KEPT] = " kept to the end, taken at ",
};

/* How many leases the process had is said once, by the first section there is. */
static void show_heading(struct page *page, enum section section, size_t count, size_t places,
                         const struct lease_totals *totals, const char *program)
{
	struct strbuf *t = line_start(page);

	strbuf_str(t, "pqpool: ");
	strbuf_count(t, count, "connection");
	strbuf_str(t, headings[section]);
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
	line_end(page);
}

static void show_groups(struct page *page, const struct lease *leaks, size_t count,
                        size_t places, uint64_t now_ns)
{
	struct group group = {0};

	for (size_t i = 0; i < places && i < PLACES_SHOWN; i++) {
		group = next_group(leaks, count, group);
		show_group(page, &group, now_ns);
	}
	if (places > PLACES_SHOWN) {
		struct strbuf *t = line_start(page);

		strbuf_str(t, "  and ");
		strbuf_count(t, places - PLACES_SHOWN, "more place");
		line_end(page);
	}
}

static void show_totals(struct page *page)
{
	struct strbuf *t = line_start(page);

	strbuf_str(t, "pqpool: in all ");
	totals_put(t);
	line_end(page);
}

static void show_suppressed(struct page *page, size_t count)
{
	struct strbuf *t = line_start(page);

	strbuf_str(t, "pqpool: ");
	strbuf_count(t, count, "leak");
	strbuf_str(t, " suppressed by ");
	strbuf_str(t, suppress_file());
	line_end(page);
}

_Static_assert(sizeof(struct page) <= SCRATCH_BYTES, "a page fits into scratch");

/* The sections up to `last`. */
static void show_report(struct lease *leaks, size_t count, const struct lease_totals *totals,
                        const char *program, uint64_t now_ns, enum section last)
{
	struct page *page = scratch_take();

	if (page == NULL) {
		return;
	}
	page_start(page);
	for (enum section section = NEVER_RELEASED; section <= last; section++) {
		size_t n = count;
		const struct lease *first = find_section(leaks, &n, section);
		size_t places = count_groups(first, n);

		if (n > 0) {
			show_heading(page, section, n, places, totals, program);
			show_groups(page, first, n, places, now_ns);
			totals = NULL;
		}
	}
	show_totals(page);
	find_section(leaks, &count, SUPPRESSED);
	if (count > 0) {
		show_suppressed(page, count);
	}
	page_flush(page);
	scratch_give(page);
}

static const char kinds[][20] = {
	[NEVER_RELEASED] = "never_released",
	[RELEASED_BY_EXIT] = "released_by_exit",
	[NEVER_FINISHED] = "never_finished",
};

static void log_leak(const struct lease *lease, uint64_t now_ns)
{
	struct record r;

	bool begun = section_of(lease) == KEPT ? record_begin(&r, LEVEL_INFO, "kept")
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
	record_str(&r, "kind", kinds[kind_of(lease)]);
	if (lease->suppressed) {
		record_str(&r, "suppressed", "yes");
	}
	record_us(&r, "hold_us", held_ns(lease, now_ns));
	record_str(&r, "transaction", lease_transaction_name(lease->transaction));
	if (lease->statement[0] != '\0') {
		record_str(&r, "statement", lease->statement);
	}
	record_stack(&r, "stack", lease->stack);
	record_end(&r);
}

static size_t count_of(struct lease *leaks, size_t count, enum section section)
{
	find_section(leaks, &count, section);
	return count;
}

size_t report_leaks(struct lease *leaks, size_t count, const struct lease_totals *totals,
                    const char *program, uint64_t now_ns, enum config_report wanted)
{
	enum section last = wanted == REPORT_ALL ? KEPT : NEVER_FINISHED;
	size_t told = 0;
	size_t kept;

	kept_judge(leaks, count);
	suppress(leaks, count);
	sort_items(leaks, count, sizeof(*leaks), by_stack);
	for (enum section section = NEVER_RELEASED; section <= last; section++) {
		told += count_of(leaks, count, section);
	}
	kept = count_of(leaks, count, KEPT);
	if (wanted != REPORT_OFF && told > 0) {
		show_report(leaks, count, totals, program, now_ns, last);
	}
	for (size_t i = 0; i < count && !record_is_stderr(); i++) {
		log_leak(&leaks[i], now_ns);
	}
	return count - kept - count_of(leaks, count, SUPPRESSED);
}
