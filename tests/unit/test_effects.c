/* SPDX-License-Identifier: PostgreSQL */
/* What SQL text does, in many spellings; and that nothing is read behind its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sql/effects.h"
#include "sql/harmless.h"

#define LOADS  STATEMENT_LOADS
#define SLOT   STATEMENT_MAKES_SLOT
#define SEEDS  STATEMENT_SEEDS
#define ALTERS STATEMENT_ALTERS
#define ORIGIN STATEMENT_ORIGIN
#define EXTEND STATEMENT_EXTENDS
#define BACKUP STATEMENT_BACKS_UP
#define CUSTOM STATEMENT_CUSTOM

struct example {
	const char *text;
	unsigned effects;
};

/*
 * The effects of a text that ends where its page does: a byte read behind the NUL is one
 * too many for the test.
 */
static unsigned effects_of(const char *text)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = strlen(text) + 1;
	size_t pages = (size + page - 1) / page;
	char *map = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = map + pages * page;
	unsigned effects;

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(end, page, PROT_NONE), 0);
	memcpy(end - size, text, size);
	effects = statement_effects(end - size);
	munmap(map, (pages + 1) * page);
	return effects;
}

/* Also of every beginning of it, for what they may read; their effects are not asked. */
static void check(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *text = examples[i].text;
		unsigned effects = effects_of(text);

		if (effects != examples[i].effects) {
			fail_msg("%s: %u instead of %u", text, effects, examples[i].effects);
		}
		if (effects != 0 && statement_is_harmless(text, true)) {
			fail_msg("%s: harmless, with effects %u", text, effects);
		}
		for (size_t len = strlen(text); len-- > 0;) {
			char *part = strndup(text, len);

			effects_of(part);
			free(part);
		}
	}
}

#define CHECK(examples) check(examples, sizeof(examples) / sizeof((examples)[0]))

static void tells_statements_by_their_first_words(void **state)
{
	static const struct example examples[] = {
		{"LOAD 'auto_explain'", LOADS},
		{"load'auto_explain'", LOADS},
		{"  \t\r\n\f Load 'x'", LOADS},
		{"LOADS 'x'", 0},
		{"COPY load FROM stdin", 0},
		{"SELECT load FROM t", 0},
		{"DROP DATABASE d", ALTERS},
		{"drop database if exists \"d\" with (force)", ALTERS},
		{"DROP\nROLE a, b", ALTERS},
		{"DROP USER u", ALTERS},
		{"DROP USER \"mapping\"", ALTERS},
		{"DROP USER MAPPING FOR u SERVER s", 0},
		{"ALTER USER MAPPING FOR u SERVER s OPTIONS (x 'y')", 0},
		{"CREATE USER MAPPING FOR u SERVER s", 0},
		{"DROP GROUP g", ALTERS},
		{"DROP OWNED BY u", ALTERS},
		{"REASSIGN OWNED BY u TO v", ALTERS},
		{"ALTER DATABASE d SET work_mem = '1MB'", ALTERS},
		{"ALTER ROLE ALL SET work_mem = '1MB'", ALTERS},
		{"ALTER USER u PASSWORD 'x'", ALTERS},
		{"ALTER GROUP g ADD USER u", ALTERS},
		{"ALTER SYSTEM SET work_mem = '1MB'", ALTERS},
		{"CREATE DATABASE d TEMPLATE e", ALTERS},
		{"CREATE EVENT TRIGGER e ON login EXECUTE FUNCTION f()", ALTERS},
		{"alter event trigger e DISABLE", ALTERS},
		{"DROP EVENT TRIGGER IF EXISTS e", ALTERS},
		{"CREATE TRIGGER event BEFORE INSERT ON t EXECUTE FUNCTION f()", 0},
		{"CREATE ROLE r", 0},
		{"CREATE TABLE database (a int)", 0},
		{"DROP TABLE database, role", 0},
		{"ALTER TABLE t RENAME TO role", 0},
		{"ALTER DEFAULT PRIVILEGES FOR ROLE r GRANT SELECT ON TABLES TO u", 0},
		{"DROP \"database\" d", 0},
		{"REVOKE CONNECT ON DATABASE d FROM u", ALTERS},
		{"GRANT ALL PRIVILEGES ON DATABASE d TO u", ALTERS},
		{"GRANT SELECT ON database TO u", ALTERS}, /* a table of that name: no harm */
		{"GRANT SELECT ON t TO u", 0},
		{"COMMENT ON DATABASE d IS 'x'", 0},
		{"SET seed TO 0.5", SEEDS},
		{"SET SESSION seed = 0.5", SEEDS},
		{"set local \"seed\" = 0.5", SEEDS},
		{"SET search_path TO seed", 0},
		{"UPDATE t SET seed = 1", 0},
		{"SELECT 1", 0},
		{"", 0},
		{";", 0},
	};

	(void)state;
	CHECK(examples);
	assert_int_equal(statement_effects(NULL), 0);
}

