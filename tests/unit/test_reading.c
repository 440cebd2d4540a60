/* SPDX-License-Identifier: PostgreSQL */
/* What is remembered of statements is what reading them would give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pool/harmless.h"
#include "pool/reading.h"
#include "pool/statement.h"

#define ITEMS(list) (sizeof(list) / sizeof((list)[0]))
#define TEXT_SIZE   400

static unsigned readings;

unsigned __real_statement_effects(const char *text);
unsigned __wrap_statement_effects(const char *text);
unsigned __wrap_statement_effects(const char *text)
{
	readings++;
	return __real_statement_effects(text);
}

static const char *const texts[] = {
	"SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
	"UPDATE t SET a = a + -12 WHERE id IN (1, 22, 333) AND f = 1.5e10",
	"SELECT x::float4, x::int8, c1, t2.c3 FROM t2 WHERE a[1:2] = '{12}'",
	"SELECT $1::text, $2::numeric(10, 2)",
	"SELECT 'seed', set_config('a.b', 'c', false), 12",
	"SELECT set_config('seed', '0.5', false)",
	"SELECT setseed(0.12)",
	"SET seed = 0.5; SELECT 1",
	"SELECT 1, $1$ SELECT setseed(1) $1$, 2",
	"SELECT 1, $t12$ setseed(12) $t12$, 2",
	"SELECT E'\\12', setseed(1)",
	"SELECT U&'\\0061', U&\"\\0061\" FROM t",
	"SELECT '12''34', \"12\" FROM \"t 12\" -- 12\n WHERE a = 1",
	"SELECT 1 /* 12 /* 34 */ 56 */, 2",
	"INSERT INTO t VALUES (1, 'a')",
	"SELECT 0x1f, 1e5, 1_000, 12abc, .5, 5.",
	"SELECT current_setting('a1'), round(12.5), lower('A12')",
	"DROP DATABASE d12; SELECT 12",
	"LOAD '12'",
	"BEGIN",
	"SAVEPOINT s1",
	"SELECT \xc3\xa4"
	"12, '\xc3\xa4 12' FROM t",
	"SELECT 12 INTO t",
	"",
	"12",
};

/* What a mutant has more of. */
static const char spice[] = "0123456789019'\"$\\eExX.-/*()_asSU&;: \n\xc3";

static unsigned pick(unsigned below)
{
	return (unsigned)rand() % below;
}

/* Another number, or another byte, in place of one; or one more. */
static void mutate(char *text)
{
	size_t len = strlen(text);
	size_t at = pick((unsigned)len + 1);
	size_t behind = at;
	char rest[TEXT_SIZE];
	char fresh[16] = {spice[pick(sizeof(spice) - 1)]};

	if (pick(4) > 0) {
		at += strcspn(text + at, "0123456789");
		behind = at + strspn(text + at, "0123456789");
		snprintf(fresh, sizeof(fresh), "%u", pick(100000));
	} else if (at < len) {
		behind += pick(2);
	}
	snprintf(rest, sizeof(rest), "%s", text + behind);
	snprintf(text + at, TEXT_SIZE - at, "%s%s", fresh, rest);
}

static void check(const char *text, bool judged, bool utf8)
{
	struct reading reading = reading_of(text, judged, utf8);

	if (reading.effects != statement_effects(text) ||
	    reading.harmless != (judged && statement_is_harmless(text, utf8))) {
		fail_msg("wrong (judged %d, utf8 %d): %s", judged, utf8, text);
	}
}

static void what_is_remembered_is_true(void **state)
{
	char text[TEXT_SIZE];

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 200000; round++) {
		bool judged = pick(8) > 0;
		bool utf8 = pick(8) > 0;

		snprintf(text, sizeof(text), "%s", texts[pick(ITEMS(texts))]);
		check(text, judged, utf8);
		for (unsigned i = pick(3); i < 3; i++) {
			mutate(text);
			check(text, judged, utf8);
		}
	}
}

/* A text that has no end within what is kept, and one that just has. */
static void long_texts(void **state)
{
	char text[TEXT_SIZE];

	(void)state;
	for (size_t len = 60; len < sizeof(text) - 20; len++) {
		memset(text, ' ', len);
		memcpy(text, "SELECT 1", 8);
		strcpy(text + len, "");
		check(text, true, true);
		check(text, true, true);
		strcpy(text + len, ", f(1)");
		check(text, true, true);
		strcpy(text + len, ", 12");
		check(text, true, true);
	}
}

/* Those of a transaction, over and over, and no further one among them. */
static void what_is_alike_is_not_read_again(void **state)
{
	static const char *const forms[] = {"BEGIN",
	                                    "UPDATE a SET b = b + %u WHERE c = %u",
	                                    "SELECT b FROM a WHERE c = %u",
	                                    "UPDATE t SET b = %u WHERE c = %u",
	                                    "INSERT INTO h VALUES (%u, %u)",
	                                    "END"};
	char text[TEXT_SIZE];

	(void)state;
	readings = 0;
	for (unsigned i = 0; i < 100; i++) {
		for (size_t j = 0; j < ITEMS(forms); j++) {
			unsigned number = pick(1000000);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof(text), forms[j], number, number);
#pragma GCC diagnostic pop
			reading_of(text, true, true);
		}
	}
	assert_int_equal(readings, ITEMS(forms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_remembered_is_true),
		cmocka_unit_test(long_texts),
		cmocka_unit_test(what_is_alike_is_not_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
