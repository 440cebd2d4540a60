/* SPDX-License-Identifier: PostgreSQL */
/* Which statements are known to leave nothing behind, and which are doubted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/harmless.h"

#define ITEMS(list) (sizeof(list) / sizeof((list)[0]))

static const char *const harmless[] = {
	"",
	" -- nothing but a comment",
	"/* a /* nested */ one */",
	"SELECT 1",
	"select 1;",
	"SELECT 1 ; -- and no more",
	"SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
	"SELECT * FROM a, b WHERE a.id = b.id AND (a.x, a.y) IN (VALUES (1, 2)) ORDER BY 1 "
	"LIMIT 5",
	"SELECT count(*), sum(x) FILTER (WHERE y > 0) FROM t GROUP BY z HAVING count (*) > 1",
	"SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t FOR UPDATE SKIP LOCKED",
	"SELECT lower(name) || 'x' AS \"Name\" FROM people WHERE name LIKE 'a''b%' ESCAPE '!'",
	"SELECT $1::text, $2::numeric(10, 2), x::timestamp with time zone, a[1:2], '{}'::int[]",
	"SELECT CAST(x AS integer), CAST((SELECT 1 AS y) AS text), interval '1 day', date "
	"'2020-01-01'",
	"SELECT x AT TIME ZONE 'UTC', extract(year from now()), 1.5e3, .5, B'01', x'ff'",
	"WITH a AS (SELECT 1), b AS MATERIALIZED (DELETE FROM t RETURNING *) SELECT * FROM a, "
	"b",
	"UPDATE t SET a = 1, (b, c) = (SELECT 1, 2) FROM u WHERE t.id = u.id RETURNING *",
	"DELETE FROM t USING u WHERE t.id = u.id",
	"VALUES (1, 'a'), (2, 'b')",
	"TABLE t",
	"SHOW search_path",
	"SHOW a.b",
	"SHOW\ta.b",
	"BEGIN",
	"BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY",
	"START TRANSACTION",
	"COMMIT AND CHAIN;",
	"ROLLBACK TO SAVEPOINT s",
	"SAVEPOINT \"s\"",
	"RELEASE s",
	"END",
	"ABORT",
	"SELECT 1 /* controller=people */",
	"SELECT '\xc3\xa4', \"\xc3\xa4\", \xc3\xa4 FROM t",
	"SELECT CAST(x AS text), (SELECT 1 AS y)",
	"SELECT 5e-3, 1.5E+3",
	"SELECT /*/ one */ 1, /* two /* in */*/ 2",
	"SELECT \"order\" FROM t WHERE a = 1 AND b = '2' OR NOT c",
};

