/* SPDX-License-Identifier: PostgreSQL */
/*
 * The stacks that a thread captured last, recognised without unwinding: a program that
 * connects for every request does so from the same places again and again, and unwinding
 * costs a hundred times what the comparison does.
 *
 * A stack is the same if it is captured with the same frame address, and each return address
 * still lies where it was met. A return address and the place where it lies determine the
 * next one's place, as long as the function around it has a frame of fixed size; for others
 * (alloca, variable arrays) a stack of another path could be taken for the one before if
 * stale words happened to lie in all the right places.
 *
 * Only where return addresses lie on the stack below what the unwinder calls the frame's
 * address (x86); elsewhere nothing is recognised. State is the thread's own. Fork and
 * signals: nothing to do.
 */
#ifndef PQPOOL_TRACE_RECALL_H
#define PQPOOL_TRACE_RECALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"

#define RECALL_MAX 64

/* A stack as it is being unwound. */
struct recall_walk {
	bool usable;
	unsigned depth;
	const uintptr_t *slots[RECALL_MAX];
	uintptr_t returns[RECALL_MAX];
};

/* What a stack was captured for; it is the same only if all of this is. */
struct recall_key {
	const void *frame;  /* of the function that captures */
	const void *caller; /* the return address where it begins */
	unsigned depth;
	unsigned long long modules; /* the loader's counts of loads and unloads */
};

static inline void recall_begin(struct recall_walk *walk)
{
	walk->usable = true;
	walk->depth = 0;
}

/* A frame that is not returned to, because a signal interrupted it. */
static inline void recall_give_up(struct recall_walk *walk)
{
	walk->usable = false;
}

/* A frame to which `address` returns, met by the unwinder with this frame address. */
void recall_note(struct recall_walk *walk, uintptr_t address, uintptr_t frame);

/* Remembers the stack that was walked, by its number. */
COLD void recall_keep(const struct recall_key *key, const struct recall_walk *walk,
                      uint32_t id);

/* The number of the stack that the thread is on, if it is the one kept; else 0. */
uint32_t recall_find(const struct recall_key *key);

#endif
