/* SPDX-License-Identifier: PostgreSQL */
/* Keys: put together, and held against one that was made before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text/keybuf.h"

#define ROUNDS     200000
#define TEXTS_MAX  4
#define PIECES_MAX 11

/* What keys are made of here: little enough that equal ones come up by chance. */
static const char *pieces[PIECES_MAX] = {NULL, "", "a", "ab", "b", "\1", "\377"};

/* A key: one byte, and texts behind it. */
struct recipe {
	char byte;
	size_t texts[TEXTS_MAX];
	size_t count;
};

/* Texts about as long as a byte can tell, each a letter longer than the other. */
static int prepare(void **state)
{
	(void)state;
	for (size_t i = 7; i < PIECES_MAX; i++) {
		size_t length = 245 + i;
		char *text = malloc(length + 1);

		if (text == NULL) {
			return -1;
		}
		memset(text, 'x', length);
		text[length] = '\0';
		pieces[i] = text;
	}
	return 0;
}

static int tidy_up(void **state)
{
	(void)state;
	for (size_t i = 7; i < PIECES_MAX; i++) {
		free((void *)pieces[i]);
	}
	return 0;
}

static struct recipe invent(void)
{
	struct recipe recipe = {.byte = (char)(rand() % 2),
	                        .count = (size_t)rand() % (TEXTS_MAX + 1)};

	for (size_t i = 0; i < recipe.count; i++) {
		recipe.texts[i] = (size_t)rand() % PIECES_MAX;
	}
	return recipe;
}

static void put(struct keybuf *b, const struct recipe *recipe)
{
	keybuf_bytes(b, &recipe->byte, 1);
	for (size_t i = 0; i < recipe->count; i++) {
		keybuf_field(b, pieces[recipe->texts[i]]);
	}
}

static bool is_alike(const struct recipe *recipe, const char *key, size_t size)
{
	struct keybuf held;
	char *copy = malloc(size); /* of its size, so that a look behind its end is found */
	bool alike;

	assert_non_null(copy);
	memcpy(copy, key, size);
	keybuf_hold_against(&held, copy, size);
	put(&held, recipe);
	alike = keybuf_is_alike(&held);
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
		char of_one[2048];
		char of_other[2048];
		struct keybuf a;
		struct keybuf b;
		bool same;

		keybuf_init(&a, of_one, sizeof(of_one));
		keybuf_init(&b, of_other, sizeof(of_other));
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
	const struct recipe recipe = {1, {3, 0, 10, 1}, 4};
	char made[2048] = {0};
	struct keybuf key;

	(void)state;
	keybuf_init(&key, made, sizeof(made));
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

	return cmocka_run_group_tests(tests, prepare, tidy_up);
}
