/* SPDX-License-Identifier: PostgreSQL */
/* Patterns of * and ?. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <string.h>

#include "base/text/glob.h"

static bool matches(const char *pattern, const char *text)
{
	return glob_matches(pattern, text, strlen(text));
}

static void fits_all_of_a_text(void **state)
{
	(void)state;
	assert_true(matches("", ""));
	assert_true(matches("abc", "abc"));
	assert_false(matches("abc", "abcd"));
	assert_false(matches("abcd", "abc"));
	assert_false(matches("", "a"));
	assert_false(matches("ABC", "abc"));
	assert_false(matches("[ab]", "a"));
	assert_true(glob_matches("ab", "abc", 2));
}

static void question_mark_is_one_byte(void **state)
{
	(void)state;
	assert_true(matches("a?c", "abc"));
	assert_true(matches("???", "a/c"));
	assert_false(matches("a?", "a"));
	assert_false(matches("?", ""));
}

static void star_is_any_text(void **state)
{
	(void)state;
	assert_true(matches("*", ""));
	assert_true(matches("**", "a/b"));
	assert_true(matches("a*", "a"));
	assert_true(matches("*c", "abc"));
	assert_true(matches("a*c", "ac"));
	assert_true(matches("*ab", "aab"));
	assert_true(matches("*ab*ab", "abxabab"));
	assert_false(matches("*ab*ab", "abxa"));
	assert_false(matches("a*b", "a"));
	assert_true(matches("*/?.py:*", "/srv/a.py:12"));
}

/* Exponential where each star is tried anew. */
static void takes_no_time(void **state)
{
	char text[1001];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fits_all_of_a_text),
		cmocka_unit_test(question_mark_is_one_byte),
		cmocka_unit_test(star_is_any_text),
		cmocka_unit_test(takes_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