static void tells_functions_by_their_name(void **state)
{
	static const struct example examples[] = {
		{"SELECT setseed(0.5)", SEEDS},
		{"SELECT pg_catalog . SetSeed ( 0.5 )", SEEDS},
		{"SELECT \"setseed\"(0.5)", SEEDS},
		{"WITH a AS (SELECT 1) SELECT * FROM a, setseed(0.1)", SEEDS},
		{"PREPARE p AS SELECT setseed($1)", SEEDS},
		{"SELECT 1;SELECT 2+setseed(0)", SEEDS},
		{"SELECT my_setseed(1), setseeds(1), setsee(1)", 0},
		{"SELECT 'setseed(0.5)'", 0},
		{"SELECT set_config('seed', '0.5', false)", SEEDS},
		{"SELECT pg_catalog.set_config ( 'Seed' , $1, true)", SEEDS},
		{"SELECT set_config('search_path', 'seed_x', false)", 0},
		{"SELECT 'seed'", 0},
		{"SELECT pg_create_physical_replication_slot('s', true, true)", SLOT},
		{"SELECT * FROM pg_create_logical_replication_slot('s', 'x', true)", SLOT},
		{"SELECT pg_copy_physical_replication_slot('s', 't', true)", SLOT},
		{"SELECT pg_copy_logical_replication_slot('s', 't', true)", SLOT},
		{"SELECT pg_drop_replication_slot('s')", 0},
		{"SELECT pg_reload_conf()", ALTERS},
		{"SELECT pg_backup_start('b', true)", BACKUP},
		{"SELECT pg_start_backup('b', true, false)", BACKUP},
		{"SELECT pg_backup_stop()", 0},
		{"SELECT isn_weak(true)", EXTEND},
		{"SELECT U&\"s\\0065tseed\"(0.5)", CUSTOM},
		{"SELECT U&'s\\0065tseed', u & \"a\"", 0},
		{"SELECT pg_reload_conf(), setseed(1)", ALTERS | SEEDS},
	};

	(void)state;
	CHECK(examples);
}

/* Called like columns, which test_harmless.c's statements may have. */
static void none_is_in_a_harmless_statement(void **state)
{
	static const char *const names[] = {
		"setseed",
		"pg_reload_conf",
		"pg_create_physical_replication_slot",
		"pg_create_logical_replication_slot",
		"pg_copy_physical_replication_slot",
		"pg_copy_logical_replication_slot",
		"pg_replication_origin_session_setup",
		"dblink_connect",
		"dblink_connect_u",
		"hypopg_create_index",
		"hypopg_hide_index",
		"set_user",
		"set_session_auth",
		"set_backend_priority",
		"dbms_alert",
		"dbms_output",
		"dbms_random",
		"pg_backup_start",
		"pg_start_backup",
		"isn_weak",
	};
	char text[100];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "SELECT t.%s FROM t", names[i]);
		if (statement_effects(text) == 0 || statement_is_harmless(text, true)) {
			fail_msg("%s", text);
		}
	}
	assert_false(statement_is_harmless("SELECT t.set_config FROM t", true));
}

static void tells_customised_settings(void **state)
{
	static const struct example examples[] = {
		{"SET app.user = 'x'", CUSTOM},
		{"SET u&\"app\\002euser\" = 'x'", CUSTOM},
		{"RESET U&\"app\".x", CUSTOM},
		{"ALTER FUNCTION f() RESET ALL", 0},
		{"set session app.user TO 1", CUSTOM},
		{"SET LOCAL /* */ app -- \n . \"user\" = ''", CUSTOM},
		{"SET \"app.user\" = 1", CUSTOM},
		{"SET \"app\".\"user\" = 1", CUSTOM},
		{"SET session.user = 1", CUSTOM},
		{"SET local . user = 1", CUSTOM},
		{"SET app.user TO DEFAULT", CUSTOM},
		{"RESET app.user", CUSTOM},
		{"BEGIN; SET LOCAL app.user = 1; ROLLBACK", CUSTOM},
		{"SET search_path = app.user", 0},
		{"SET search_path TO \"app.user\"", 0},
		{"SET ROLE app", 0},
		{"SET SESSION AUTHORIZATION app", 0},
		{"SET TIME ZONE 'a.b'", 0},
		{"SET CONSTRAINTS app.user DEFERRED", 0},
		{"RESET ALL", 0},
		{"SHOW app.user", 0},
		{"SELECT current_setting('app.user', true)", 0},
		{"UPDATE t SET a.b = 1", 0},
		{"SET", 0},
		{"SET app", 0},
		{"SET \"", 0},
		{"SELECT set_config('app.user', 'x', true)", CUSTOM},
		{"SELECT pg_catalog.\"set_config\"('app.user', $1, $2)", CUSTOM},
		{"SELECT set_config ( -- \n 'role', 'a.b', true), set_config('a.b','',true)",
	         CUSTOM},
		{"SELECT set_config($1, $2, false)", CUSTOM},
		{"SELECT set_config('a' || '.b', $2, false)", CUSTOM},
		{"SELECT set_config(setting_name => 'x', new_value => 'y', is_local => true)",
	         CUSTOM},
		{"SELECT set_config('search_path', 'a.b', false)", 0},
		{"SELECT set_config FROM t", 0},
		{"SELECT set_config('", CUSTOM},
		{"SELECT set_config(", CUSTOM},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET a.b = 1 AS $$SELECT 1$$",
	         CUSTOM},
		{"ALTER FUNCTION f SET search_path = public SET a.b FROM CURRENT", CUSTOM},
		{"ALTER FUNCTION f RESET a.b", CUSTOM},
		{"ALTER TABLE t ALTER a SET DEFAULT b.c()", 0},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SET a.b = 1'", 0},
	};

	(void)state;
	CHECK(examples);
}

