/* SPDX-License-Identifier: PostgreSQL */
/* Every word of the list is found, and is what the list says it is. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/harmless.h"

enum { CALLED = 1, QUOTES = 2, TYPE = 4, NEVER = 8 };

static const struct {
	const char *name;
	unsigned flags;
} words[] = {
#define WORD(name, flags) {#name, flags},
#include "sql/harmless.def"
#undef WORD
};

#define WORDS (sizeof(words) / sizeof(words[0]))

/* Says so of "SELECT", what is before the word, the word in either case, and what is behind. */
static void check(const char *before, const char *word, const char *behind, bool harmless)
{
	char text[100];

	for (int upper = 0; upper < 2; upper++) {
		snprintf(text, sizeof(text), "SELECT %s%s%s", before, word, behind);
		for (size_t i = 0; upper != 0 && i < strlen(text); i++) {
			text[i] = (char)toupper((unsigned char)text[i]);
		}
		if (statement_is_harmless(text, true) != harmless) {
			fail_msg("%s: %s", harmless ? "doubted" : "not doubted", text);
		}
	}
}

static void every_word_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORDS; i++) {
		const char *name = words[i].name;
		unsigned flags = words[i].flags;

		check("a.", name, "", (flags & NEVER) == 0);
		check("a.\"", name, "\"", (flags & NEVER) == 0);
		check("", name, "(1)", (flags & CALLED) != 0);
		check("", name, " 'a'", (flags & (QUOTES | TYPE)) != 0);
		check("1::", name, "", (flags & TYPE) != 0);
	}
}

static bool is_listed(const char *name)
{
	size_t i = 0;

	while (i < WORDS && strcmp(words[i].name, name) != 0) {
		i++;
	}
	return i < WORDS;
}

/* Without its last letter, with another in its place, and with two. */
static void none_is_taken_for_another(void **state)
{
	static const char *const forms[] = {"%.*s", "%.*s$", "%.*sx_"};

	(void)state;
	for (size_t i = 0; i < WORDS; i++) {
		for (size_t j = 0; j < sizeof(forms) / sizeof(forms[0]); j++) {
			int len = (int)strlen(words[i].name);
			char name[60];

			snprintf(name, sizeof(name), forms[j], len - 1, words[i].name);
			if (!is_listed(name)) {
				check("a.", name, "", true);
				check("", name, "(1)", false);
				check("1::", name, "", false);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_word_is_known),
		cmocka_unit_test(none_is_taken_for_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
