/* SPDX-License-Identifier: PostgreSQL */
/*
 * How the registers of a function's caller are found, at one place in the code.
 *
 * The instructions that the function shares with others, and then its own, are run up to that
 * place: DWARF 5, chapter 6.4.
 */
#include "base/unwind/frame_row.h"

#include <string.h>

#define STATES_MAX 3 /* remembered within one function; compilers nest none */

struct run {
	const struct frame_entry *entry;
	uintptr_t place; /* in the code, as far as the instructions have come */
	uintptr_t until;
	struct frame_row *row;
	struct frame_row *states; /* remembered; NULL: none can be */
	unsigned remembered;
};

static void begin_row(struct frame_row *row)
{
	row->base = FRAME_REGISTERS;
	row->base_value = 0;
	row->crossed = false;
	memset(row->rules, FRAME_SAME, sizeof(row->rules));
}

static void set(struct frame_row *row, uint64_t reg, enum frame_rule rule, int64_t value)
{
	/* Registers of vectors and the like are not followed. */
	if (reg < FRAME_REGISTERS) {
		row->rules[reg] = (unsigned char)rule;
		row->values[reg] = value;
		row->crossed = row->crossed || rule >= FRAME_IN;
	}
}

static void set_base(struct frame_row *row, uint64_t reg, int64_t value)
{
	row->base = reg < FRAME_REGISTERS ? (int)reg : FRAME_REGISTERS;
	row->base_value = value;
}

/* Where an expression is; behind it afterwards. */
static int64_t skip_expression(struct dwarf_bytes *bytes)
{
	int64_t at = (int64_t)(uintptr_t)bytes->at;
	uint64_t length = dwarf_uleb(bytes);

	bytes->at = length < (size_t)(bytes->end - bytes->at) ? bytes->at + length : bytes->end;
	return at;
}

static bool run_instructions(struct run *run, struct dwarf_bytes bytes);

/* Restores the rule that the shared instructions gave. Rare, so these are run again. */
static bool restore(struct run *run, uint64_t reg)
{
	struct frame_row initial;
	struct run shared = {.entry = run->entry, .until = UINTPTR_MAX, .row = &initial};

	begin_row(&initial);
	/* The shared ones have nothing to go back to. */
	if (run->states == NULL || !run_instructions(&shared, run->entry->shared)) {
		return false;
	}
	if (reg < FRAME_REGISTERS) {
		set(run->row, reg, initial.rules[reg], initial.values[reg]);
	}
	return true;
}

/* Instructions about the row as a whole; false if `code` is none of them, or fails. */
static bool run_whole(struct run *run, unsigned code, struct dwarf_bytes *bytes)
{
	struct frame_row *row = run->row;

	switch (code) {
	case 0x00: /* nop */
		return true;
	case 0x13: /* def_cfa_offset_sf */
		row->base_value = dwarf_sleb(bytes) * run->entry->data_unit;
		return true;
	case 0x0a: /* remember_state */
		if (run->states == NULL || run->remembered == STATES_MAX) {
			return false;
		}
		run->states[run->remembered++] = *row;
		return true;
	case 0x0b: /* restore_state */
		if (run->remembered == 0) {
			return false;
		}
		*row = run->states[--run->remembered];
		return true;
	case 0x0f: /* def_cfa_expression */
		row->base = FRAME_BY_EXPRESSION;
		row->base_value = skip_expression(bytes);
		return true;
	case 0x2e: /* GNU_args_size */
		dwarf_uleb(bytes);
		return true;
	default:
		return false;
	}
}

