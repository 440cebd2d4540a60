/* SPDX-License-Identifier: PostgreSQL */
/*
 * The stacks that a thread captured last, recognised without unwinding: a program that
 * connects for every request does so from the same places again and again, and unwinding
 * costs a hundred times what the comparison does.
 *
 * A stack is the same if it is captured with the same stack pointer, and each word that led the
 * walk from frame to frame is still there: the return addresses, and the frame pointers of
 * functions that go by them. So it makes no difference whose stack it was before, as with
 * coroutines whose frames are copied to and fro at the same addresses.
 *
 * State is the thread's own. Fork and signals: nothing to do.
 */
#ifndef PQPOOL_TRACE_STACK_STACK_CACHE_H
#define PQPOOL_TRACE_STACK_STACK_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/unwind/unwind.h"

/* More are not kept: a thread's own memory is dear, and the outermost frames are alike. */
#define STACK_CACHE_MAX 24

/* The words that a walk has come by; a place below UNWIND_REGISTERS is a register. */
struct stack_cache_walk {
	bool usable;
	unsigned count;
	uintptr_t places[STACK_CACHE_MAX];
	uintptr_t words[STACK_CACHE_MAX];
};

/* What a stack was captured for; it is the same only if all of this is. */
struct stack_cache_key {
	uintptr_t pointer;  /* of the function that captures */
	const void *caller; /* the return address where it begins */
	unsigned depth;
	unsigned long long loads; /* dl_loads() */
};

static inline void stack_cache_begin(struct stack_cache_walk *walk)
{
	walk->usable = true;
	walk->count = 0;
}

/* The walk cannot be told from another one by words of the stack. */
static inline void stack_cache_give_up(struct stack_cache_walk *walk)
{
	walk->usable = false;
}

/*
 * The frame that the walk has come to, or what it has ended by. `begun` is the walk at its
 * beginning.
 */
void stack_cache_note(struct stack_cache_walk *walk, const struct unwind *frame,
                      const struct unwind *begun);

/* Remembers the stack that was walked, by its number. */
COLD void stack_cache_keep(const struct stack_cache_key *key,
                           const struct stack_cache_walk *walk, uint32_t id);

/* The number of the stack that the thread is on, if it is one of those kept; else 0. */
uint32_t stack_cache_find(const struct stack_cache_key *key, struct unwind *begun);

#endif
