/* SPDX-License-Identifier: PostgreSQL */
/*
 * One status page, read from its file.
 *
 * The file is read, never mapped: one that is cut short meanwhile reads short. A row is
 * read until two readings in a row agree.
 */
#include "common/pages/page_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log/log_line.h"
#include "common/xalloc.h"

#define NONE  UINT32_MAX
#define TRIES 20 /* for a row to hold still */

#define STACKS_MAX (STATUS_STACKS_BYTES / 64) /* none is shorter than that */

/* A row that begins with its generation, twice the same; false: it never held still. */
static bool read_row(int fd, size_t offset, void *row, void *again, size_t size)
{
	uint32_t generation;

	for (int i = 0; i < TRIES; i++) {
		if (pread(fd, row, size, (off_t)offset) != (ssize_t)size ||
		    pread(fd, again, size, (off_t)offset) != (ssize_t)size) {
			memset(row, 0, size);
			return false;
		}
		memcpy(&generation, row, sizeof(generation));
		if (generation % 2 == 0 && memcmp(row, again, size) == 0) {
			return true;
		}
	}
	return false;
}

/* A string that may lack its end. */
static char *copy_string(const char *s, size_t size)
{
	return xalloc_copy(s, strnlen(s, size));
}

/* `of_row` gets the place of each row's pool, NONE for free ones. */
static void read_pools(struct page *page, int fd, uint32_t rows, uint32_t *of_row)
{
	struct status_pool again;

	page->pools = xalloc_new(rows, sizeof(*page->pools));
	for (uint32_t i = 0; i < rows; i++) {
		struct page_pool *pool = &page->pools[page->pool_count];

		/* Of one that is never still the counters are good all the same. */
		read_row(fd, STATUS_POOLS_AT + i * sizeof(pool->row), &pool->row, &again,
		         sizeof(pool->row));
		of_row[i] = NONE;
		if (pool->row.state == STATUS_POOL_USED) {
			pool->number = i;
			pool->label = copy_string((const char *)&pool->row +
			                                  offsetof(struct status_pool, label),
			                          status_label_bytes(page->version));
			of_row[i] = (uint32_t)page->pool_count++;
		}
	}
}

static char *value_of(const struct log_line *line, const char *key)
{
	const char *value = log_line_get(line, key);

	return copy_string(value != NULL ? value : "", SIZE_MAX);
}

static void add_stack(struct page *page, const struct status_stack *entry, const char *text)
{
	size_t n = entry->bytes;
	struct page_stack *stack;
	struct log_line line = {0};
	char *copy;

	page->stacks =
		xalloc_resize(page->stacks, page->stack_count + 1, sizeof(*page->stacks));
	stack = &page->stacks[page->stack_count++];
	stack->id = entry->id & ~STATUS_GIVEN_BACK;
	stack->given_back = (entry->id & STATUS_GIVEN_BACK) != 0;
	stack->foreign = page->foreign;
	stack->text = copy_string(text, n);
	copy = copy_string(text, n);
	if (!log_line_parse(&line, copy)) {
		line.count = 0;
	}
	stack->frames = value_of(&line, "frames");
	stack->build_ids = value_of(&line, "build_ids");
	stack->script = value_of(&line, "script");
	stack->script_frames = value_of(&line, "script_frames");
	free(copy);
}

/* Up to `size` bytes at `offset`; `*got` is how many there are. */
static char *read_area(int fd, size_t offset, size_t size, size_t *got)
{
	char *bytes = xalloc_new(size, 1);
	ssize_t n = 0;

	*got = 0;
	while (*got < size &&
	       (n = pread(fd, bytes + *got, size - *got, (off_t)(offset + *got))) > 0) {
		*got += (size_t)n;
	}
	return bytes;
}

static void read_stacks(struct page *page, int fd, uint32_t bytes)
{
	size_t got;
	char *area = read_area(fd, STATUS_STACKS_AT, bytes, &got);
	struct status_stack entry;
	size_t at = 0;

	while (at < got && got - at >= sizeof(entry) && page->stack_count < STACKS_MAX) {
		memcpy(&entry, area + at, sizeof(entry));
		if (entry.id == 0 || entry.bytes > got - at - sizeof(entry)) {
			break;
		}
		add_stack(page, &entry, area + at + sizeof(entry));
		at += (sizeof(entry) + (size_t)entry.bytes + 7) & ~(size_t)7;
	}
	free(area);
}

