/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds the call frame information of a function: DWARF's, in .eh_frame, which compilers write
 * for every function on machines of 64 bits.
 *
 * Only the tables of loaded modules are read. Locks: none. Fork and signals: nothing to do.
 */
#ifndef PQPOOL_BASE_UNWIND_FRAME_TABLE_H
#define PQPOOL_BASE_UNWIND_FRAME_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/unwind/dwarf_bytes.h"

/* How many registers are followed, and DWARF's numbers of two of them. */
#if defined(__aarch64__)
#define FRAME_REGISTERS 32
#define FRAME_POINTER   31 /* the stack's */
#define FRAME_RETURN    30 /* where the caller goes on */
#else
#define FRAME_REGISTERS 17
#define FRAME_POINTER   7
#define FRAME_RETURN    16
#endif

/* The description of a function. */
struct frame_entry {
	uintptr_t function; /* where it begins; 0: nothing was found */
	uintptr_t end;
	bool signal; /* a signal's trampoline: its caller was interrupted, it called nothing */

	/* for frame_row.h */
	bool augmented;
	unsigned form;
	uint64_t code_unit;
	int64_t data_unit;
	struct dwarf_bytes shared; /* instructions, shared with other functions */
	struct dwarf_bytes own;
};

/* Finds the entry that covers `address`, a byte of an instruction; false if none does. */
bool frame_entry_find(uintptr_t address, struct frame_entry *entry);

/* An address that is written in this form; false if linkers do not use it. */
bool frame_address(struct dwarf_bytes *bytes, unsigned form, uintptr_t *address);

#endif
