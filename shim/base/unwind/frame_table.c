/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds the call frame information of a function.
 *
 * .eh_frame_hdr has a sorted table of the functions, each with its description (FDE) in
 * .eh_frame, which names what it shares with others (CIE). See the Linux Standard Base
 * (Exception Frames). Only what linkers write is understood: a table of four bytes each,
 * relative to its beginning.
 */
#include "base/unwind/frame_table.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

/* How an address is written. */
#define FORM_MASK     0x0f
#define FORM_ABSOLUTE 0x00
#define FORM_U4       0x03
#define FORM_S4       0x0b
#define FORM_S8       0x0c
#define RELATIVE_MASK 0x70
#define RELATIVE_HERE 0x10
#define TABLE_FORM    0x3b /* four bytes, relative to the table's module data */

bool frame_address(struct dwarf_bytes *bytes, unsigned form, uintptr_t *address)
{
	uintptr_t here = (uintptr_t)bytes->at;

	switch (form & FORM_MASK) {
	case FORM_ABSOLUTE:
	case FORM_S8:
		*address = (uintptr_t)dwarf_unsigned(bytes, 8);
		break;
	case FORM_U4:
		*address = (uintptr_t)dwarf_unsigned(bytes, 4);
		break;
	case FORM_S4:
		*address = (uintptr_t)dwarf_signed(bytes, 4);
		break;
	default:
		return false;
	}
	*address += (form & RELATIVE_MASK) == RELATIVE_HERE ? here : 0;
	return (form & RELATIVE_MASK) == 0 || (form & RELATIVE_MASK) == RELATIVE_HERE;
}

/* ---- descriptions ----------------------------------------------------------------- */

/* The record at `at`, without its length. */
static struct dwarf_bytes read_record(const uint8_t *at)
{
	struct dwarf_bytes bytes = {at, at + 4};
	uint64_t length = dwarf_unsigned(&bytes, 4);

	/* All ones: it is larger than 4 GB, which does not occur. */
	bytes.end = bytes.at + (length != UINT32_MAX ? length : 0);
	return bytes;
}

static bool read_augmentation(const char *letters, struct dwarf_bytes bytes,
                              struct frame_entry *entry)
{
	uintptr_t ignored;

	for (; *letters != '\0'; letters++) {
		switch (*letters) {
		case 'z':
			break;
		case 'R':
			entry->form = (unsigned)dwarf_unsigned(&bytes, 1);
			break;
		case 'L':
			dwarf_unsigned(&bytes, 1);
			break;
		case 'P':
			if (!frame_address(&bytes, (unsigned)dwarf_unsigned(&bytes, 1),
			                   &ignored)) {
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
	struct dwarf_bytes bytes = read_record(at);
	const char *letters;
	uint64_t version;

	if (dwarf_unsigned(&bytes, 4) != 0) {
		return false;
	}
	version = dwarf_unsigned(&bytes, 1);
	letters = (const char *)bytes.at;
	bytes.at += strnlen(letters, (size_t)(bytes.end - bytes.at)) + 1;
	if ((version != 1 && version != 3) || bytes.at >= bytes.end) {
		return false;
	}
	entry->code_unit = dwarf_uleb(&bytes);
	entry->data_unit = dwarf_sleb(&bytes);
	if ((version == 1 ? dwarf_unsigned(&bytes, 1) : dwarf_uleb(&bytes)) != FRAME_RETURN) {
		return false;
	}
	entry->augmented = letters[0] == 'z';
	if (entry->augmented) {
		uint64_t length = dwarf_uleb(&bytes);
		struct dwarf_bytes augmentation = {bytes.at, bytes.at + length};

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
	struct dwarf_bytes bytes = read_record(at);
	const uint8_t *here = bytes.at;
	uint64_t back = dwarf_unsigned(&bytes, 4);
	uintptr_t length;

	if (back == 0 || !read_shared(here - back, entry) ||
	    !frame_address(&bytes, entry->form, &entry->function) ||
	    !frame_address(&bytes, entry->form & FORM_MASK, &length)) {
		return false;
	}
	entry->end = entry->function + length;
	if (entry->augmented) {
		length = dwarf_uleb(&bytes);
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
	struct dwarf_bytes bytes;
	uintptr_t ignored;
	uint64_t count;

	*entry = (struct frame_entry){0};
	if (header == NULL || header[0] != 1 || header[2] != FORM_U4 ||
	    header[3] != TABLE_FORM) {
		return false;
	}
	bytes = (struct dwarf_bytes){header + 4, header + 4 + 8 + 4};
	if (!frame_address(&bytes, header[1], &ignored)) {
		return false;
	}
	count = dwarf_unsigned(&bytes, 4);
	found = find_sorted((const struct sorted *)bytes.at, count,
	                    (int64_t)(address - (uintptr_t)header));
	if (found != NULL && read_entry(header + found->description, entry) &&
	    address >= entry->function && address < entry->end) {
		return true;
	}
	entry->function = 0;
	return false;
}
