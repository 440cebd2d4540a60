/* SPDX-License-Identifier: PostgreSQL */
/* What the status page of a process, living or dead, tells of its leases. */
#include "leaks/input/page_reader.h"

#include <err.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "common/pages/status_pages.h"
#include "common/xalloc.h"

/* As the log has them. */
static const char *const transactions[] = {
	[STATUS_TRANSACTION_UNKNOWN] = "unknown", [STATUS_TRANSACTION_IDLE] = "idle",
	[STATUS_TRANSACTION_ACTIVE] = "active",   [STATUS_TRANSACTION_OPEN] = "in_transaction",
	[STATUS_TRANSACTION_FAILED] = "failed",
};

/*
 * All are of processes of one number: the one that lives, else the last that had it. Of ended
 * ones of several users it cannot be known which one tells the truth.
 */
static const struct page *last_page(const struct pages *pages)
{
	const struct page *last = NULL;

	for (size_t i = 0; i < pages->count; i++) {
		const struct page *page = &pages->all[i];

		if (page->live) {
			return page;
		}
		if (last != NULL && last->owner != page->owner) {
			warnx("users %u and %u both have a page of an ended process %d: ask as "
			      "its user",
			      (unsigned)last->owner, (unsigned)page->owner, (int)page->pid);
			return NULL;
		}
		if (last == NULL || page->created_us > last->created_us) {
			last = page;
		}
	}
	return last;
}

static void add_lease(struct lease_list *list, struct process *process, const struct page *page,
                      const struct page_session *session)
{
	const struct status_session *row = &session->row;
	struct held *held = lease_list_find(process, row->lease);

	if (held == NULL) { /* a page may hold anything */
		held = lease_list_add(process, row->lease);
	}
	held->session = row->id;
	held->backend = row->backend;
	held->thread = row->tid;
	held->pool = lease_list_word(list, session->label);
	held->pooled = session->pool != NULL;
	held->began_us = row->began_us;
	held->hold_us = pages_held_ns(page, session) / NS_PER_US;
	held->stack = row->stack;
	if (row->transaction < sizeof(transactions) / sizeof(transactions[0])) {
		const char *word = transactions[row->transaction];

		held->transaction = xalloc_copy(word, strlen(word));
	}
	if (session->statement[0] != '\0') {
		held->statement = xalloc_copy(session->statement, strlen(session->statement));
	}
}

static void tell_gaps(const struct page *page)
{
	if (page->untold > 0) {
		warnx("%" PRIu64 " leases of process %d had no room on its status page",
		      page->untold, (int)page->pid);
	}
	if (page->torn > 0) {
		warnx("%zu leases of process %d were just being written to its status page",
		      page->torn, (int)page->pid);
	}
}

/* The page has the same pairs as the log's line. */
static void enter_stack(struct lease_list *list, struct process *process,
                        const struct page_stack *stack)
{
	const char *const texts[LEASE_LIST_TEXTS] = {stack->frames, stack->build_ids,
	                                             stack->script, stack->script_frames};

	lease_list_number(process, stack->id, lease_list_place(list, texts));
	if (stack->given_back) {
		lease_list_note_given_back(process, stack->id);
	}
}

/* The process, and what its page says of all its leases. */
static struct process *enter_process(struct lease_list *list, const struct page *page)
{
	struct process *process =
		lease_list_process(list, (struct owner){.pid = (int64_t)page->pid});

	process->program = lease_list_word(list, page->program);
	process->acquired = page->acquired;
	process->released = page->released;
	process->first_us = page->created_us;
	process->last_us = page->ended_us != 0 ? page->ended_us : page->read_us;
	process->running = page->live;
	process->ended = !page->live;
	for (size_t i = 0; i < page->stack_count; i++) {
		enter_stack(list, process, &page->stacks[i]);
	}
	return process;
}

void page_reader_enter(struct lease_list *list, const struct page *page,
                       const struct page_session *session)
{
	add_lease(list, enter_process(list, page), page, session);
}

static void enter(struct lease_list *list, const struct page *page)
{
	struct process *process = enter_process(list, page);

	for (size_t i = 0; i < page->session_count; i++) {
		if (page->sessions[i].row.state == STATUS_SESSION_LEASED) {
			add_lease(list, process, page, &page->sessions[i]);
		}
	}
	tell_gaps(page);
	if (page->foreign) {
		list->foreign = true;
		warnx("process %d: as user %u tells", (int)page->pid, (unsigned)page->owner);
	}
}

bool page_reader_read(struct lease_list *list, pid_t pid)
{
	struct pages pages;
	const struct page *page = NULL;

	if (pages_read(&pages, pid, PAGES_OF_ALL, pages_warn)) {
		page = last_page(&pages);
		if (page != NULL) {
			enter(list, page);
		}
	}
	pages_free(&pages);
	return page != NULL;
}
