/* SPDX-License-Identifier: PostgreSQL */
/*
 * Decodes CPython's tables of lines: which line an instruction of a code object is in. The
 * table is a bytes object, which never changes.
 *
 * `first` is the line that the code begins in. 0: there is none, or the table is not in order.
 * Locks: none. Memory is read by safe_read.h.
 */
#ifndef PQPOOL_TRACE_SCRIPT_PYTHON_LINES_H
#define PQPOOL_TRACE_SCRIPT_PYTHON_LINES_H

#include <stdint.h>

#include "base/unwind/safe_read.h"

/*
 * From 3.11 on (Objects/locations.md of CPython): each entry covers one to eight instructions,
 * and says how far their line is from the one before: 1cccclll, then bytes below 0x80.
 */
uint32_t python_line(struct safe_read *p, uintptr_t bytes, uint32_t first,
                     intptr_t instruction);

/*
 * Before 3.10 (Objects/lnotab_notes.txt): pairs of bytes, the distances in bytes of code and in
 * lines from one entry to the next.
 */
uint32_t python_line_by_pairs(struct safe_read *p, uintptr_t bytes, uint32_t first,
                              intptr_t byte);

#endif
