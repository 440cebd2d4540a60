/* SPDX-License-Identifier: PostgreSQL */
/* The stack that a thread captured last, recognised without unwinding. */
#include "trace/recall.h"

#include <stddef.h>
#include <string.h>

/* More are not kept: a thread's own memory is dear, and the outermost frames are alike. */
#define KEPT_MAX 24

static _Thread_local struct {
	struct recall_key key;
	uint32_t id; /* 0: none is kept */
	unsigned depth;
	const uintptr_t *slots[KEPT_MAX];
	uintptr_t returns[KEPT_MAX];
} kept;

void recall_note(struct recall_walk *walk, uintptr_t address, uintptr_t frame)
{
	const uintptr_t *slot = (const uintptr_t *)(frame - sizeof(uintptr_t));

	if (!walk->usable || walk->depth == RECALL_MAX || *slot != address) {
		walk->usable = false;
		return;
	}
	walk->slots[walk->depth] = slot;
	walk->returns[walk->depth++] = address;
}

void recall_keep(const struct recall_key *key, const struct recall_walk *walk, uint32_t id)
{
	kept.id = 0;
	if (!walk->usable || walk->depth == 0 || walk->depth > KEPT_MAX) {
		return;
	}
	kept.key = *key;
	kept.depth = walk->depth;
	memcpy(kept.slots, walk->slots, walk->depth * sizeof(kept.slots[0]));
	memcpy(kept.returns, walk->returns, walk->depth * sizeof(kept.returns[0]));
	kept.id = id;
}

uint32_t recall_find(const struct recall_key *key)
{
	if (kept.id == 0 || kept.key.frame != key->frame || kept.key.caller != key->caller ||
	    kept.key.depth != key->depth || kept.key.modules != key->modules) {
		return 0;
	}
	/* With this frame address the thread's stack reaches at least as far as it did then. */
	for (unsigned i = 0; i < kept.depth; i++) {
		if (*kept.slots[i] != kept.returns[i]) {
			return 0;
		}
	}
	return kept.id;
}
