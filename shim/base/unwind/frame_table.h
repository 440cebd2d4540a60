/* SPDX-License-Identifier: PostgreSQL */
/*
 * Call frame information: how the registers of a function's caller are found (DWARF's, in
 * .eh_frame, which compilers write for every function on machines of 64 bits).
 *
 * A row tells it for one place in the code. Only the tables of loaded modules are read, neither
 * code nor stack. Locks: none. Fork and signals: nothing to do.
 */
#ifndef PQPOOL_BASE_UNWIND_FRAME_TABLE_H
#define PQPOOL_BASE_UNWIND_FRAME_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* How many registers a row is about, and DWARF's numbers of two of them. */
#if defined(__aarch64__)
#define FRAME_REGISTERS 32
#define FRAME_POINTER   31 /* the stack's */
#define FRAME_RETURN    30 /* where the caller goes on */
#else
#define FRAME_REGISTERS 17
#define FRAME_POINTER   7
#define FRAME_RETURN    16
#endif

/* How a register of the caller is found, with the number that goes with it. */
enum frame_rule {
	FRAME_SAME,      /* it is what it was */
	FRAME_UNDEFINED, /* it is lost; the return address: there is no caller */
	FRAME_AT,        /* in memory, at the frame's address plus the number */
	FRAME_IS,        /* the frame's address plus the number */
	FRAME_IN,        /* in the register of that number */
	FRAME_AT_RESULT, /* in memory, where an expression says, to which the number points */
	FRAME_IS_RESULT  /* what that expression says */
};

#define FRAME_BY_EXPRESSION (-1)

struct frame_row {
	/* The frame's address: a register plus a number, or an expression. */
	int base;
	int64_t base_value;
	bool crossed;                         /* a register is found by way of others */
	unsigned char rules[FRAME_REGISTERS]; /* enum frame_rule */
	int64_t values[FRAME_REGISTERS];      /* meaningless of those that are as they were */
};

/* A part of the tables. */
struct frame_bytes {
	const uint8_t *at;
	const uint8_t *end;
};

/* The description of a function. */
struct frame_entry {
	uintptr_t function; /* where it begins; 0: nothing was found */
	uintptr_t end;
	bool signal; /* a signal's trampoline: its caller was interrupted, it called nothing */

	/* frame_table.c's */
	bool augmented;
	unsigned form;
	uint64_t code_unit;
	int64_t data_unit;
	struct frame_bytes shared; /* instructions, shared with other functions */
	struct frame_bytes own;
};

/* Finds the entry that covers `address`, a byte of an instruction; false if none does. */
bool frame_entry_find(uintptr_t address, struct frame_entry *entry);

/* The row of `address`, which the entry covers; false if it is not understood. */
bool frame_entry_row(const struct frame_entry *entry, uintptr_t address, struct frame_row *row);

/* The bytes of the expression to which a row's number points. */
struct frame_bytes frame_expression(int64_t value);

/* The next number of `size` bytes (1 to 8), or in LEB128; 0 behind the end. */
int64_t frame_read(struct frame_bytes *bytes, unsigned size, bool is_signed);
uint64_t frame_read_uleb(struct frame_bytes *bytes);
int64_t frame_read_sleb(struct frame_bytes *bytes);

#endif
