/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of `pqpool top` as text.
 *
 * All cells are strings first, so that each column is as wide as its widest. Where the
 * whole is too wide the pool's name and then the place, which come last, are cut.
 */
#include "top/pool_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/text/strbuf.h"
#include "common/pages/taken_at.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"

enum column {
	USER, /* only if there is another's */
	PID,
	PROGRAM,
	IN_USE,
	IDLE,
	WAITING,
	LIMIT,
	WAITS,
	TIMEOUTS,
	OLDEST,
	POOL,
	PLACE,
	COLUMNS
};

static const struct {
	const char *title;
	bool right; /* numbers */
} columns[COLUMNS] = {
	[USER] = {"UID", true},      [PID] = {"PID", true},     [PROGRAM] = {"PROGRAM", false},
	[IN_USE] = {"IN USE", true}, [IDLE] = {"IDLE", true},   [WAITING] = {"WAITING", true},
	[LIMIT] = {"LIMIT", true},   [WAITS] = {"WAITS", true}, [TIMEOUTS] = {"TIMEOUTS", true},
	[OLDEST] = {"OLDEST", true}, [POOL] = {"POOL", false},  [PLACE] = {"TAKEN AT", false},
};

/* How narrow a pool's name may become before the place is cut, too. */
#define POOL_LEAST 20

struct line {
	char *cells[COLUMNS];
};

struct pool_table {
	struct line *lines;
	size_t count;
	size_t programs;
	size_t pools; /* of programs */
	bool users;   /* the column is there */
	uint64_t in_use;
	uint64_t waiting;
	unsigned widths[COLUMNS];
};

/* ---- cells ---- */

static char *number_cell(uint64_t number)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, number);
	return xalloc_copy(buf, strlen(buf));
}

static char *span_cell(uint64_t ns)
{
	char buf[32];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	strbuf_span(&t, ns);
	return xalloc_copy(buf, t.len);
}

static char *text_cell(const char *s)
{
	return xalloc_copy(s, strlen(s));
}

/* The columns that a character takes; one that the locale cannot show takes one. */
static unsigned width_of(const char *s, size_t *bytes)
{
	unsigned code = '?';
	int width;

	*bytes = terminal_text_utf8(s, &code);
	if (*bytes == 0) {
		*bytes = 1;
	}
	width = wcwidth((wchar_t)code);
	return width >= 0 ? (unsigned)width : 1;
}

static unsigned text_width(const char *s)
{
	unsigned width = 0;

	while (*s != '\0') {
		size_t bytes;

		width += width_of(s, &bytes);
		s += bytes;
	}
	return width;
}

/* Prints `s` in at most `room` columns; returns how many it took. */
static unsigned put_cut(FILE *to, const char *s, unsigned room)
{
	unsigned used = 0;

	while (*s != '\0') {
		size_t bytes;
		unsigned width = width_of(s, &bytes);

		if (used + width > room) {
			break;
		}
		fwrite(s, 1, bytes, to);
		used += width;
		s += bytes;
	}
	return used;
}

/* ---- lines ---- */

static const struct page_session *oldest_lease(const struct page *page,
                                               const struct page_pool *pool)
{
	const struct page_session *oldest = NULL;

	for (size_t i = 0; i < page->session_count; i++) {
		const struct page_session *session = &page->sessions[i];

		if (session->row.state == STATUS_SESSION_LEASED && session->pool == pool &&
		    (oldest == NULL || session->row.began_us < oldest->row.began_us)) {
			oldest = session;
		}
	}
	return oldest;
}

static struct line *new_line(struct pool_table *view)
{
	view->lines = xalloc_resize(view->lines, view->count + 1, sizeof(*view->lines));
	return &view->lines[view->count++];
}

static struct line *add_line(struct pool_table *view, const struct page *page,
                             const struct page_session *oldest)
{
	struct line *line = new_line(view);

	line->cells[USER] = number_cell(page->owner);
	line->cells[PID] = number_cell((uint64_t)page->pid);
	line->cells[PROGRAM] = terminal_text(page->program);
	line->cells[OLDEST] =
		oldest != NULL ? span_cell(pages_held_ns(page, oldest)) : text_cell("-");
	line->cells[PLACE] = text_cell(oldest != NULL ? taken_at(oldest) : "");
	return line;
}