static void tells_what_else_stays(void **state)
{
	static const struct example examples[] = {
		{"SELECT pg_replication_origin_session_setup('o')", ORIGIN},
		{"SELECT pg_replication_origin_create('o')", 0},
		{"SELECT dblink_connect('c', 'dbname=d')", EXTEND},
		{"SELECT public.DBLINK_CONNECT_U('dbname=d')", EXTEND},
		{"SELECT * FROM dblink('dbname=d', 'SELECT 1') AS t(a int)", 0},
		{"SELECT hypopg_create_index('CREATE INDEX ON t (a)')", EXTEND},
		{"SELECT hypopg_hide_index(1)", EXTEND},
		{"SELECT set_user('postgres')", EXTEND},
		{"SELECT set_session_auth('app')", EXTEND},
		{"SELECT set_backend_priority(pg_backend_pid(), 5)", EXTEND},
		{"SELECT dbms_alert.register('a')", EXTEND},
		{"SELECT dbms_output.put_line('a')", EXTEND},
		{"SELECT dbms_random.seed(1)", EXTEND},
	};

	(void)state;
	CHECK(examples);
}

static void searches_blocks_for_the_words(void **state)
{
	static const struct example examples[] = {
		{"DO $body$ BEGIN PERFORM setseed(1); END $body$", SEEDS},
		{"DO LANGUAGE plpgsql 'BEGIN PERFORM set_config(''a.b'', ''c'', true); END'",
	         CUSTOM},
		{"DO E'BEGIN\n SET LOCAL a.b = 1; END'", CUSTOM},
		{"DO $$ BEGIN IF true THEN LOAD 'x'; ELSE SET a.b = 1; END IF; END $$",
	         LOADS | CUSTOM},
		{"DO $$BEGIN EXECUTE format('ALTER ROLE %I NOLOGIN', 'r'); END$$", ALTERS},
		{"DO $$BEGIN ALTER FUNCTION f SET a.b = 1; END$$", CUSTOM},
		{"do $$begin end$$; SELECT $$ SET a.b = 1 $$", 0},
		{"DO $$ BEGIN SET work_mem = '1MB'; END $$", 0},
		{"DO $$ BEGIN CREATE TABLE t (a int DEFAULT 1); DROP TABLE t; END $$", 0},
		{"DO $$ SET a.b", CUSTOM},
		{"DO 'SET a", 0},
		{"INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 'SET a.b'", 0},
	};

	(void)state;
	CHECK(examples);
}

static void reads_statements_one_after_another(void **state)
{
	static const struct example examples[] = {
		{"SELECT 1; LOAD 'x'", LOADS},
		{"BEGIN;ALTER ROLE r NOLOGIN;COMMIT", ALTERS},
		{"DROP TABLE t;DATABASE d", 0},
		{"DROP; DATABASE d", 0},
		{"LOAD 'x'; DROP ROLE r; SELECT setseed(0)", LOADS | ALTERS | SEEDS},
		{"SELECT ';' ; LOAD 'x'", LOADS},
		{";;;LOAD 'x'", LOADS},
	};

	(void)state;
	CHECK(examples);
}

