/* SPDX-License-Identifier: PostgreSQL */
/* A statement's first words: what is shown, and what never is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sql/redact_statement.h"

static void shows(const char *text, const char *wanted)
{
	char line[96];

	redact_statement(text, false, line, sizeof(line));
	assert_string_equal(line, wanted);
}

static void shows_what_is_no_secret(void **state)
{
	(void)state;
	shows("", "");
	shows(" \n", "");
	shows("BEGIN", "BEGIN");
	shows("  select\ta,\n b\r\nfrom t ; ", "select a, b from t ;");
	shows("SELECT \"a'b\"\"c $$\" FROM t2 WHERE x1 = $12",
	      "SELECT \"a'b\"\"c $$\" FROM t2 WHERE x1 = $12");
	shows("select a$1, b$$ from t", "select a$1, b$$ from t");
	shows("select a - b / c", "select a - b / c");
	shows("UPDATE t SET a", "UPDATE t SET a");
	shows("SELECT a\x01\x7f"
	      "b\xc3\xa4",
	      "SELECT a b??");
}

static void ends_before_literals(void **state)
{
	(void)state;
	shows("SELECT 1", "SELECT ...");
	shows("SELECT -1.5e3", "SELECT -...");
	shows("SELECT .5", "SELECT ....");
	shows("SELECT 'x'", "SELECT ...");
	shows("SELECT a='x'", "SELECT a=...");
	shows("SELECT e'x'", "SELECT ...");
	shows("SELECT a=N'x'", "SELECT a=...");
	shows("SELECT U&'x'", "SELECT U&...");
	shows("SELECT $$x$$", "SELECT ...");
	shows("SELECT $tag$x$tag$", "SELECT ...");
	shows("SELECT $", "SELECT ...");
	shows("INSERT INTO t VALUES ('x', 1)", "INSERT INTO t VALUES (...");
	shows("'x'", "...");
	shows("5", "...");
}

static void ends_before_values_without_quotes(void **state)
{
	(void)state;
	shows("SET a.b = x", "SET a.b =...");
	shows("set a.b=x", "set a.b=...");
	shows("SET LOCAL a.b TO x", "SET LOCAL a.b TO...");
	shows("ALTER ROLE r SET a.b = x", "ALTER ROLE r SET a.b =...");
	shows("UPDATE t SET a = b", "UPDATE t SET a =...");
	shows("SELECT a = b", "SELECT a = b");
	shows("GRANT a TO b", "GRANT a TO b");
	shows("RESET a; SELECT a = b", "RESET a; SELECT a = b");
	shows("SET a; SELECT a = b", "SET a; SELECT a = b");
	shows("offset = to", "offset = to");
}

static void leaves_comments_out(void **state)
{
	(void)state;
	shows("-- x\nSELECT a", "SELECT a");
	shows("-- x", "");
	shows("SELECT/* x /* y */ z */a", "SELECT a");
	shows("SELECT a /* x", "SELECT a");
	shows("SELECT a --x\r\n, b", "SELECT a , b");
	shows("/*x*/5", "...");
}

static void fits_into_its_room(void **state)
{
	char text[300];
	char line[96];

	(void)state;
	for (size_t size = 16; size <= sizeof(line); size++) {
		for (size_t len = 0; len < sizeof(text); len++) {
			/* A heap block of its own, for the address sanitizer's sake. */
			char *room = malloc(size);

			memset(text, 'a', len);
			if (len > 2) {
				text[len - 2] = ' ';
			}
			text[len] = '\0';
			redact_statement(text, false, room, size);
			assert_true(strlen(room) < size);
			if (len < size - 3) {
				assert_string_equal(room, text);
			}
			if (len > size) {
				assert_string_equal(room + strlen(room) - 3, "...");
			}
			free(room);
		}
	}
}

static void tells_that_it_goes_on(void **state)
{
	char line[96];

	(void)state;
	redact_statement("/* a long comment", true, line, sizeof(line));
	assert_string_equal(line, "...");
	redact_statement("SELECT a, ", true, line, sizeof(line));
	assert_string_equal(line, "SELECT a, ...");
	redact_statement("SELECT a", true, line, sizeof(line));
	assert_string_equal(line, "SELECT a...");
}

/* Whatever stands there, each byte that is shown was there, or is a blank, ? or dot. */
static void bears_any_text(void **state)
{
	static const char bytes[] = "aE's\"$1-/*;=. \n\xff";
	unsigned seed = 1;
	char text[40];
	char line[24];

	(void)state;
	for (int round = 0; round < 200000; round++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(text);
		bool quoted = false;

		for (size_t i = 0; i < len; i++) {
			text[i] = bytes[(size_t)rand_r(&seed) % (sizeof(bytes) - 1)];
		}
		text[len] = '\0';
		redact_statement(text, round % 2, line, sizeof(line));
		assert_true(strlen(line) < sizeof(line));
		for (const char *c = line; *c != '\0'; c++) {
			assert_true(*c >= ' ' && *c < 127);
			quoted = quoted != (*c == '"');
			assert_true(quoted || *c != '\'');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_what_is_no_secret),
		cmocka_unit_test(ends_before_literals),
		cmocka_unit_test(ends_before_values_without_quotes),
		cmocka_unit_test(leaves_comments_out),
		cmocka_unit_test(fits_into_its_room),
		cmocka_unit_test(tells_that_it_goes_on),
		cmocka_unit_test(bears_any_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