static void add_pool(struct pool_table *view, const struct page *page,
                     const struct page_pool *pool)
{
	const struct status_pool *row = &pool->row;
	struct line *line = add_line(view, page, oldest_lease(page, pool));

	line->cells[IN_USE] = number_cell(row->in_use);
	line->cells[IDLE] = number_cell(row->idle);
	line->cells[WAITING] = number_cell(row->waiting);
	line->cells[LIMIT] =
		row->limit != STATUS_NO_LIMIT ? number_cell(row->limit) : text_cell("none");
	line->cells[WAITS] = number_cell(row->waits);
	line->cells[TIMEOUTS] = number_cell(row->timeouts);
	line->cells[POOL] = terminal_text(pool->label);
	view->in_use += row->in_use;
	view->waiting += row->waiting;
}

/* Leases on connections that libpq made as if we were not there. */
static void add_unpooled(struct pool_table *view, const struct page *page)
{
	const struct page_session *oldest = oldest_lease(page, NULL);
	struct line *line;
	uint64_t leased = 0;

	if (oldest == NULL) {
		return;
	}
	for (size_t i = 0; i < page->session_count; i++) {
		leased += page->sessions[i].pool == NULL &&
		          page->sessions[i].row.state == STATUS_SESSION_LEASED;
	}
	line = add_line(view, page, oldest);
	line->cells[IN_USE] = number_cell(leased);
	for (int c = IDLE; c <= TIMEOUTS; c++) {
		line->cells[c] = text_cell("-");
	}
	line->cells[POOL] = text_cell(oldest->label);
	view->in_use += leased;
}

static char *sum_cell(const struct show_lines *keeper, size_t i, const char *key)
{
	uint64_t sum;

	return show_lines_sum(keeper, i, key, &sum) ? number_cell(sum) : text_cell("none");
}

/* The keeper's pools. What is in use of them is counted with the programs that use it. */
static void add_keeper(struct pool_table *view, const struct show_lines *keeper)
{
	for (size_t i = 0; i < keeper->count; i++) {
		const char *pool = log_line_get(&keeper->all[i], "pool");
		struct line *line;
		uint64_t sum;

		/* The first line is about the keeper itself. */
		if (pool == NULL || !show_lines_is(&keeper->all[i], "pool") ||
		    !show_lines_sum(keeper, i, "in_use", &sum)) {
			continue;
		}
		line = new_line(view);
		line->cells[USER] = number_cell(geteuid());
		line->cells[PID] = sum_cell(keeper, 0, "pid");
		line->cells[PROGRAM] = text_cell("(keeper)");
		line->cells[IN_USE] = number_cell(sum);
		line->cells[IDLE] = sum_cell(keeper, i, "idle");
		line->cells[WAITING] = sum_cell(keeper, i, "waiting");
		line->cells[LIMIT] = sum_cell(keeper, 0, "limit");
		line->cells[WAITS] = text_cell("-");
		line->cells[TIMEOUTS] = text_cell("-");
		line->cells[OLDEST] = text_cell("-");
		line->cells[POOL] = terminal_text(pool);
		line->cells[PLACE] = text_cell("");
	}
}

static bool is_wanted(const struct page *page, const pid_t *wanted, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (wanted[i] == page->pid) {
			return page->live;
		}
	}
	return count == 0 && page->live;
}

static void collect(struct pool_table *view, const struct pages *pages,
                    const struct show_lines *keeper, const pid_t *wanted, size_t wanted_count)
{
	for (size_t i = 0; i < pages->count; i++) {
		const struct page *page = &pages->all[i];

		if (!is_wanted(page, wanted, wanted_count)) {
			continue;
		}
		view->programs++;
		view->users |= page->foreign;
		for (size_t j = 0; j < page->pool_count; j++) {
			add_pool(view, page, &page->pools[j]);
		}
		add_unpooled(view, page);
	}
	view->pools = view->count;
	if (wanted_count == 0) {
		add_keeper(view, keeper);
	}
	for (int c = 0; c < COLUMNS; c++) {
		view->widths[c] = text_width(columns[c].title);
		for (size_t i = 0; i < view->count; i++) {
			unsigned width = text_width(view->lines[i].cells[c]);

			view->widths[c] = width > view->widths[c] ? width : view->widths[c];
		}
	}
}

