/* SPDX-License-Identifier: PostgreSQL */
/* The stacks that a thread captured last, recognised without unwinding. */
#include "trace/stack/stack_cache.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/thread/thread_block.h"

/* Where a thread connects and where it finishes, for two such places. */
#define STACKS_MAX 4

struct kept {
	struct stack_cache_key key;
	uint32_t id; /* 0: none is kept */
	struct stack_cache_walk walk;
};

struct memory {
	struct kept stacks[STACKS_MAX];
	unsigned next; /* the one to be replaced */
};

_Static_assert(sizeof(struct memory) <= sizeof(((struct thread_block *)0)->stacks),
               "the stacks fit into their part");

static void note(struct stack_cache_walk *walk, uintptr_t place, const struct unwind *begun)
{
	if (place == 0) {
		return;
	}
	if (!walk->usable || walk->count == STACK_CACHE_MAX) {
		walk->usable = false;
		return;
	}
	walk->places[walk->count] = place;
	walk->words[walk->count++] =
		place < UNWIND_REGISTERS ? begun->registers[place] : *(const uintptr_t *)place;
}

void stack_cache_note(struct stack_cache_walk *walk, const struct unwind *frame,
                      const struct unwind *begun)
{
	if (!frame->plain) {
		stack_cache_give_up(walk);
		return;
	}
	note(walk, frame->base_word, begun);
	note(walk, frame->address_word, begun);
}

static bool is_same(const struct stack_cache_key *a, const struct stack_cache_key *b)
{
	return a->pointer == b->pointer && a->caller == b->caller && a->depth == b->depth &&
	       a->loads == b->loads;
}

void stack_cache_keep(const struct stack_cache_key *key, const struct stack_cache_walk *walk,
                      uint32_t id)
{
	struct memory *memory = THREAD_PART(struct memory, stacks);
	struct kept *place;

	if (memory == NULL || !walk->usable || id == 0) {
		return;
	}
	place = &memory->stacks[memory->next++ % STACKS_MAX];
	/* Not to be found by a signal handler while it is half written. */
	place->id = 0;
	atomic_signal_fence(memory_order_seq_cst);
	place->key = *key;
	place->walk.count = walk->count;
	memcpy(place->walk.places, walk->places, walk->count * sizeof(walk->places[0]));
	memcpy(place->walk.words, walk->words, walk->count * sizeof(walk->words[0]));
	atomic_signal_fence(memory_order_seq_cst);
	place->id = id;
}

/* Each word is read only where the stack reaches as far as it did. */
static bool still_there(const struct stack_cache_walk *walk, struct unwind *begun)
{
	for (unsigned i = 0; i < walk->count; i++) {
		uintptr_t place = walk->places[i];

		if (place >= UNWIND_REGISTERS && !own_stack_has(&begun->stack, place)) {
			return false;
		}
		if ((place < UNWIND_REGISTERS ? begun->registers[place]
		                              : *(const uintptr_t *)place) != walk->words[i]) {
			return false;
		}
	}
	return true;
}

uint32_t stack_cache_find(const struct stack_cache_key *key, struct unwind *begun)
{
	const struct memory *memory = THREAD_PART(struct memory, stacks);

	for (unsigned i = 0; memory != NULL && i < STACKS_MAX; i++) {
		const struct kept *stack = &memory->stacks[i];
		uint32_t id = stack->id;

		atomic_signal_fence(memory_order_seq_cst);
		if (id != 0 && is_same(&stack->key, key) && still_there(&stack->walk, begun)) {
			return id;
		}
	}
	return 0;
}