static void add_session(struct page *page, const struct status_session *row,
                        const struct page_pool *pool)
{
	struct page_session *session = &page->sessions[page->session_count++];

	session->row = *row;
	session->pool = pool;
	session->label = pool != NULL ? pool->label : "not pooled";
	session->statement =
		copy_string(row->statement, row->spoken != 0 ? sizeof(row->statement) : 0);
}

static void read_sessions(struct page *page, int fd, uint32_t rows, const uint32_t *pool_of_row,
                          uint32_t pool_rows)
{
	struct status_session row;
	struct status_session again;

	page->sessions = xalloc_new(rows, sizeof(*page->sessions));
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t pool = NONE;

		if (!read_row(fd, STATUS_SESSIONS_AT + i * sizeof(row), &row, &again,
		              sizeof(row))) {
			page->torn++;
			continue;
		}
		if (row.pool < pool_rows) {
			pool = pool_of_row[row.pool];
		}
		if (row.state == STATUS_SESSION_IDLE || row.state == STATUS_SESSION_LEASED) {
			add_session(page, &row, pool != NONE ? &page->pools[pool] : NULL);
		}
	}
}

static int compare_stacks(const void *a, const void *b)
{
	const struct page_stack *x = a;
	const struct page_stack *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static void link_stacks(struct page *page)
{
	if (page->stack_count == 0) {
		return;
	}
	qsort(page->stacks, page->stack_count, sizeof(*page->stacks), compare_stacks);
	for (size_t i = 0; i < page->session_count; i++) {
		struct page_stack wanted = {.id = page->sessions[i].row.stack};

		page->sessions[i].stack = bsearch(&wanted, page->stacks, page->stack_count,
		                                  sizeof(wanted), compare_stacks);
	}
}

static uint32_t at_most(uint32_t n, uint32_t max)
{
	return n < max ? n : max;
}

void page_file_read(struct page *page, int fd, const struct status_head *head)
{
	uint32_t pool_rows = at_most(head->pools, STATUS_POOLS_MAX);
	uint32_t *pool_of_row = xalloc_new(pool_rows, sizeof(*pool_of_row));
	struct status_head now = *head;

	page->version = head->version;
	page->created_us = head->created_us;
	page->acquired = head->acquired;
	page->released = head->released;
	page->untold = head->untold;
	page->program = copy_string(head->program, sizeof(head->program));
	page->config = copy_string(head->config, sizeof(head->config));
	for (size_t i = 0; i < STATUS_REASONS; i++) {
		memcpy(page->reasons[i], head->reasons[i], STATUS_REASON_BYTES - 1);
	}
	read_pools(page, fd, pool_rows, pool_of_row);
	for (size_t i = 0; i < page->pool_count && head->version > 1; i++) {
		page->acquired += page->pools[i].row.acquired;
		page->released += page->pools[i].row.released;
	}
	read_sessions(page, fd, at_most(head->sessions, STATUS_SESSIONS_MAX), pool_of_row,
	              pool_rows);
	free(pool_of_row);
	/* A stack is there before the first lease that names it: so they are read last. */
	if (pread(fd, &now, sizeof(now), 0) == (ssize_t)sizeof(now)) {
		read_stacks(page, fd, at_most(now.stack_bytes, STATUS_STACKS_BYTES));
	}
	link_stacks(page);
}

void page_file_free(struct page *page)
{
	for (size_t i = 0; i < page->pool_count; i++) {
		free(page->pools[i].label);
	}
	for (size_t i = 0; i < page->session_count; i++) {
		free(page->sessions[i].statement);
	}
	for (size_t i = 0; i < page->stack_count; i++) {
		free(page->stacks[i].text);
		free(page->stacks[i].frames);
		free(page->stacks[i].build_ids);
		free(page->stacks[i].script);
		free(page->stacks[i].script_frames);
	}
	free(page->pools);
	free(page->sessions);
	free(page->stacks);
	free(page->program);
	free(page->config);
}
