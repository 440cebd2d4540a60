/* SPDX-License-Identifier: PostgreSQL */
/* What the keeper tells of the sessions that it has lent. */
#include "leaks/input/keeper_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/keeper/command.h"
#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"
#include "common/xalloc.h"
#include "leaks/input/page_reader.h"

/* Who has a session. */
struct holder {
	uint64_t pid;
	uint64_t backend;
	uint64_t since_ms;
	const char *program;
	const char *pool;
	const char *place;
};

static bool is_leased(const struct log_line *line, pid_t pid, struct holder *holder)
{
	const char *state = log_line_get(line, "state");

	holder->program = log_line_get(line, "program");
	holder->pool = log_line_get(line, "pool");
	holder->place = log_line_get(line, "place");
	return show_lines_is(line, "session") && state != NULL &&
	       strcmp(state, "leased") == 0 && holder->program != NULL &&
	       holder->pool != NULL && log_line_u64(line, "pid", &holder->pid) &&
	       log_line_u64(line, "backend", &holder->backend) &&
	       log_line_u64(line, "since_ms", &holder->since_ms) &&
	       (pid == 0 || holder->pid == (uint64_t)pid);
}

/* ---- by its page ---- */

static bool enter_by_page(struct lease_list *list, const struct pages *pages,
                          const struct holder *holder)
{
	for (size_t i = 0; i < pages->count; i++) {
		const struct page *page = &pages->all[i];

		if (!page->live || (uint64_t)page->pid != holder->pid) {
			continue;
		}
		for (size_t j = 0; j < page->session_count; j++) {
			const struct page_session *session = &page->sessions[j];

			if (session->row.state == STATUS_SESSION_LEASED &&
			    (uint64_t)session->row.backend == holder->backend) {
				page_reader_enter(list, page, session);
				return true;
			}
		}
	}
	return false;
}

/* ---- by the keeper's line ---- */

/* "app+0x1205 (main)" as a frame of the log's, malloc'ed; NULL: it is a script's line. */
static char *as_frame(const char *place)
{
	const char *offset = strstr(place, "+0x");
	char *text = NULL;
	size_t size = 0;
	FILE *to = offset != NULL ? open_memstream(&text, &size) : NULL;

	if (to == NULL) {
		return NULL;
	}
	for (const char *at = place; *at != '\0'; at++) {
		if (*at != ' ') {
			putc(*at, to);
		} else if (at < offset) {
			fputs("\\x20", to);
		}
	}
	fclose(to);
	return text;
}

static void enter_place(struct lease_list *list, struct process *process, struct held *held,
                        const char *place)
{
	char *frame = as_frame(place);
	const char *const texts[LEASE_LIST_TEXTS] = {frame != NULL ? frame : "", "", "", ""};

	if (frame != NULL) {
		const struct place *found = lease_list_place(list, texts);

		/* What a process numbers itself fits 32 bits. */
		held->stack = (UINT64_C(1) << 32) + found->number;
		lease_list_number(process, held->stack, found);
		free(frame);
	} else {
		held->script = xalloc_copy(place, strlen(place));
	}
}

static void enter_by_line(struct lease_list *list, const struct holder *holder)
{
	struct process *process =
		lease_list_process(list, (struct owner){.pid = (int64_t)holder->pid});
	uint64_t now_us = clock_wall_us();
	struct held *held;

	process->program = lease_list_word(list, holder->program);
	process->running = true;
	process->last_us = now_us;
	/* Its number is not known. */
	if (lease_list_find(process, holder->backend) != NULL) {
		return;
	}
	held = lease_list_add(process, holder->backend);
	held->by_keeper = true;
	held->backend = (int64_t)holder->backend;
	held->pool = lease_list_word(list, holder->pool);
	held->pooled = true;
	held->hold_us = holder->since_ms * 1000;
	held->began_us = now_us - held->hold_us;
	if (process->first_us == 0 || held->began_us < process->first_us) {
		process->first_us = held->began_us;
	}
	if (holder->place != NULL) {
		enter_place(list, process, held, holder->place);
	}
}

bool keeper_reader_read(struct lease_list *list, pid_t pid)
{
	char *text = keeper_show();
	bool found = text != NULL && pid == 0;
	struct show_lines lines;
	struct pages pages;

	if (text == NULL) {
		return false;
	}
	show_lines_parse(&lines, text);
	pages_read(&pages, pid, PAGES_OF_USER, pages_warn);
	for (size_t i = 0; i < lines.count; i++) {
		struct holder holder;

		if (is_leased(&lines.all[i], pid, &holder)) {
			found = true;
			if (!enter_by_page(list, &pages, &holder)) {
				enter_by_line(list, &holder);
			}
		}
	}
	pages_free(&pages);
	show_lines_free(&lines);
	return found;
}
