/* SPDX-License-Identifier: PostgreSQL */
/* What the line event=stack says of a call stack. */
#include "trace/log/stack_pairs.h"

#include "trace/log/pairs.h"

/* Frames are separated by spaces, so a space in a path is written \x20. */
static void put_path(struct strbuf *t, const char *path)
{
	for (; *path != '\0' && !t->cut; path++) {
		pair_quote_str(t, *path == ' ' ? "\\x20" : (const char[]){*path, '\0'});
	}
}

static void put_frame(struct strbuf *t, const struct stack_frame *frame)
{
	put_path(t, frame->module != NULL ? frame->module->path : "?");
	strbuf_char(t, '+');
	strbuf_hex(t, frame->offset);
	if (frame->symbol != NULL) {
		strbuf_char(t, '(');
		put_path(t, frame->symbol);
		strbuf_char(t, ')');
	}
}

static void put_frames(struct strbuf *t, const struct stack *stack)
{
	if (!pair_quote_start(t, "frames")) {
		return;
	}
	for (uint32_t i = 0; i < stack->depth && !t->cut; i++) {
		size_t start = t->len;

		strbuf_str(t, i > 0 ? " " : NULL);
		put_frame(t, &stack->frames[i]);
		pair_end(t, start);
	}
	pair_quote_end(t);
}

static bool seen_before(const struct stack *stack, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (stack->frames[j].module == stack->frames[i].module) {
			return true;
		}
	}
	return false;
}

static void put_build_ids(struct strbuf *t, const struct stack *stack)
{
	size_t before = t->len;
	bool any = false;

	if (!pair_quote_start(t, "build_ids")) {
		return;
	}
	for (uint32_t i = 0; i < stack->depth && !t->cut; i++) {
		const struct stack_module *module = stack->frames[i].module;
		size_t start = t->len;

		if (module == NULL || module->build_id[0] == '\0' || seen_before(stack, i)) {
			continue;
		}
		strbuf_str(t, any ? " " : NULL);
		put_path(t, module->path);
		strbuf_char(t, '=');
		strbuf_str(t, module->build_id);
		pair_end(t, start);
		any = any || !t->cut;
	}
	pair_quote_end(t);
	if (!any) {
		pair_undo(t, before);
	}
}

void stack_pairs_put(struct strbuf *t, const struct stack *stack)
{
	if (stack->script_frames != NULL) {
		pair_str(t, "script_frames", stack->script_frames);
	}
	put_frames(t, stack);
	put_build_ids(t, stack);
}
