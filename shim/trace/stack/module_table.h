/* SPDX-License-Identifier: PostgreSQL */
/*
 * Modules, offsets and exported functions of code addresses.
 *
 * Strings and modules are kept once and never freed, so that equal ones are equal pointers.
 * Locks: the caller holds LOCK_STACK.
 *
 * Not dladdr(3): it takes the loader's big lock, which dlopen(3) keeps while it runs
 * constructors, and those may wait for anything, a session included. dl_iterate_phdr(3) takes
 * a lock that is never held for long; elf_image.h does the rest.
 */
#ifndef PQPOOL_TRACE_STACK_MODULE_TABLE_H
#define PQPOOL_TRACE_STACK_MODULE_TABLE_H

#include <stdbool.h>

#include "trace/stack/stack.h"

/*
 * Fills in the frames of `stack` from their addresses, whose modules cannot be unloaded
 * meanwhile; false: out of memory.
 */
bool module_table_describe(struct stack *stack, const uintptr_t *addresses);

/* The one copy of `text`; NULL: out of memory. */
const char *module_table_string(const char *text);

#endif
