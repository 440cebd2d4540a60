/* SPDX-License-Identifier: PostgreSQL */
/*
 * How the registers of a function's caller are found, at one place in the code: a row of the
 * function's call frame information (frame_table.h). Neither code nor stack is read.
 *
 * Locks: none. Fork and signals: nothing to do.
 */
#ifndef PQPOOL_BASE_UNWIND_FRAME_ROW_H
#define PQPOOL_BASE_UNWIND_FRAME_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/unwind/dwarf_bytes.h"
#include "base/unwind/frame_table.h"

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

/* The row of `address`, which the entry covers; false if it is not understood. */
bool frame_row(const struct frame_entry *entry, uintptr_t address, struct frame_row *row);

/* The bytes of the expression to which a row's number points. */
struct dwarf_bytes frame_expression(int64_t value);

#endif
