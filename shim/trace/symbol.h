/* SPDX-License-Identifier: PostgreSQL */
/*
 * The nearest symbol to an offset in an ELF file, from its full symbol table.
 *
 * dladdr() sees only exported symbols, so a plain executable's own functions have
 * no name for it. This reads the file, where .symtab still names them. It is used
 * only when a report is written, never on the way of a lease.
 */
#ifndef PQPOOL_TRACE_SYMBOL_H
#define PQPOOL_TRACE_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes the name of the function that contains `offset` (a link-time address
 * relative to the lowest load address, as in struct stack_frame) of the ELF file
 * `path` into `name`, cut to `size`. An empty string if the file cannot be read,
 * is damaged, is of the other word size, or knows no such function. Allocates
 * nothing but a mapping that is gone on return; errno is kept.
 */
void symbol_nearest(const char *path, uintptr_t offset, char *name, size_t size);

#endif
