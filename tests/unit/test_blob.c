/* SPDX-License-Identifier: PostgreSQL */
/* Keys: put together, and held against one that was made before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/blob.h"

#define ROUNDS     200000
#define PARTS_MAX  4
#define PIECES_MAX 6

/* What keys are made of here: little enough that equal ones come up by chance. */
static const char *const pieces[PIECES_MAX] = {NULL, "", "a", "ab", "b", "\1"};

struct part {
	unsigned piece;
	bool raw; /* bytes, not a text */
};

struct recipe {
	struct part parts[PARTS_MAX];
	size_t count;
};

static struct recipe invent(void)
{
	struct recipe recipe = {.count = (size_t)rand() % (PARTS_MAX + 1)};

	for (size_t i = 0; i < recipe.count; i++) {
		recipe.parts[i].piece = (unsigned)rand() % PIECES_MAX;
		recipe.parts[i].raw = recipe.parts[i].piece >= 2 && rand() % 4 == 0;
	}
	return recipe;
}

static void put(struct blob *b, const struct recipe *recipe)
{
	for (size_t i = 0; i < recipe->count; i++) {
		const char *piece = pieces[recipe->parts[i].piece];

		if (recipe->parts[i].raw) {
			blob_bytes(b, piece, strlen(piece));
		} else {
			blob_field(b, piece);
		}
	}
}

static bool is_alike(const struct recipe *recipe, const char *key, size_t size)
{
	struct blob held;
	char *copy = malloc(size); /* of its size, so that a look behind its end is found */
	bool alike;

	assert_non_null(copy);
	memcpy(copy, key, size);
	blob_hold_against(&held, copy, size);
	put(&held, recipe);
	alike = blob_is_alike(&held);
	free(copy);
	return alike;
}

/* Held against a key, calls are alike if and only if they make the very same one. */
static void held_against_is_as_made(void **state)
{
	size_t equal = 0;

	(void)state;
	srand(20260101);
	for (int i = 0; i < ROUNDS; i++) {
		struct recipe one = invent();
		struct recipe other = invent();
		char of_one[256];
		char of_other[256];
		struct blob a;
		struct blob b;
		bool same;

		blob_init(&a, of_one, sizeof(of_one));
		blob_init(&b, of_other, sizeof(of_other));
		put(&a, &one);
		put(&b, &other);
		same = a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
		equal += same;
		assert_int_equal(is_alike(&other, a.data, a.len), same);
		assert_true(is_alike(&one, a.data, a.len));
	}
	assert_true(equal > ROUNDS / 1000);
	assert_true(equal < ROUNDS);
}

/* A key that is cut off, or goes on, is another one. */
static void every_byte_counts(void **state)
{
	const struct recipe recipe = {{{3, false}, {0, false}, {2, true}, {1, false}}, 4};
	char made[256] = {0};
	struct blob key;

	(void)state;
	blob_init(&key, made, sizeof(made));
	put(&key, &recipe);
	assert_true(is_alike(&recipe, key.data, key.len));
	assert_false(is_alike(&recipe, key.data, key.len + 1));
	for (size_t size = 0; size < key.len; size++) {
		assert_false(is_alike(&recipe, key.data, size));
		made[size] ^= 1;
		assert_false(is_alike(&recipe, key.data, key.len));
		made[size] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_against_is_as_made),
		cmocka_unit_test(every_byte_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
