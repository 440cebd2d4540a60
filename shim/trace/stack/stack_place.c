/* SPDX-License-Identifier: PostgreSQL */
/* Tells which stacks are of one place. */
#include "trace/stack/stack_place.h"

#include <stdlib.h>
#include <string.h>

#include "base/text/hash.h"

/* A script's place; the key lies in the frames of its first stack. */
struct place {
	uint32_t first;
	UT_hash_handle hh;
};

static struct place *places;

/* How much of a script's frames, from the innermost on, leads out to the script's own line. */
static size_t bytes_of_place(const struct stack *stack)
{
	const char *frame = stack->script_frames;
	size_t len = strlen(stack->script);

	while (strncmp(frame, stack->script, len) != 0 || frame[len] != '(') {
		frame = strchr(frame, ' ');
		if (frame == NULL) {
			return strlen(stack->script_frames);
		}
		frame++;
	}
	return (size_t)(frame - stack->script_frames) + len;
}

uint32_t script_place(const struct stack *stack)
{
	struct place *place = NULL;
	size_t bytes;

	if (stack->script == NULL) {
		return stack->id;
	}
	bytes = bytes_of_place(stack);
	HASH_FIND(hh, places, stack->script_frames, bytes, place);
	if (place != NULL) {
		return place->first;
	}
	place = calloc(1, sizeof(*place));
	if (place != NULL) {
		place->first = stack->id;
		HASH_ADD_KEYPTR(hh, places, stack->script_frames, bytes, place);
		if (place->hh.tbl == NULL) {
			free(place);
		}
	}
	return stack->id;
}
