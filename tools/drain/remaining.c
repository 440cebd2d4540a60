/* SPDX-License-Identifier: PostgreSQL */
/* What is still there of what was drained and, while paused, what is in use. */
#include "drain/remaining.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/pages/taken_at.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"
#include "drain/page_orders.h"

static void put_session(FILE *to, const char *program, int64_t pid, const char *pool)
{
	terminal_text_put(to, program);
	fprintf(to, " (pid %" PRId64 "): a session of ", pid);
	terminal_text_put(to, pool);
}

static void put_use(FILE *to, uint64_t held_ms, const char *place)
{
	fputs(", in use for ", to);
	terminal_text_put_span(to, (int64_t)held_ms);
	if (place[0] != '\0') {
		fputs(", taken at ", to);
		terminal_text_put(to, place);
	}
}

/* ---- by the pages ---- */

/* It lies in the process, but is the keeper's to close, who tells of it itself. */
static bool is_keepers(const struct page_session *session)
{
	return session->row.shared != 0 && session->row.state != STATUS_SESSION_LEASED;
}

/* True if there was an order to drain its pool since it was opened. */
static bool is_old(const struct page_session *session)
{
	const struct status_pool *pool = &session->pool->row;

	return pool->drain != 0 &&
	       (pool->drain != pool->drained || session->row.opened_ns < pool->drained_ns);
}

static bool is_left(const struct page *page, const struct page_session *session, bool kept)
{
	return session->pool != NULL && !(kept && is_keepers(session)) &&
	       (is_old(session) ||
	        (page->paused && session->row.state == STATUS_SESSION_LEASED));
}

static void put_page_session(FILE *to, const struct page *page,
                             const struct page_session *session)
{
	put_session(to, page->program, page->pid, session->label);
	fprintf(to, ", backend %d", session->row.backend);
	if (session->row.state == STATUS_SESSION_LEASED) {
		put_use(to, pages_held_ns(page, session) / NS_PER_MS, taken_at(session));
	} else {
		fputs(", idle until its next connect or finish", to);
	}
	putc('\n', to);
}

/* Of the sessions in use those that are on no lease. */
static void put_under_way(FILE *to, const struct page *page, const struct page_pool *pool)
{
	uint32_t count = pool->row.in_use;

	for (size_t i = 0; i < page->session_count; i++) {
		const struct page_session *session = &page->sessions[i];

		count -= count > 0 && session->pool == pool &&
		         session->row.state == STATUS_SESSION_LEASED;
	}
	if (count > 0) {
		terminal_text_put(to, page->program);
		fprintf(to, " (pid %d): %" PRIu32 " of ", (int)page->pid, count);
		terminal_text_put(to, pool->label);
		fputs(" just being opened or closed\n", to);
	}
}

static void put_page(FILE *to, const struct page *page, bool kept)
{
	for (size_t i = 0; i < page->session_count; i++) {
		if (is_left(page, &page->sessions[i], kept)) {
			put_page_session(to, page, &page->sessions[i]);
		}
	}
	for (size_t i = 0; page->paused && i < page->pool_count; i++) {
		put_under_way(to, page, &page->pools[i]);
	}
}

/* ---- by the keeper ---- */

static const char *value_of(const struct log_line *line, const char *key)
{
	const char *value = log_line_get(line, key);

	return value != NULL ? value : "";
}

/* It was told by its page, which knows more. */
static bool is_on_a_page(const struct pages *pages, const struct log_line *line)
{
	uint64_t pid = 0;
	uint64_t backend = 0;

	log_line_u64(line, "pid", &pid);
	log_line_u64(line, "backend", &backend);
	for (size_t i = 0; i < pages->count; i++) {
		const struct page *page = &pages->all[i];

		for (size_t j = 0; (uint64_t)page->pid == pid && j < page->session_count; j++) {
			const struct page_session *session = &page->sessions[j];

			if ((uint64_t)session->row.backend == backend &&
			    page_orders_are_taken(page) && is_left(page, session, true)) {
				return true;
			}
		}
	}
	return false;
}

static void put_shared_session(FILE *to, const struct log_line *line)
{
	uint64_t pid = 0;
	uint64_t since_ms = 0;

	log_line_u64(line, "pid", &pid);
	log_line_u64(line, "since_ms", &since_ms);
	put_session(to, value_of(line, "program"), (int64_t)pid, value_of(line, "pool"));
	if (log_line_get(line, "backend") != NULL) {
		fprintf(to, ", backend %s", value_of(line, "backend"));
	}
	put_use(to, since_ms, value_of(line, "place"));
	putc('\n', to);
}

static bool is_used(const struct log_line *line)
{
	const char *state = value_of(line, "state");

	return strcmp(state, "held") != 0 && strcmp(state, "idle") != 0;
}

static void put_keeper(FILE *to, const struct show_lines *keeper, const struct pages *pages)
{
	bool keeper_paused = false;

	for (size_t i = 0; i < keeper->count; i++) {
		const struct log_line *line = &keeper->all[i];
		uint64_t ending;

		if (show_lines_is(line, "keeper")) {
			keeper_paused = strcmp(value_of(line, "paused"), "yes") == 0;
		} else if (show_lines_is(line, "session")) {
			if ((strcmp(value_of(line, "drained"), "yes") == 0 ||
			     (keeper_paused && is_used(line))) &&
			    !is_on_a_page(pages, line)) {
				put_shared_session(to, line);
			}
		} else if (show_lines_is(line, "pool") &&
		           log_line_u64(line, "ending", &ending) && ending > 0) {
			fprintf(to, "keeper: %" PRIu64 " of ", ending);
			terminal_text_put(to, value_of(line, "pool"));
			fputs(" being ended by the server\n", to);
		}
	}
}

char *remaining_lines(const struct pages *pages, const struct show_lines *keeper)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL) {
		return xalloc_copy("", 0);
	}
	for (size_t i = 0; i < pages->count; i++) {
		if (pages->all[i].live && page_orders_are_taken(&pages->all[i])) {
			put_page(to, &pages->all[i], keeper->count > 0);
		}
	}
	put_keeper(to, keeper, pages);
	fclose(to);
	return text;
}