/* Instructions about one register, whose number comes first. */
static bool run_register(struct run *run, unsigned code, struct dwarf_bytes *bytes)
{
	int64_t unit = run->entry->data_unit;
	struct frame_row *row = run->row;
	uint64_t reg = dwarf_uleb(bytes);

	switch (code) {
	case 0x05: /* offset_extended */
		set(row, reg, FRAME_AT, (int64_t)dwarf_uleb(bytes) * unit);
		return true;
	case 0x11: /* offset_extended_sf */
		set(row, reg, FRAME_AT, dwarf_sleb(bytes) * unit);
		return true;
	case 0x06: /* restore_extended */
		return restore(run, reg);
	case 0x07: /* undefined */
		set(row, reg, FRAME_UNDEFINED, 0);
		return true;
	case 0x08: /* same_value */
		set(row, reg, FRAME_SAME, 0);
		return true;
	case 0x09: /* register */
		set(row, reg, FRAME_IN, (int64_t)dwarf_uleb(bytes));
		return true;
	case 0x0c: /* def_cfa */
		set_base(row, reg, (int64_t)dwarf_uleb(bytes));
		return true;
	case 0x12: /* def_cfa_sf */
		set_base(row, reg, dwarf_sleb(bytes) * unit);
		return true;
	case 0x0d: /* def_cfa_register */
		set_base(row, reg, row->base_value);
		return true;
	case 0x14: /* val_offset */
		set(row, reg, FRAME_IS, (int64_t)dwarf_uleb(bytes) * unit);
		return true;
	case 0x15: /* val_offset_sf */
		set(row, reg, FRAME_IS, dwarf_sleb(bytes) * unit);
		return true;
	case 0x10: /* expression */
		set(row, reg, FRAME_AT_RESULT, skip_expression(bytes));
		return true;
	case 0x16: /* val_expression */
		set(row, reg, FRAME_IS_RESULT, skip_expression(bytes));
		return true;
	default:
		return false;
	}
}

/* Instructions that advance in the code; false if `code` is none of them. */
static bool run_advance(struct run *run, unsigned code, struct dwarf_bytes *bytes)
{
	uint64_t unit = run->entry->code_unit;

	if (code >= 0x02 && code <= 0x04) {
		run->place += (uintptr_t)(dwarf_unsigned(bytes, 1U << (code - 2)) * unit);
	} else {
		return code == 0x01 && frame_address(bytes, run->entry->form, &run->place);
	}
	return true;
}

/* Runs instructions until the place in the code is passed; false if one is not known. */
static bool run_instructions(struct run *run, struct dwarf_bytes bytes)
{
	while (bytes.at < bytes.end && run->place <= run->until) {
		unsigned code = *bytes.at++;
		bool understood = true;

		/* The three that most of them are come first. */
		if (code >> 6 == 1) {
			run->place += (code & 0x3f) * run->entry->code_unit;
		} else if (code == 0x0e) { /* def_cfa_offset */
			run->row->base_value = (int64_t)dwarf_uleb(&bytes);
		} else if (code >> 6 == 2) {
			set(run->row, code & 0x3f, FRAME_AT,
			    (int64_t)dwarf_uleb(&bytes) * run->entry->data_unit);
		} else if (code >> 6 == 3) {
			understood = restore(run, code & 0x3f);
		} else {
			understood = run_advance(run, code, &bytes) ||
			             run_whole(run, code, &bytes) ||
			             run_register(run, code, &bytes);
		}
		if (!understood) {
			return false;
		}
	}
	return true;
}

bool frame_row(const struct frame_entry *entry, uintptr_t address, struct frame_row *row)
{
	struct frame_row states[STATES_MAX];
	struct run run = {.entry = entry,
	                  .place = entry->function,
	                  .until = address,
	                  .row = row,
	                  .states = states};

	begin_row(row);
	return run_instructions(&run, entry->shared) && run_instructions(&run, entry->own) &&
	       row->base < FRAME_REGISTERS;
}

struct dwarf_bytes frame_expression(int64_t value)
{
	struct dwarf_bytes bytes = {.at = (const uint8_t *)(uintptr_t)value};
	uint64_t length;

	bytes.end = bytes.at + 10; /* the longest number */
	length = dwarf_uleb(&bytes);
	bytes.end = bytes.at + length;
	return bytes;
}
