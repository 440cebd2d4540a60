/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page's call stacks (struct status_stack), one behind the other.
 *
 * Locks: the caller holds LOCK_STATUS, but for readers of the file, who need none.
 */
#ifndef PQPOOL_TRACE_STATUS_PAGE_STACKS_H
#define PQPOOL_TRACE_STATUS_PAGE_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/stack/stack.h"

/* A new page: makes room for the first ones. False, and errno, if there is none. */
bool page_stacks_begin(void);

/* Adds a stack to the page at `base`, if there is room. */
void page_stacks_add(char *base, const struct stack *stack);

/* What this stack took was given back, once or more. */
void page_stacks_given_back(char *base, uint32_t stack);

#endif