static void skips_comments(void **state)
{
	static const struct example examples[] = {
		{"/* a */ LOAD 'x'", LOADS},
		{"-- a\nLOAD 'x'", LOADS},
		{"-- a\rLOAD 'x'", LOADS},
		{"-- LOAD 'x'", 0},
		{"DROP/**/DATABASE d", ALTERS},
		{"DROP -- role\n DATABASE d", ALTERS},
		{"/* /* */ LOAD 'x' */ SELECT 1", 0},
		{"/* /* */ */ LOAD 'x'", LOADS},
		{"/*/ LOAD 'x' */", 0},
		{"/* setseed(1)", 0},
		{"/*;*/LOAD 'x'", LOADS},
		{"SELECT 1 - -setseed(1)", SEEDS},
		{"SELECT 1 / setseed(1)", SEEDS},
		{"SELECT ' -- ' , setseed(1)", SEEDS},
		{"SELECT ' /* ' , setseed(1)", SEEDS},
	};

	(void)state;
	CHECK(examples);
}

static void skips_what_is_quoted(void **state)
{
	static const struct example examples[] = {
		{"SELECT 'a''; LOAD ''x'", 0},
		{"SELECT '\\'; LOAD 'x'", LOADS},
		{"SELECT E'\\'; LOAD ''x'", 0},
		{"SELECT e'\\\\'; LOAD 'x'", LOADS},
		{"SELECT E'a'\n  'b\\'; LOAD '", 0},
		{"SELECT E'a'  ;LOAD 'b'", LOADS},
		{"SELECT type'\\'; LOAD 'x'", LOADS},
		{"SELECT U&'\\0061'; LOAD 'x'", LOADS},
		{"SELECT B'1', x'f', N'n'; LOAD 'x'", LOADS},
		{"SELECT \"a\"\"; LOAD x\"", 0},
		{"SELECT \"a\\\"; LOAD 'x'", LOADS},
		{"SELECT $$; LOAD 'x'$$", 0},
		{"SELECT $$a$$; LOAD 'x'", LOADS},
		{"SELECT $body$ BEGIN PERFORM setseed(1); END $body$", 0},
		{"DO $a$ $b$ $$ $a $ab$ $a$; LOAD 'x'", LOADS},
		{"SELECT $1; LOAD 'x'", LOADS},
		{"SELECT $1$; LOAD 'x'", LOADS},
		{"SELECT a$b$, setseed(1), c$b$", SEEDS},
		{"SELECT $a; LOAD 'x'", LOADS},
		{"SELECT 1e5, 1setseed, 0x1f; LOAD 'x'", LOADS},
		{"SELECT $\xc3\xa4$ setseed(1) $\xc3\xa4$", 0},
		{"SELECT \xc3\xa4setseed(1)", 0},
		{"SELECT 'setseed(1)", 0},
		{"SELECT \"setseed", SEEDS},
		{"SELECT $x$ setseed(1) $x", 0},
		{"SELECT E'\\", 0},
		{"\"\"", 0},
		{"$", 0},
		{"/", 0},
		{"-", 0},
	};

	(void)state;
	CHECK(examples);
}

/* Seconds for `count` times the piece, less what the machine does meanwhile: the best of 3. */
static double seconds_for(const char *piece, size_t count)
{
	size_t len = strlen(piece);
	char *text = malloc(len * count + 1);
	uint64_t best = UINT64_MAX;

	assert_non_null(text);
	for (size_t i = 0; i < count; i++) {
		memcpy(text + i * len, piece, len);
	}
	text[len * count] = '\0';
	for (int i = 0; i < 3; i++) {
		uint64_t began = clock_monotonic_ns();
		uint64_t took;

		statement_effects(text);
		took = clock_monotonic_ns() - began;
		best = took < best ? took : best;
	}
	free(text);
	return (double)best / 1e9;
}

/* Twice squared would be 64 times 64 as long. */
static void takes_time_in_proportion(void **state)
{
	static const char *const pieces[] = {
		"$a",
		"$a$",
		"$$",
		"/*",
		"*/",
		"'",
		"E'a'\n",
		"E'a' ",
		"\"",
		"\"a",
		"-",
		"$aaaaaa",
		"a",
		";",
		"\\",
		"E'",
		"$abc$ab",
		"-- \n",
		"setseed",
		"set_config('",
		"set_config(/*",
		"SET a/*",
		"DO 'SET a.b' ",
		"DO $$ a $$",
	};

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* its strchr() reads to the end each time */
#endif
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		double small = seconds_for(pieces[i], 2000);
		double large = seconds_for(pieces[i], 128000);

		if (large > small * 64 * 16 + 0.005) {
			fail_msg("%s: %f s, then %f s", pieces[i], small, large);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_statements_by_their_first_words),
		cmocka_unit_test(tells_functions_by_their_name),
		cmocka_unit_test(none_is_in_a_harmless_statement),
		cmocka_unit_test(tells_customised_settings),
		cmocka_unit_test(tells_what_else_stays),
		cmocka_unit_test(searches_blocks_for_the_words),
		cmocka_unit_test(reads_statements_one_after_another),
		cmocka_unit_test(skips_comments),
		cmocka_unit_test(skips_what_is_quoted),
		cmocka_unit_test(takes_time_in_proportion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
