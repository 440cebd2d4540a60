/* SPDX-License-Identifier: PostgreSQL */
/* Walks up the calling thread's stack, frame by frame. */
#include "base/unwind/unwind.h"

#include <string.h>

#include "base/unwind/frame_row.h"

#define OPERANDS_MAX 8 /* of an expression */
#define CALLERS_MAX  256

void unwind_set_out(struct unwind *u)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): assembler sets it */
	u->pointer = u->registers[FRAME_POINTER];
	u->address = u->registers[FRAME_RETURN];
	u->begun = false;
	own_stack_begin(&u->stack, u->pointer);
}

/* The part of the beginning that is not needed if the stack is recognised (stack_cache.h). */
static void begin_walk(struct unwind *u)
{
	u->begun = true;
	u->interrupted = true; /* an address within an instruction, as a signal's is */
	for (unsigned i = 0; i < UNWIND_REGISTERS; i++) {
		u->words[i] = i;
	}
	frame_entry_find(u->address, &u->entry);
}

/* The address sanitizer knows of objects; a walk reads what lies between them, too. */
__attribute__((no_sanitize_address)) static bool read_word(struct unwind *u, uintptr_t address,
                                                           uintptr_t *word)
{
	if (!own_stack_has(&u->stack, address)) {
		u->plain = false;
		return false;
	}
	*word = *(const uintptr_t *)address;
	return true;
}

/* ---- expressions ------------------------------------------------------------------ */

struct operands {
	unsigned count;
	uintptr_t values[OPERANDS_MAX];
};

static bool push(struct operands *operands, uintptr_t value)
{
	if (operands->count == OPERANDS_MAX) {
		return false;
	}
	operands->values[operands->count++] = value;
	return true;
}

/* Operations that push a number; false if `code` is none of them, or there is no room. */
static bool push_number(const struct unwind *before, unsigned code, struct dwarf_bytes *bytes,
                        struct operands *operands)
{
	if (code >= 0x30 && code <= 0x4f) { /* lit0 to lit31 */
		return push(operands, code - 0x30);
	}
	if (code >= 0x70 && code < 0x70 + UNWIND_REGISTERS) { /* breg0 and on */
		return push(operands,
		            before->registers[code - 0x70] + (uintptr_t)dwarf_sleb(bytes));
	}
	if (code >= 0x08 && code <= 0x0f) { /* const1u, const1s to const8u, const8s */
		return push(operands,
		            (uintptr_t)(code % 2 != 0
		                                ? dwarf_signed(bytes, 1U << (code - 8) / 2)
		                                : (int64_t)dwarf_unsigned(
							  bytes, 1U << (code - 8) / 2)));
	}
	switch (code) {
	case 0x10: /* constu */
		return push(operands, (uintptr_t)dwarf_uleb(bytes));
	case 0x11: /* consts */
		return push(operands, (uintptr_t)dwarf_sleb(bytes));
	case 0x12: /* dup */
		return operands->count > 0 &&
		       push(operands, operands->values[operands->count - 1]);
	default:
		return false;
	}
}

/* Operations that replace the two topmost numbers by one; false if `code` is none of them. */
static bool combine(unsigned code, struct operands *operands)
{
	uintptr_t *a;
	uintptr_t b;

	if (operands->count < 2) {
		return false;
	}
	a = &operands->values[operands->count - 2];
	b = operands->values[operands->count - 1];
	switch (code) {
	case 0x1a: /* and */
		*a &= b;
		break;
	case 0x1c: /* minus */
		*a -= b;
		break;
	case 0x1e: /* mul */
		*a *= b;
		break;
	case 0x21: /* or */
		*a |= b;
		break;
	case 0x22: /* plus */
		*a += b;
		break;
	case 0x24: /* shl */
		*a = b < 64 ? *a << b : 0;
		break;
	case 0x25: /* shr */
		*a = b < 64 ? *a >> b : 0;
		break;
	case 0x29: /* eq */
		*a = *a == b;
		break;
	case 0x2a: /* ge */
		*a = (intptr_t)*a >= (intptr_t)b;
		break;
	case 0x2b: /* gt */
		*a = (intptr_t)*a > (intptr_t)b;
		break;
	case 0x2c: /* le */
		*a = (intptr_t)*a <= (intptr_t)b;
		break;
	case 0x2d: /* lt */
		*a = (intptr_t)*a < (intptr_t)b;
		break;
	case 0x2e: /* ne */
		*a = *a != b;
		break;
	default:
		return false;
	}
	operands->count--;
	return true;
}

static bool change_top(struct unwind *u, unsigned code, struct dwarf_bytes *bytes,
                       struct operands *operands)
{
	uintptr_t *top;

	if (operands->count == 0) {
		return false;
	}
	top = &operands->values[operands->count - 1];
	switch (code) {
	case 0x06: /* deref */
		return read_word(u, *top, top);
	case 0x23: /* plus_uconst */
		*top += (uintptr_t)dwarf_uleb(bytes);
		return true;
	default:
		return false;
	}
}

