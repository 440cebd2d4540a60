/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells how much of the stack that the calling thread is on may be read.
 *
 * It need not be the stack that the thread was given: coroutines switch to others by hand,
 * between any two calls, and such a stack may end right behind its first frame, or with a page
 * that cannot be read. So only what lies above the stack pointer without a gap counts as stack,
 * and the kernel is asked about each page of it (safe_read.h). About the stack that the C
 * library gave to the thread, which stays readable, it is asked once.
 *
 * Locks: none. errno is changed. Fork and signals: nothing to do.
 */
#ifndef PQPOOL_BASE_UNWIND_OWN_STACK_H
#define PQPOOL_BASE_UNWIND_OWN_STACK_H

#include <stdbool.h>
#include <stdint.h>

/* What is known to be readable: from `low`, a stack pointer, up to `high`. */
struct own_stack {
	uintptr_t low;
	uintptr_t high;
};

/* Begins at the stack pointer of a function that has not returned. */
void own_stack_begin(struct own_stack *stack, uintptr_t pointer);

/* Begins at a stack pointer that is only said to be one; false if nothing can be read there. */
bool own_stack_move(struct own_stack *stack, uintptr_t pointer);

/* Raises `high` above the word at `address`; false if that cannot be. */
bool own_stack_extend(struct own_stack *stack, uintptr_t address);

/* True if the word at `address` is part of the stack. */
static inline bool own_stack_has(struct own_stack *stack, uintptr_t address)
{
	if (address < stack->low || address % sizeof(uintptr_t) != 0) {
		return false;
	}
	return address < stack->high || own_stack_extend(stack, address);
}

#endif
