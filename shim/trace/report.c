/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leak report.
 *
 * It works within the array it is handed: sorted by stack, the leases of one place
 * stand together, and the next largest place is found by going through them again.
 * So a report needs no memory, which may be what the program has run out of.
 *
 * Locks: those of stack.c and record.c. Not here: whether there is a leak, and which
 * leases count as one; that is for the caller, who took the snapshot.
 */
#include "trace/report.h"

#include "base/self.h"
#include "base/sort.h"

#include <string.h>
#include <unistd.h>

#include "trace/record.h"
#include "trace/stack.h"
#include "trace/symbol.h"

#define PLACES_SHOWN 50
#define LEASES_SHOWN 8
#define SYMBOL_MAX   256
#define LINE_BYTES   2048
#define CHUNK_BYTES  8192

/* Whole lines on their way to stderr. */
struct page {
	char prefix[32]; /* "==71== " */
	struct text line;
	struct text chunk;
	char line_buf[LINE_BYTES];
	char chunk_buf[CHUNK_BYTES];
};

/* The leases that one stack took: `count` of them from `first`, the oldest. */
struct group {
	const struct lease *first;
	size_t count;
};

/* ---- places ---- */

/* The function around a frame: the file knows static ones, too, if it can be read. */
static const char *frame_symbol(const struct stack_frame *frame, char *buf, size_t size)
{
	buf[0] = '\0';
	if (frame->module != NULL) {
		symbol_nearest(frame->module->path, frame->offset, buf, size);
	}
	return buf[0] != '\0' ? buf : frame->symbol;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

void report_place(uint32_t stack, struct text *t)
{
	const struct stack *known = stack_get(stack);
	char buf[SYMBOL_MAX];
	const struct stack_frame *frame;
	const char *symbol;

	if (known == NULL || known->depth == 0) {
		text_str(t, "an unknown place");
		return;
	}
	if (known->script != NULL) {
		text_str(t, known->script);
		return;
	}
	frame = &known->frames[0];
	if (frame->module != NULL) {
		text_str(t, base_name(frame->module->path));
		text_char(t, '+');
	}
	text_hex(t, frame->offset);
	symbol = frame_symbol(frame, buf, sizeof(buf));
	if (symbol != NULL) {
		text_str(t, " (");
		text_str(t, symbol);
		text_char(t, ')');
	}
}

/* ---- pages ---- */

static void page_start(struct page *page)
{
	struct text prefix;

	text_init(&prefix, page->prefix, sizeof(page->prefix));
	text_str(&prefix, "==");
	text_u64(&prefix, (uint64_t)self_pid());
	text_str(&prefix, "== ");
	text_init(&page->chunk, page->chunk_buf, sizeof(page->chunk_buf));
}

static void page_flush(struct page *page)
{
	if (page->chunk.len > 0) {
		record_to_stderr(&page->chunk);
		text_init(&page->chunk, page->chunk_buf, sizeof(page->chunk_buf));
	}
}

/* Starts a line; a byte is kept back for the newline. */
static struct text *line_start(struct page *page)
{
	text_init(&page->line, page->line_buf, sizeof(page->line_buf) - 1);
	text_str(&page->line, page->prefix);
	return &page->line;
}

static void line_end(struct page *page)
{
	page->line.size++;
	text_char(&page->line, '\n');
	if (page->chunk.len + page->line.len > page->chunk.size - 1) {
		page_flush(page);
	}
	text_bytes(&page->chunk, page->line.buf, page->line.len);
}

/* "1 place", "2 places". */
static void put_count(struct text *t, uint64_t n, const char *noun)
{
	text_u64(t, n);
	text_char(t, ' ');
	text_str(t, noun);
	text_str(t, n != 1 ? "s" : NULL);
}

/* ---- sorting ---- */

static int by_stack(const void *left, const void *right)
{
	const struct lease *a = left;
	const struct lease *b = right;

	if (a->stack != b->stack) {
		return a->stack < b->stack ? -1 : 1;
	}
	if (a->began_ns != b->began_ns) {
		return a->began_ns < b->began_ns ? -1 : 1;
	}
	return a->id < b->id ? -1 : a->id > b->id;
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
	return now_ns > lease->began_ns ? now_ns - lease->began_ns : 0;
}

static void show_frames(struct page *page, uint32_t id)
{
	const struct stack *stack = stack_get(id);
	char buf[SYMBOL_MAX];

	for (uint32_t i = 0; stack != NULL && i < stack->depth; i++) {
		const struct stack_frame *frame = &stack->frames[i];
		const char *symbol = frame_symbol(frame, buf, sizeof(buf));
		struct text *t = line_start(page);

		text_str(t, "    #");
		text_u64(t, i);
		text_char(t, ' ');
		if (frame->module != NULL) {
			text_str(t, frame->module->path);
			text_char(t, '+');
		}
		text_hex(t, frame->offset);
		if (symbol != NULL) {
			text_str(t, " in ");
			text_str(t, symbol);
		}
		line_end(page);
	}
}

static void show_lease(struct page *page, const struct lease *lease, uint64_t now_ns)
{
	struct text *t = line_start(page);

	text_str(t, "    lease ");
	text_u64(t, lease->id);
	text_str(t, ": backend ");
	text_i64(t, lease->backend_pid);
	text_str(t, ", thread ");
	text_i64(t, lease->tid);
	text_str(t, ", held ");
	text_span(t, held_ns(lease, now_ns));
	text_str(t, lease->pooled ? ", pool " : ", not pooled: ");
	text_str(t, lease->pool);
	line_end(page);
}

static void show_group(struct page *page, const struct group *group, uint64_t now_ns)
{
	struct text *t = line_start(page);

	text_str(t, "  ");
	put_count(t, group->count, "connection");
	text_str(t, group->count > 1 ? ", oldest held " : ", held ");
	text_span(t, held_ns(group->first, now_ns));
	text_str(t, stack_get(group->first->stack) != NULL ? ", taken at"
	                                                   : ", taken at an unknown place");
	line_end(page);
	show_frames(page, group->first->stack);
	for (size_t i = 0; i < group->count && i < LEASES_SHOWN; i++) {
		show_lease(page, &group->first[i], now_ns);
	}
	if (group->count > LEASES_SHOWN) {
		t = line_start(page);
		text_str(t, "    and ");
		text_u64(t, group->count - LEASES_SHOWN);
		text_str(t, " more");
		line_end(page);
	}
}

static void show_summary(struct page *page, size_t count, size_t places,
                         const struct lease_totals *totals, const char *program)
{
	struct text *t = line_start(page);

	text_str(t, "pqpool: ");
	put_count(t, count, "connection");
	text_str(t, " leaked, taken at ");
	put_count(t, places, "place");
	text_str(t, " (");
	text_str(t, program);
	text_str(t, ": ");
	text_u64(t, totals->begun);
	text_str(t, " acquired, ");
	text_u64(t, totals->ended);
	text_str(t, " released)");
	line_end(page);
}

static void show_report(const struct lease *leaks, size_t count,
                        const struct lease_totals *totals, const char *program, uint64_t now_ns)
{
	size_t places = count_groups(leaks, count);
	struct group group = {0};
	struct page page;

	page_start(&page);
	show_summary(&page, count, places, totals, program);
	for (size_t i = 0; i < places && i < PLACES_SHOWN; i++) {
		group = next_group(leaks, count, group);
		show_group(&page, &group, now_ns);
	}
	if (places > PLACES_SHOWN) {
		struct text *t = line_start(&page);

		text_str(t, "  and ");
		put_count(t, places - PLACES_SHOWN, "more place");
		line_end(&page);
	}
	page_flush(&page);
}

static void log_leak(const struct lease *lease, uint64_t now_ns)
{
	struct record r;

	if (!record_begin(&r, LEVEL_WARNING, "leak")) {
		return;
	}
	record_u64(&r, "lease", lease->id);
	record_u64(&r, "session", lease->session);
	record_i64(&r, "backend", lease->backend_pid);
	record_i64(&r, "thread", lease->tid);
	record_str(&r, "pool", lease->pool);
	if (!lease->pooled) {
		record_str(&r, "pooled", "no");
	}
	record_us(&r, "hold_us", held_ns(lease, now_ns));
	record_stack(&r, "stack", lease->stack);
	record_end(&r);
}

void report_leaks(struct lease *leaks, size_t count, const struct lease_totals *totals,
                  const char *program, uint64_t now_ns, bool to_stderr)
{
	sort_items(leaks, count, sizeof(*leaks), by_stack);
	if (to_stderr) {
		show_report(leaks, count, totals, program, now_ns);
	}
	if (to_stderr && record_is_stderr()) {
		return;
	}
	for (size_t i = 0; i < count; i++) {
		log_leak(&leaks[i], now_ns);
	}
}
