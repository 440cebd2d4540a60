/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells which stacks are of one place (stack_place): in a script those whose frames agree from
 * the call out to the script's own line, whatever called that line, as a function that connects
 * for all of a program is one place.
 *
 * Locks: the caller holds LOCK_STACK.
 */
#ifndef PQPOOL_TRACE_STACK_STACK_PLACE_H
#define PQPOOL_TRACE_STACK_STACK_PLACE_H

#include <stdint.h>

#include "trace/stack/stack.h"

/*
 * The number of the first stack of this one's place. `stack` has its number, and is never
 * freed. If memory runs out it is a place of its own.
 */
uint32_t script_place(const struct stack *stack);

#endif