/* Makes the pool's name so narrow that the line fits, if it need not be too narrow. */
static void squeeze(struct pool_table *view, unsigned room)
{
	unsigned whole = COLUMNS - (view->users ? 1 : 2);
	unsigned over;

	for (int c = view->users ? USER : PID; c < COLUMNS; c++) {
		whole += view->widths[c];
	}
	over = whole > room ? whole - room : 0;
	if (view->widths[POOL] > POOL_LEAST) {
		unsigned most = view->widths[POOL] - POOL_LEAST;

		view->widths[POOL] -= over < most ? over : most;
	}
}

static void put_spaces(FILE *to, unsigned n)
{
	fprintf(to, "%*s", (int)n, "");
}

static void put_line(FILE *to, const struct pool_table *view, const char *const *cells,
                     unsigned room)
{
	int first = view->users ? USER : PID;
	unsigned used = 0;

	for (int c = first; c < COLUMNS && used < room; c++) {
		unsigned width = view->widths[c];
		unsigned own = text_width(cells[c]);
		unsigned before = columns[c].right && own < width ? width - own : 0;

		if (c > first) {
			fputc(' ', to);
			used++;
		}
		before = before < room - used ? before : room - used;
		put_spaces(to, before);
		used += before;
		width -= before;
		own = put_cut(to, cells[c], width < room - used ? width : room - used);
		used += own;
		/* Nothing behind the last one, nor beyond the edge. */
		if (c < COLUMNS - 1 && own < width) {
			width = width - own < room - used ? width - own : room - used;
			put_spaces(to, width);
			used += width;
		}
	}
	fputc('\n', to);
}

static void put_summary(FILE *to, const struct pool_table *view, unsigned room)
{
	char buf[160];
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	snprintf(buf, sizeof(buf),
	         "pqpool %s  %zu program%s, %zu pool%s, %" PRIu64 " in use, %" PRIu64
	         " waiting",
	         clock, view->programs, view->programs == 1 ? "" : "s", view->pools,
	         view->pools == 1 ? "" : "s", view->in_use, view->waiting);
	put_cut(to, buf, room);
	fputc('\n', to);
}

static void put_rest(FILE *to, size_t left, unsigned room)
{
	char buf[64];

	snprintf(buf, sizeof(buf), "... and %zu more", left);
	put_cut(to, buf, room);
	fputc('\n', to);
}

static void put_table(FILE *to, struct pool_table *view, unsigned max_lines, unsigned room)
{
	const char *titles[COLUMNS];
	size_t left = max_lines - 2; /* below the summary and the titles */
	size_t shown = view->count;

	if (shown > left) {
		shown = left > 0 ? left - 1 : 0;
	}
	for (int c = 0; c < COLUMNS; c++) {
		titles[c] = columns[c].title;
	}
	squeeze(view, room);
	put_line(to, view, titles, room);
	for (size_t i = 0; i < shown; i++) {
		put_line(to, view, (const char *const *)view->lines[i].cells, room);
	}
	if (shown < view->count && left > 0) {
		put_rest(to, view->count - shown, room);
	}
}

char *pool_table_make(const struct pages *pages, const struct show_lines *keeper,
                      const pid_t *wanted, size_t wanted_count, unsigned max_lines,
                      unsigned room)
{
	struct pool_table view = {0};
	char *text = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&text, &n);

	if (to == NULL) {
		return NULL;
	}
	room = room != POOL_TABLE_ENDLESS ? room : UINT16_MAX;
	max_lines = max_lines != POOL_TABLE_ENDLESS ? max_lines : UINT32_MAX;
	collect(&view, pages, keeper, wanted, wanted_count);
	put_summary(to, &view, room);
	if (view.count > 0 && max_lines > 1) {
		put_table(to, &view, max_lines, room);
	}
	for (size_t i = 0; i < view.count; i++) {
		for (int c = 0; c < COLUMNS; c++) {
			free(view.lines[i].cells[c]);
		}
	}
	free(view.lines);
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