static const char *const doubted[] = {
	"SET a = 1",
	"RESET ALL",
	"DISCARD ALL",
	"SET LOCAL a = 1",
	"SELECT 1; SET a = 1",
	"SELECT 1;;",
	"BEGIN; SET a = 1; COMMIT",
	"COMMIT; SELECT 1",
	"SELECT set_config('a.b', 'c', false)",
	"SELECT SET_CONFIG ('a.b', 'c', false)",
	"SELECT set_config/**/('a.b', 'c', false)",
	"SELECT set_config -- )\n('a.b', 'c', false)",
	"SELECT \"set_config\"('a.b', 'c', false)",
	"SELECT pg_catalog.set_config('a.b', 'c', false)",
	"SELECT x.lower('a')",
	"SELECT nextval('s')",
	"SELECT pg_advisory_lock(1)",
	"SELECT setseed(0.5)",
	"SELECT f()",
	"SELECT lower(f('x'))",
	"SELECT * FROM f(1)",
	"SELECT * FROM t WHERE EXISTS (SELECT f(1))",
	"SELECT (x).f",
	"SELECT (x) . f",
	"SELECT x[1].f",
	"SELECT $1.f",
	"SELECT x.nextval FROM f x",
	"SELECT x.\"pg_advisory_lock\" FROM f x",
	"SELECT x.pg_replication_origin_session_setup FROM f x",
	"SELECT next('s')",
	"SELECT text.mytype 'x'",
	"SELECT mine.text 'x'",
	"SELECT x::text.mytype",
	"SELECT CAST(x AS text . mytype)",
	"SELECT 1 INTO t",
	"SELECT 1 into TEMP t",
	"SELECT 1into t",
	"SELECT 1e5into t",
	"SELECT $1into t",
	"SHOW 1a",
	"SELECT $",
	"CREATE TEMP TABLE t AS SELECT 1",
	"INSERT INTO t VALUES (1)",
	"WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
	"MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
	"UPDATE t SET id = DEFAULT",
	"UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'",
	"UPDATE \"pg_settings\" SET setting = '1'",
	"UPDATE pg_catalog.pg_settings SET setting = '1'",
	"PREPARE p AS SELECT 1",
	"EXECUTE p",
	"DECLARE c CURSOR WITH HOLD FOR SELECT 1",
	"LISTEN x",
	"COPY t FROM STDIN",
	"DO $$ BEGIN END $$",
	"CALL p()",
	"LOAD 'x'",
	"EXPLAIN ANALYZE SELECT 1",
	"PREPARE TRANSACTION 'x'",
	"START_REPLICATION",
	"START REPLICATION",
	"LOCK t",
	"SELECT 'a\\' , set_config('a.b','c',false), '",
	"SELECT '\\'",
	"SELECT E'a'",
	"SELECT e'a'",
	"SELECT U&'a'",
	"SELECT u&\"set!005fconfig\" UESCAPE '!' ('a.b', 'c', false)",
	"SELECT $$a$$",
	"SELECT $a$ $a$",
	"SELECT mytype 'x'",
	"SELECT t'x'",
	"SELECT b 'x'",
	"TABLE 'x'",
	"SAVEPOINT 'x'",
	"SELECT \"mytype\" 'x'",
	"SELECT x::mytype",
	"SELECT x::\"text\"",
	"SELECT x :: mytype",
	"SELECT x::$1",
	"SELECT CAST(x AS mytype)",
	"SELECT CAST(x AS \"text\")",
	"SELECT CAST((1 + (2)) AS mytype)",
	"SELECT CAST(CAST(1 AS text) AS mytype)",
	"SELECT 1 OPERATOR(pg_catalog.+) 2",
	"SELECT 'a",
	"SELECT \"a",
	"SELECT 1)",
	"\\",
	"SELECT \\",
	"nothing known",
	"\"select\" 1",
	"EXECUTE",
};

static void fail_of(const char *what, const char *text)
{
	fail_msg("%s: %s", what, text);
}

static void test_harmless(void **state)
{
	(void)state;
	for (size_t i = 0; i < ITEMS(harmless); i++) {
		if (!statement_is_harmless(harmless[i], true)) {
			fail_of("doubted", harmless[i]);
		}
	}
}

static void test_doubted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ITEMS(doubted); i++) {
		if (statement_is_harmless(doubted[i], true)) {
			fail_of("not doubted", doubted[i]);
		}
	}
}

/* A byte of a letter may look like a quote where the encoding is not known. */
static void test_letters_of_other_encodings(void **state)
{
	static const char *const texts[] = {"SELECT '\xe4'", "SELECT \xe4", "SELECT \"\xe4\"",
	                                    "SELECT a\xe4"};

	(void)state;
	for (size_t i = 0; i < ITEMS(texts); i++) {
		assert_true(statement_is_harmless(texts[i], true));
		assert_false(statement_is_harmless(texts[i], false));
	}
	assert_true(statement_is_harmless("SELECT 'a'", false));
}

/* Every beginning of every text, in memory of its own: nothing is read behind the NUL. */
static void test_beginnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ITEMS(doubted); i++) {
		for (size_t len = strlen(doubted[i]); len-- > 0;) {
			char *part = strndup(doubted[i], len);

			assert_non_null(part);
			(void)statement_is_harmless(part, true);
			free(part);
		}
	}
}

/* For those who look one up in the list. */
static void test_words_are_sorted(void **state)
{
	static const char *const words[] = {
#define WORD(name, flags) #name,
#include "sql/harmless.def"
#undef WORD
	};

	(void)state;
	for (size_t i = 1; i < ITEMS(words); i++) {
		assert_true(strcmp(words[i - 1], words[i]) < 0);
	}
}

/* So many parentheses that their count would overflow what counts them. */
static void test_depth(void **state)
{
	char text[400] = "SELECT ";

	(void)state;
	memset(text + 7, '(', 150);
	text[157] = '1';
	memset(text + 158, ')', 150);
	assert_false(statement_is_harmless(text, true));
	assert_true(statement_is_harmless("SELECT ((((((((((1))))))))))", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_doubted),
		cmocka_unit_test(test_letters_of_other_encodings),
		cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_words_are_sorted),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
