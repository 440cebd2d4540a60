/* SPDX-License-Identifier: PostgreSQL */
/* What a fuzz target takes from its input, in order; nothing is left at the end: zeros. */
#ifndef PQPOOL_TESTS_FUZZ_BYTES_H
#define PQPOOL_TESTS_FUZZ_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct bytes {
	const uint8_t *at;
	size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline uint8_t take_byte(struct bytes *b)
{
	if (b->left == 0) {
		return 0;
	}
	b->left--;
	return *b->at++;
}

static inline uint16_t take_number(struct bytes *b)
{
	uint8_t high = take_byte(b);

	return (uint16_t)(high << 8 | take_byte(b));
}

/* The next `n` bytes, or what is left. */
static inline struct bytes take_bytes(struct bytes *b, size_t n)
{
	struct bytes taken = {b->at, n < b->left ? n : b->left};

	b->at += taken.left;
	b->left -= taken.left;
	return taken;
}

/* What must hold of every input. */
static inline void require(int holds)
{
	if (!holds) {
		abort();
	}
}

#endif
