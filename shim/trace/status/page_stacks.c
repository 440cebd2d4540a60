/* SPDX-License-Identifier: PostgreSQL */
/* The status page's call stacks. */
#include "trace/status/page_stacks.h"

#include "base/text/logfmt.h"
#include "base/text/strbuf.h"
#include "trace/log/record.h"
#include "trace/status/page_file.h"
#include "trace/status/status_format.h"

/* The area grows by so much. */
#define STACKS_BYTES 16384U
/* Room for the text of one stack; what does not fit is cut. */
#define STACK_BYTES  4096U

static uint32_t size; /* bytes that exist */
static uint32_t used;

static struct status_stack *entry_at(char *base, uint32_t at)
{
	return (struct status_stack *)(void *)(base + STATUS_STACKS_AT + at);
}

static uint32_t entry_bytes(const struct status_stack *entry)
{
	return (uint32_t)((sizeof(*entry) + entry->bytes + 7) & ~(size_t)7);
}

bool page_stacks_begin(void)
{
	size = 0;
	used = 0;
	if (!page_file_grow(STATUS_STACKS_AT, STACKS_BYTES)) {
		return false;
	}
	size = STACKS_BYTES;
	return true;
}

/* Makes room for one more entry. */
static bool make_room(void)
{
	uint32_t wanted = used + (uint32_t)sizeof(struct status_stack) + STACK_BYTES;

	if (wanted <= size) {
		return true;
	}
	if (size + STACKS_BYTES > STATUS_STACKS_BYTES ||
	    !page_file_grow(STATUS_STACKS_AT + size, STACKS_BYTES)) {
		return false;
	}
	size += STACKS_BYTES;
	return true;
}

void page_stacks_add(char *base, const struct stack *stack)
{
	struct status_stack *entry = entry_at(base, used);
	struct status_head *head = (struct status_head *)(void *)base;
	struct strbuf t;

	if (!make_room()) {
		return;
	}
	strbuf_init(&t, entry->text, STACK_BYTES);
	if (stack->script != NULL) {
		strbuf_str(&t, "script=");
		logfmt_value(&t, stack->script);
	}
	record_describe_stack(&t, stack);
	entry->id = stack->id | (stack_gives_back(stack->id) ? STATUS_GIVEN_BACK : 0);
	entry->bytes = (uint32_t)t.len;
	used += entry_bytes(entry);
	__atomic_store_n(&head->stack_bytes, used, __ATOMIC_RELEASE);
}

void page_stacks_given_back(char *base, uint32_t stack)
{
	for (uint32_t at = 0; at < used; at += entry_bytes(entry_at(base, at))) {
		struct status_stack *entry = entry_at(base, at);

		if (entry->id == stack) {
			__atomic_store_n(&entry->id, stack | STATUS_GIVEN_BACK,
			                 __ATOMIC_RELAXED);
		}
	}
}
