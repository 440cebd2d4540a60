/* SPDX-License-Identifier: PostgreSQL */
/* Decodes CPython's tables of lines. */
#include "trace/script/python_lines.h"

#include <stdbool.h>

/* A bytes object, on machines of 64 bits. */
#define OBJECT_SIZE 16
#define BYTES_DATA  32

/* What an entry of the line table says. */
#define ENTRY_START      0x80
#define ENTRY_NONE       15
#define ENTRY_LONG       14
#define ENTRY_NO_COLUMNS 13
#define ENTRY_ONE_LINE   10

struct table {
	struct safe_read *p;
	uintptr_t at; /* of what comes after the buffer */
	uintptr_t end;
	size_t count;
	size_t next;
	unsigned char buf[128];
};

/* The next byte, which stays the next one if it is not `taken`; -1 at the end. */
static int look(struct table *table, bool taken)
{
	if (table->next == table->count) {
		size_t n = table->end - table->at;

		n = n < sizeof(table->buf) ? n : sizeof(table->buf);
		if (n == 0 || !safe_read(table->p, table->buf, table->at, n)) {
			return -1;
		}
		table->at += n;
		table->count = n;
		table->next = 0;
	}
	return taken ? table->buf[table->next++] : table->buf[table->next];
}

/* Six bits a byte, the lowest first; 0x40 says that more follow. The sign is the last bit. */
static int32_t take_signed(struct table *table)
{
	uint32_t value = 0;
	unsigned shift = 0;
	int byte;

	do {
		byte = look(table, true);
		if (byte < 0) {
			return 0;
		}
		value |= (uint32_t)(byte & 0x3f) << shift;
		shift += 6;
	} while ((byte & 0x40) != 0 && shift < 30);
	return (value & 1) != 0 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

static int32_t take_delta(struct table *table, unsigned code)
{
	switch (code) {
	case ENTRY_LONG:
	case ENTRY_NO_COLUMNS:
		return take_signed(table);
	case ENTRY_ONE_LINE:
	case ENTRY_ONE_LINE + 1:
	case ENTRY_ONE_LINE + 2:
		return (int32_t)code - ENTRY_ONE_LINE;
	default:
		return 0;
	}
}

static void open_table(struct table *table, struct safe_read *p, uintptr_t bytes)
{
	*table = (struct table){.p = p, .at = bytes + BYTES_DATA};
	table->end = table->at + safe_read_pointer(p, bytes + OBJECT_SIZE);
}

uint32_t python_line(struct safe_read *p, uintptr_t bytes, uint32_t first, intptr_t instruction)
{
	struct table table;
	int64_t now = first;
	intptr_t left = instruction;

	open_table(&table, p, bytes);
	while (left >= 0) {
		int start = look(&table, true);
		unsigned code = (unsigned)start >> 3 & 15;

		if (start < ENTRY_START) {
			return 0;
		}
		now += take_delta(&table, code);
		left -= (start & 7) + 1;
		if (left < 0 && code == ENTRY_NONE) {
			return first;
		}
		while (left >= 0 && look(&table, false) >= 0 &&
		       look(&table, false) < ENTRY_START) {
			look(&table, true);
		}
	}
	return now > 0 ? (uint32_t)now : 0;
}

uint32_t python_line_by_pairs(struct safe_read *p, uintptr_t bytes, uint32_t first,
                              intptr_t byte)
{
	struct table table;
	int64_t now = first;
	intptr_t left = byte;
	int covered;
	int lines = 0;

	open_table(&table, p, bytes);
	while (lines >= 0 && (covered = look(&table, true)) >= 0 && (left -= covered) >= 0) {
		lines = look(&table, true);
		now += (int8_t)lines;
	}
	return lines >= 0 && now > 0 ? (uint32_t)now : 0;
}
