/* SPDX-License-Identifier: PostgreSQL */
/* Reads numbers as DWARF writes them. */
#ifndef PQPOOL_BASE_UNWIND_DWARF_BYTES_H
#define PQPOOL_BASE_UNWIND_DWARF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dwarf_bytes {
	const uint8_t *at;
	const uint8_t *end;
};

/* The next number of `size` bytes (1 to 8), lowest first; 0 behind the end. */
static inline uint64_t dwarf_unsigned(struct dwarf_bytes *bytes, unsigned size)
{
	uint64_t value = 0;

	if ((size_t)(bytes->end - bytes->at) < size) {
		bytes->at = bytes->end;
		return 0;
	}
	memcpy(&value, bytes->at, size);
	bytes->at += size;
	return value;
}

static inline int64_t dwarf_signed(struct dwarf_bytes *bytes, unsigned size)
{
	unsigned unused = 64 - 8 * size;

	return (int64_t)(dwarf_unsigned(bytes, size) << unused) >> unused;
}

/* LEB128: seven bits a byte, lowest first; the highest bit tells that more follow. */
static inline uint64_t dwarf_leb128(struct dwarf_bytes *bytes, bool is_signed)
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
static inline uint64_t dwarf_uleb(struct dwarf_bytes *bytes)
{
	if (bytes->at < bytes->end && *bytes->at < 0x80) {
		return *bytes->at++;
	}
	return dwarf_leb128(bytes, false);
}

static inline int64_t dwarf_sleb(struct dwarf_bytes *bytes)
{
	return (int64_t)dwarf_leb128(bytes, true);
}

#endif
