/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading memory that may not be there.
 *
 * A wary peek asks the kernel for each page before it touches it, so that a pointer
 * which is none is an answer and not a crash. That costs some 100 ns a page, so one that
 * has shown where its pointers lead may be told to trust them.
 *
 * A page that is taken away between the question and the touch would still be fatal.
 *
 * Locks: none. errno is changed.
 */
#ifndef PQPOOL_BASE_UNWIND_SAFE_READ_H
#define PQPOOL_BASE_UNWIND_SAFE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAFE_READ_PAGES 8

struct safe_read {
	bool trusting; /* ask for no page */
	bool doubting; /* ask again each time: pages may change hands meanwhile */
	unsigned count;
	uintptr_t pages[SAFE_READ_PAGES]; /* readable when asked last */
};

/* Copies the `n` bytes at `from`; false, and `to` is undefined, if they cannot be read. */
bool peek(struct safe_read *p, void *to, uintptr_t from, size_t n);

/* The pointer, or the integer of 32 bits, at `from`; 0 if it cannot be read. */
uintptr_t safe_read_pointer(struct safe_read *p, uintptr_t from);
uint32_t safe_read_u32(struct safe_read *p, uintptr_t from);

/* The length of the string at `from`; -1 if it has no end within `max` readable bytes. */
ptrdiff_t safe_read_length(struct safe_read *p, uintptr_t from, size_t max);

/* True if the string at `from` begins with `start`; if it is `whole`. */
bool safe_read_starts(struct safe_read *p, uintptr_t from, const char *start);
bool safe_read_is(struct safe_read *p, uintptr_t from, const char *whole);

#endif
