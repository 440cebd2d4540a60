/* SPDX-License-Identifier: PostgreSQL */
/*
 * Status pages that another user's process may have made. Input: three counts of the head, a
 * byte each, times 64; then pieces of the file: where they go (an area and a row), how long
 * they are, their bytes.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
#include "common/pages/page_file.h"

/* A row of the pools or the sessions, the head, or a byte of the stacks. */
static off_t take_place(struct bytes *b)
{
	uint8_t area = take_byte(b) % 4;
	uint16_t row = take_number(b);

	return area == 0 ? STATUS_POOLS_AT +
	                           row % STATUS_POOLS_MAX * (off_t)sizeof(struct status_pool)
	       : area == 1 ? STATUS_SESSIONS_AT + row % STATUS_SESSIONS_MAX *
	                                                  (off_t)sizeof(struct status_session)
	       : area == 2 ? STATUS_STACKS_AT + row
	                   : row % (off_t)sizeof(struct status_head);
}

static void write_page(int fd, struct bytes *b)
{
	struct status_head head = {.magic = STATUS_MAGIC, .version = STATUS_VERSION, .pid = 1};

	head.pools = take_byte(b) * 4U;
	head.sessions = take_byte(b) * 4U;
	head.stack_bytes = take_byte(b) * 256U;
	require(pwrite(fd, &head, sizeof(head), 0) == sizeof(head));
	while (b->left > 0) {
		off_t place = take_place(b);
		struct bytes piece = take_bytes(b, take_byte(b) * 4U);

		require(pwrite(fd, piece.at, piece.left, place) == (ssize_t)piece.left);
	}
}

static size_t length_of(const char *text)
{
	require(text != NULL);
	return strlen(text);
}

/* What status_pages.h promises of every page. */
static void require_valid(const struct page *page)
{
	size_t length = length_of(page->program);

	require(page->pool_count <= STATUS_POOLS_MAX &&
	        page->session_count <= STATUS_SESSIONS_MAX);
	for (size_t i = 0; i < STATUS_REASONS; i++) {
		length += length_of(page->reasons[i]);
	}
	for (size_t i = 0; i < page->pool_count; i++) {
		require(page->pools[i].row.state == STATUS_POOL_USED);
		length += length_of(page->pools[i].label);
	}
	for (size_t i = 0; i < page->stack_count; i++) {
		const struct page_stack *stack = &page->stacks[i];

		length += length_of(stack->text) + length_of(stack->frames) +
		          length_of(stack->build_ids) + length_of(stack->script) +
		          length_of(stack->script_frames);
	}
	for (size_t i = 0; i < page->session_count; i++) {
		const struct page_session *session = &page->sessions[i];

		length += length_of(session->label) + length_of(session->statement);
		require(session->row.state != STATUS_SESSION_FREE);
		require(session->stack == NULL || session->stack->id == session->row.stack);
		pages_held_ns(page, session);
	}
	require(length <= STATUS_BYTES * 3UL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	int fd = memfd_create("page", MFD_CLOEXEC);
	struct status_head head = {0};
	struct page page = {0};

	require(fd >= 0);
	write_page(fd, &b);
	if (pread(fd, &head, sizeof(head), 0) == sizeof(head) && status_is_page(&head)) {
		page_file_read(&page, fd, &head);
		require_valid(&page);
		page_file_free(&page);
	}
	close(fd);
	return 0;
}
