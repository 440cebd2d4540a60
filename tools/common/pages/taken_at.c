/* SPDX-License-Identifier: PostgreSQL */
/* Where a lease was taken, in one word for a table. */
#include "common/pages/taken_at.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/elf/build_id.h"
#include "base/elf/symbol.h"
#include "base/text/hash.h"
#include "common/symbols/call_frames.h"
#include "common/symbols/demangle.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"

#define NAME_BYTES 256

/* Looking through a module's symbols takes long enough to be done once. */
struct label {
	char *shown;
	UT_hash_handle hh;
	char key[]; /* the stack's text */
};

static struct label *labels;

/* A module that was rebuilt since has other functions there. */
static bool is_same_build(const struct frame *frame)
{
	char buf[BUILD_ID_MAX];
	struct strbuf id;

	strbuf_init(&id, buf, sizeof(buf));
	return build_id_of_file(frame->module, &id) && strcmp(buf, frame->build_id) == 0;
}

/* What a page of another user's names is not opened. */
static char *describe_frame(const struct frame *frame, bool foreign)
{
	char name[NAME_BYTES] = "";
	char *text;
	char *shown;

	if (frame->symbol[0] != '\0') {
		snprintf(name, sizeof(name), "%s", frame->symbol);
	} else if (!foreign && frame->module[0] == '/' && frame->build_id[0] != '\0' &&
	           is_same_build(frame)) {
		symbol_nearest(frame->module, (uintptr_t)frame->offset, name, sizeof(name));
	}
	if (name[0] != '\0') {
		text = foreign ? xalloc_copy(name, strlen(name)) : demangle(name);
		shown = terminal_text(text);
		free(text);
		return shown;
	}
	if (asprintf(&text, "%s+0x%llx", frame->module, (unsigned long long)frame->offset) <
	    0) {
		return xalloc_copy("?", 1);
	}
	shown = terminal_text(text);
	free(text);
	return shown;
}

static char *describe(const struct page_stack *stack)
{
	struct frames frames;
	char *shown;

	if (stack->script[0] != '\0') {
		return terminal_text(stack->script);
	}
	frames_parse(&frames, stack->frames, stack->build_ids);
	shown = frames.count > 0 ? describe_frame(&frames.all[0], stack->foreign)
	                         : xalloc_copy("?", 1);
	frames_free(&frames);
	return shown;
}

const char *taken_at(const struct page_session *session)
{
	const struct page_stack *stack = session->stack;
	struct label *label;
	size_t n;

	if (stack == NULL) {
		return "?";
	}
	n = strlen(stack->text);
	HASH_FIND(hh, labels, stack->text, n, label);
	if (label == NULL) {
		label = xalloc_new(1, sizeof(*label) + n + 1);
		memcpy(label->key, stack->text, n);
		label->shown = describe(stack);
		HASH_ADD_KEYPTR(hh, labels, label->key, n, label);
		xalloc_added(label->hh.tbl);
	}
	return label->shown;
}
