/* SPDX-License-Identifier: PostgreSQL */
/*
 * Call frame information.
 *
 * .eh_frame_hdr has a sorted table of the functions, each with its description (FDE) in
 * .eh_frame, which names what it shares with others (CIE). Both hold instructions that, run up
 * to a place in the code, give its row. See the Linux Standard Base (Exception Frames) and
 * DWARF 5, chapter 6.4. Only what linkers write is understood: a table of four bytes each,
 * relative to its beginning.
 */
#include "base/unwind/frame_table.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "base/dl.h"

#define STATES_MAX 3 /* remembered within one function; compilers nest none */

/* How an address is written. */
#define FORM_MASK     0x0f
#define FORM_ABSOLUTE 0x00
#define FORM_U4       0x03
#define FORM_S4       0x0b
#define FORM_S8       0x0c
#define RELATIVE_MASK 0x70
#define RELATIVE_HERE 0x10
#define TABLE_FORM    0x3b /* four bytes, relative to the table's module data */

/* ---- reading -------------------------------------------------------------------- */

int64_t frame_read(struct frame_bytes *bytes, unsigned size, bool is_signed)
{
	uint64_t value = 0;

	if ((size_t)(bytes->end - bytes->at) < size) {
		bytes->at = bytes->end;
		return 0;
	}
	memcpy(&value, bytes->at, size); /* of little endians */
	bytes->at += size;
	if (is_signed && size < 8 && (value >> (8 * size - 1)) != 0) {
		value |= ~0ULL << 8 * size;
	}
	return (int64_t)value;
}

static uint64_t read_leb(struct frame_bytes *bytes, bool is_signed)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte = 0;

	while (bytes->at < bytes->end) {
		byte = *bytes->at++;
		value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		shift += 7;
		if ((byte & 0x80) == 0) {
			break;
		}
	}
	if (is_signed && shift < 64 && (byte & 0x40) != 0) {
		value |= ~0ULL << shift;
	}
	return value;
}

/* Nearly all are of one byte. */
static inline uint64_t read_uleb(struct frame_bytes *bytes)
{
	if (bytes->at < bytes->end && *bytes->at < 0x80) {
		return *bytes->at++;
	}
	return read_leb(bytes, false);
}

uint64_t frame_read_uleb(struct frame_bytes *bytes)
{
	return read_uleb(bytes);
}

int64_t frame_read_sleb(struct frame_bytes *bytes)
{
	return (int64_t)read_leb(bytes, true);
}

static uint64_t read_u(struct frame_bytes *bytes, unsigned size)
{
	return (uint64_t)frame_read(bytes, size, false);
}

struct frame_bytes frame_expression(int64_t value)
{
	struct frame_bytes bytes = {.at = (const uint8_t *)(uintptr_t)value};
	uint64_t length;

	bytes.end = bytes.at + 10; /* the longest number */
	length = read_uleb(&bytes);
	bytes.end = bytes.at + length;
	return bytes;
}

/* An address as `form` says; false if it is another form than linkers use. */
static bool read_address(struct frame_bytes *bytes, unsigned form, uintptr_t *address)
{
	uintptr_t here = (uintptr_t)bytes->at;

	switch (form & FORM_MASK) {
	case FORM_ABSOLUTE:
	case FORM_S8:
		*address = (uintptr_t)frame_read(bytes, 8, true);
		break;
	case FORM_U4:
		*address = (uintptr_t)read_u(bytes, 4);
		break;
	case FORM_S4:
		*address = (uintptr_t)frame_read(bytes, 4, true);
		break;
	default:
		return false;
	}
	*address += (form & RELATIVE_MASK) == RELATIVE_HERE ? here : 0;
	return (form & RELATIVE_MASK) == 0 || (form & RELATIVE_MASK) == RELATIVE_HERE;
}

/* ---- descriptions ----------------------------------------------------------------- */

