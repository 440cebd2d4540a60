/* SPDX-License-Identifier: PostgreSQL */
/* The stacks that a thread captured last, recognised without unwinding. */
#include "trace/recall.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/thread_block.h"

/* More are not kept: a thread's own memory is dear, and the outermost frames are alike. */
#define KEPT_MAX 24

/* Where a thread connects and where it finishes, for two such places. */
#define STACKS_MAX 4

struct kept {
	struct recall_key key;
	uint32_t id; /* 0: none is kept */
	unsigned depth;
	const uintptr_t *slots[KEPT_MAX];
	uintptr_t returns[KEPT_MAX];
};

struct memory {
	struct kept stacks[STACKS_MAX];
	unsigned next; /* the one to be replaced */
};

_Static_assert(sizeof(struct memory) <= sizeof(((struct thread_block *)0)->stacks),
               "the stacks fit into their part");

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

static bool is_same(const struct recall_key *a, const struct recall_key *b)
{
	return a->frame == b->frame && a->caller == b->caller && a->depth == b->depth &&
	       a->modules == b->modules;
}

void recall_keep(const struct recall_key *key, const struct recall_walk *walk, uint32_t id)
{
	struct memory *memory = THREAD_PART(struct memory, stacks);
	struct kept *place;

	if (memory == NULL || !walk->usable || walk->depth > KEPT_MAX || id == 0) {
		return;
	}
	place = &memory->stacks[memory->next++ % STACKS_MAX];
	/* Not to be found by a signal handler while it is half written. */
	place->id = 0;
	atomic_signal_fence(memory_order_seq_cst);
	place->key = *key;
	place->depth = walk->depth;
	memcpy(place->slots, walk->slots, walk->depth * sizeof(place->slots[0]));
	memcpy(place->returns, walk->returns, walk->depth * sizeof(place->returns[0]));
	atomic_signal_fence(memory_order_seq_cst);
	place->id = id;
}

/* With this frame address the thread's stack reaches at least as far as it did then. */
static bool still_there(const struct kept *stack)
{
	for (unsigned i = 0; i < stack->depth; i++) {
		if (*stack->slots[i] != stack->returns[i]) {
			return false;
		}
	}
	return true;
}

uint32_t recall_find(const struct recall_key *key)
{
	const struct memory *memory = THREAD_PART(struct memory, stacks);

	for (unsigned i = 0; memory != NULL && i < STACKS_MAX; i++) {
		const struct kept *stack = &memory->stacks[i];
		uint32_t id = stack->id;

		atomic_signal_fence(memory_order_seq_cst);
		if (id != 0 && is_same(&stack->key, key) && still_there(stack)) {
			return id;
		}
	}
	return 0;
}
