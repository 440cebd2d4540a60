/* SPDX-License-Identifier: PostgreSQL */
/* Tells how much of the stack that the calling thread is on may be read. */
#include "base/unwind/own_stack.h"

#include "base/cold.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "base/unwind/safe_read.h"
#include "base/unwind/thread_stack.h"

/* A larger frame ends the walk; of a given stack that is higher the top is not found. */
#define PAGES_MAX 256

/* The stack that the C library gave the thread, as far as it was proved readable. */
struct given {
	struct own_stack known;
	bool sought;
};

_Static_assert(sizeof(struct given) <= sizeof(((struct thread_block *)0)->given),
               "it fits into its part");

static uintptr_t page_of(uintptr_t address)
{
	return address - address % SAFE_READ_PAGE;
}

/* If the thread is on another stack, there is a gap on the way to the top. */
static COLD void seek(struct given *given, uintptr_t pointer)
{
	struct own_stack stack = {page_of(pointer), page_of(pointer) + SAFE_READ_PAGE};
	uintptr_t top = thread_stack_top(tid_self(), (uintptr_t)__builtin_thread_pointer());

	given->sought = true;
	if (pointer < top && own_stack_extend(&stack, page_of(top))) {
		given->known = stack;
	}
}

static bool is_part(const struct given *given, uintptr_t pointer)
{
	return given != NULL && pointer >= given->known.low && pointer < given->known.high;
}

void own_stack_begin(struct own_stack *stack, uintptr_t pointer)
{
	struct given *given = THREAD_PART(struct given, given);

	if (given != NULL && !given->sought) {
		seek(given, pointer);
	}
	stack->low = pointer;
	stack->high =
		is_part(given, pointer) ? given->known.high : page_of(pointer) + SAFE_READ_PAGE;
}

bool own_stack_move(struct own_stack *stack, uintptr_t pointer)
{
	if (!is_part(THREAD_PART(struct given, given), pointer) &&
	    !safe_read_page(page_of(pointer))) {
		return false;
	}
	own_stack_begin(stack, pointer);
	return true;
}

bool own_stack_extend(struct own_stack *stack, uintptr_t address)
{
	struct given *given = THREAD_PART(struct given, given);

	if (address >= stack->high && address - stack->high >= PAGES_MAX * SAFE_READ_PAGE) {
		return false;
	}
	while (stack->high <= address) {
		if (given != NULL && stack->high == given->known.low) {
			/* It is that stack, deeper than it was seen before. */
			given->known.low = page_of(stack->low);
			stack->high = given->known.high;
		} else if (safe_read_page(stack->high)) {
			stack->high += SAFE_READ_PAGE;
		} else {
			break;
		}
	}
	return address < stack->high;
}