/* The record at `at`, without its length. */
static struct frame_bytes read_record(const uint8_t *at)
{
	struct frame_bytes bytes = {at, at + 4};
	uint64_t length = read_u(&bytes, 4);

	/* All ones: it is larger than 4 GB, which does not occur. */
	bytes.end = bytes.at + (length != UINT32_MAX ? length : 0);
	return bytes;
}

static bool read_augmentation(const char *letters, struct frame_bytes bytes,
                              struct frame_entry *entry)
{
	uintptr_t ignored;

	for (; *letters != '\0'; letters++) {
		switch (*letters) {
		case 'z':
			break;
		case 'R':
			entry->form = (unsigned)read_u(&bytes, 1);
			break;
		case 'L':
			read_u(&bytes, 1);
			break;
		case 'P':
			if (!read_address(&bytes, (unsigned)read_u(&bytes, 1), &ignored)) {
				return false;
			}
			break;
		case 'S':
			entry->signal = true;
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool read_shared(const uint8_t *at, struct frame_entry *entry)
{
	struct frame_bytes bytes = read_record(at);
	const char *letters;
	uint64_t version;

	if (read_u(&bytes, 4) != 0) {
		return false;
	}
	version = read_u(&bytes, 1);
	letters = (const char *)bytes.at;
	bytes.at += strnlen(letters, (size_t)(bytes.end - bytes.at)) + 1;
	if ((version != 1 && version != 3) || bytes.at >= bytes.end) {
		return false;
	}
	entry->code_unit = read_uleb(&bytes);
	entry->data_unit = frame_read_sleb(&bytes);
	if ((version == 1 ? read_u(&bytes, 1) : read_uleb(&bytes)) != FRAME_RETURN) {
		return false;
	}
	entry->augmented = letters[0] == 'z';
	if (entry->augmented) {
		uint64_t length = read_uleb(&bytes);
		struct frame_bytes augmentation = {bytes.at, bytes.at + length};

		bytes.at = augmentation.end;
		if (!read_augmentation(letters, augmentation, entry)) {
			return false;
		}
	}
	entry->shared = bytes;
	return entry->augmented || letters[0] == '\0';
}

static bool read_entry(const uint8_t *at, struct frame_entry *entry)
{
	struct frame_bytes bytes = read_record(at);
	const uint8_t *here = bytes.at;
	uint64_t back = read_u(&bytes, 4);
	uintptr_t length;

	if (back == 0 || !read_shared(here - back, entry) ||
	    !read_address(&bytes, entry->form, &entry->function) ||
	    !read_address(&bytes, entry->form & FORM_MASK, &length)) {
		return false;
	}
	entry->end = entry->function + length;
	if (entry->augmented) {
		length = read_uleb(&bytes);
		bytes.at += length;
	}
	entry->own = bytes;
	return true;
}

/* ---- finding --------------------------------------------------------------------- */

/* .eh_frame_hdr of the module that covers an address; NULL: none does, or it has none. */
static const uint8_t *header_of(uintptr_t address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_eh_frame : NULL;
}

struct sorted {
	int32_t function;
	int32_t description;
};

/* The last one that begins at `address` or before; NULL: there is none. */
static const struct sorted *find_sorted(const struct sorted *table, uint64_t count,
                                        int64_t address)
{
	uint64_t low = 0;
	uint64_t high = count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (table[middle].function <= address) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low > 0 ? &table[low - 1] : NULL;
}

bool frame_entry_find(uintptr_t address, struct frame_entry *entry)
{
	const uint8_t *header = header_of(address);
	const struct sorted *found;
	struct frame_bytes bytes;
	uintptr_t ignored;
	uint64_t count;

	*entry = (struct frame_entry){0};
	if (header == NULL || header[0] != 1 || header[2] != FORM_U4 ||
	    header[3] != TABLE_FORM) {
		return false;
	}
	bytes = (struct frame_bytes){header + 4, header + 4 + 8 + 4};
	if (!read_address(&bytes, header[1], &ignored)) {
		return false;
	}
	count = read_u(&bytes, 4);
	found = find_sorted((const struct sorted *)bytes.at, count,
	                    (int64_t)(address - (uintptr_t)header));
	if (found != NULL && read_entry(header + found->description, entry) &&
	    address >= entry->function && address < entry->end) {
		return true;
	}
	entry->function = 0;
	return false;
}

/* ---- rows ------------------------------------------------------------------------ */

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
static int64_t skip_expression(struct frame_bytes *bytes)
{
	int64_t at = (int64_t)(uintptr_t)bytes->at;
	uint64_t length = read_uleb(bytes);

	bytes->at = length < (size_t)(bytes->end - bytes->at) ? bytes->at + length : bytes->end;
	return at;
}

static bool run_instructions(struct run *run, struct frame_bytes bytes);

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
static bool run_whole(struct run *run, unsigned code, struct frame_bytes *bytes)
{
	struct frame_row *row = run->row;

	switch (code) {
	case 0x00: /* nop */
		return true;
	case 0x13: /* def_cfa_offset_sf */
		row->base_value = frame_read_sleb(bytes) * run->entry->data_unit;
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
		read_uleb(bytes);
		return true;
	default:
		return false;
	}
}

/* Instructions about one register, whose number comes first. */
static bool run_register(struct run *run, unsigned code, struct frame_bytes *bytes)
{
	int64_t unit = run->entry->data_unit;
	struct frame_row *row = run->row;
	uint64_t reg = read_uleb(bytes);

	switch (code) {
	case 0x05: /* offset_extended */
		set(row, reg, FRAME_AT, (int64_t)read_uleb(bytes) * unit);
		return true;
	case 0x11: /* offset_extended_sf */
		set(row, reg, FRAME_AT, frame_read_sleb(bytes) * unit);
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
		set(row, reg, FRAME_IN, (int64_t)read_uleb(bytes));
		return true;
	case 0x0c: /* def_cfa */
		set_base(row, reg, (int64_t)read_uleb(bytes));
		return true;
	case 0x12: /* def_cfa_sf */
		set_base(row, reg, frame_read_sleb(bytes) * unit);
		return true;
	case 0x0d: /* def_cfa_register */
		set_base(row, reg, row->base_value);
		return true;
	case 0x14: /* val_offset */
		set(row, reg, FRAME_IS, (int64_t)read_uleb(bytes) * unit);
		return true;
	case 0x15: /* val_offset_sf */
		set(row, reg, FRAME_IS, frame_read_sleb(bytes) * unit);
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
static bool run_advance(struct run *run, unsigned code, struct frame_bytes *bytes)
{
	uint64_t unit = run->entry->code_unit;

	if (code >= 0x02 && code <= 0x04) {
		run->place += (uintptr_t)(read_u(bytes, 1U << (code - 2)) * unit);
	} else {
		return code == 0x01 && read_address(bytes, run->entry->form, &run->place);
	}
	return true;
}

/* Runs instructions until the place in the code is passed; false if one is not known. */
static bool run_instructions(struct run *run, struct frame_bytes bytes)
{
	while (bytes.at < bytes.end && run->place <= run->until) {
		unsigned code = *bytes.at++;
		bool understood = true;

		/* The three that most of them are come first. */
		if (code >> 6 == 1) {
			run->place += (code & 0x3f) * run->entry->code_unit;
		} else if (code == 0x0e) { /* def_cfa_offset */
			run->row->base_value = (int64_t)read_uleb(&bytes);
		} else if (code >> 6 == 2) {
			set(run->row, code & 0x3f, FRAME_AT,
			    (int64_t)read_uleb(&bytes) * run->entry->data_unit);
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

bool frame_entry_row(const struct frame_entry *entry, uintptr_t address, struct frame_row *row)
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
