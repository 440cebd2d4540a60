/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads memory that may not be there, by asking the kernel for each page first.
 *
 * The question is a futex(2) wait that ends at once: every program that uses threads may call
 * it, whatever a sandbox forbids otherwise, and it has no effect. Where even that is forbidden
 * no page counts as readable. It costs some 100 ns a page, so a reader whose pointers have
 * proved to lead where they should may skip it. A page that is unmapped between the question
 * and the read would still be fatal.
 *
 * Locks: none. errno is changed.
 */
#ifndef PQPOOL_BASE_UNWIND_SAFE_READ_H
#define PQPOOL_BASE_UNWIND_SAFE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The smallest page there is; where pages are larger some questions are asked twice. */
#define SAFE_READ_PAGE  4096
#define SAFE_READ_PAGES 8

struct safe_read {
	bool trusting; /* ask for no page */
	bool doubting; /* ask each time: other threads may unmap or protect pages meanwhile */
	unsigned count;
	uintptr_t pages[SAFE_READ_PAGES]; /* readable when asked last */
};

/* True if the page that begins at `page` can be read now. */
bool safe_read_page(uintptr_t page);

/* Copies the `n` bytes at `from`; false, and `to` is undefined, if they cannot be read. */
bool safe_read(struct safe_read *p, void *to, uintptr_t from, size_t n);

/* The pointer, or the integer of 32 bits, at `from`; 0 if it cannot be read. */
uintptr_t safe_read_pointer(struct safe_read *p, uintptr_t from);
uint32_t safe_read_u32(struct safe_read *p, uintptr_t from);

/* The length of the string at `from`; -1 if it has no end within `max` readable bytes. */
ptrdiff_t safe_read_length(struct safe_read *p, uintptr_t from, size_t max);

/* True if the string at `from` begins with `start`; if it is `whole`. */
bool safe_read_starts(struct safe_read *p, uintptr_t from, const char *start);
bool safe_read_is(struct safe_read *p, uintptr_t from, const char *whole);

#endif