/* Evaluates what compilers, the C library's trampoline and procedure linkage tables use. */
static bool evaluate(struct unwind *u, const struct unwind *before, int64_t expression,
                     const uintptr_t *first, uintptr_t *result)
{
	struct dwarf_bytes bytes = frame_expression(expression);
	struct operands operands = {0};

	if (first != NULL) {
		push(&operands, *first);
	}
	while (bytes.at < bytes.end) {
		unsigned code = *bytes.at++;

		if (!push_number(before, code, &bytes, &operands) &&
		    !change_top(u, code, &bytes, &operands) && !combine(code, &operands)) {
			return false;
		}
	}
	*result = operands.count > 0 ? operands.values[operands.count - 1] : 0;
	return operands.count > 0;
}

/* ---- from frame to frame ------------------------------------------------------------- */

/* Finds the frame's address, and notes whether it depends on words of the stack alone. */
static bool find_base(struct unwind *u, const struct frame_row *row, uintptr_t *base)
{
	if (row->base == FRAME_BY_EXPRESSION) {
		u->plain = false;
		return evaluate(u, u, row->base_value, NULL, base);
	}
	*base = u->registers[row->base] + (uintptr_t)row->base_value;
	u->base_word = row->base == FRAME_POINTER ? 0 : u->words[row->base];
	return true;
}

/* Restores a register of the caller by the row; `before` is the frame that is left. */
static bool restore(struct unwind *u, const struct unwind *before, const struct frame_row *row,
                    unsigned reg, uintptr_t base)
{
	int64_t number = row->values[reg];
	uintptr_t address = base + (uintptr_t)number;

	switch ((enum frame_rule)row->rules[reg]) {
	case FRAME_SAME:
		return true;
	case FRAME_UNDEFINED:
		return reg != FRAME_RETURN;
	case FRAME_IN:
		if (number < 0 || number >= UNWIND_REGISTERS) {
			return false;
		}
		u->registers[reg] = before->registers[number];
		u->words[reg] = before->words[number];
		return true;
	case FRAME_IS:
		u->registers[reg] = address;
		u->plain = u->plain && reg == FRAME_POINTER;
		return true;
	case FRAME_IS_RESULT:
		u->plain = false;
		return evaluate(u, before, number, &base, &u->registers[reg]);
	case FRAME_AT_RESULT:
		u->plain = false;
		if (!evaluate(u, before, number, &base, &address)) {
			return false;
		}
		break;
	case FRAME_AT:
		break;
	}
	u->words[reg] = address;
	return read_word(u, address, &u->registers[reg]);
}

/* Restores the caller's registers; false if one of them cannot be read. */
static bool restore_all(struct unwind *u, const struct unwind *before,
                        const struct frame_row *row, uintptr_t base)
{
	u->registers[FRAME_POINTER] = base;
	for (unsigned reg = 0; reg < UNWIND_REGISTERS; reg++) {
		if (row->rules[reg] != FRAME_SAME && !restore(u, before, row, reg, base)) {
			return false;
		}
	}
	return true;
}

static bool restore_crossed(struct unwind *u, const struct frame_row *row, uintptr_t base)
{
	struct unwind before = *u;

	return restore_all(u, &before, row, base);
}

/* A caller's frame lies higher; but a signal handler may be on a stack of its own. */
static bool is_above(struct unwind *u, bool to_interrupted)
{
	uintptr_t pointer = u->registers[FRAME_POINTER];

	if (pointer > u->pointer || (pointer == u->pointer && u->interrupted)) {
		if (own_stack_has(&u->stack, pointer - sizeof(uintptr_t))) {
			return true;
		}
	}
	return to_interrupted && own_stack_move(&u->stack, pointer);
}

/* The return address may belong to the next function; one byte less is within the call. */
static uintptr_t within(const struct unwind *u)
{
	return u->interrupted ? u->address : u->address - 1;
}

bool unwind_next(struct unwind *u)
{
	struct frame_row row;
	uintptr_t base;
	bool was_signal;

	if (!u->begun) {
		begin_walk(u);
	}
	u->plain = true;
	u->base_word = 0;
	u->address_word = 0;
	if (u->entry.function == 0 || !frame_row(&u->entry, within(u), &row) ||
	    !find_base(u, &row, &base)) {
		return false;
	}
	was_signal = u->entry.signal;
	if (!(row.crossed ? restore_crossed(u, &row, base) : restore_all(u, u, &row, base))) {
		return false;
	}
	u->address_word = u->words[FRAME_RETURN];
	if (!is_above(u, was_signal)) {
		return false;
	}
	u->pointer = u->registers[FRAME_POINTER];
	u->address = u->registers[FRAME_RETURN];
	u->interrupted = was_signal;
	return frame_entry_find(within(u), &u->entry);
}

bool unwind_called_from(uintptr_t low, uintptr_t high, uintptr_t without)
{
	struct unwind u;
	unsigned depth = 0;

	unwind_begin(&u);
	while (depth++ < CALLERS_MAX && unwind_next(&u) && u.entry.function != without) {
		if (u.entry.function >= low && u.entry.function < high) {
			return true;
		}
	}
	return false;
}

bool unwind_in_signal_handler(void)
{
	struct unwind u;

	unwind_begin(&u);
	while (unwind_next(&u)) {
		if (u.interrupted) {
			return true;
		}
	}
	return false;
}
