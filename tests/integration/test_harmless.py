# SPDX-License-Identifier: PostgreSQL
"""PQPOOL_RESET=auto: what is judged to leave nothing behind leaves nothing behind.

The judge (shim/sql/harmless.c) is asked about statements put together at random, valid and
mangled ones; those it calls harmless are run, and the session is looked at before and after.
Nothing here hides what it does, as a trigger, an operator or one's own f(t) written as t.f would.
"""
import ctypes
import os
import random
import subprocess

import psycopg2
import pytest

from running import NOT_ASKED

AUTO = {"PQPOOL_RESET": "auto"}
ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
ROUNDS = 12000

SCHEMA = """
CREATE TABLE fuzz (id serial PRIMARY KEY, a int, b text, ts timestamptz DEFAULT now(), j jsonb);
INSERT INTO fuzz (a, b, j) SELECT g, 'row ' || g, '{"k": 1}' FROM generate_series(1, 20) g;
CREATE SEQUENCE fuzz_seq;
CREATE FUNCTION leaves(int) RETURNS int LANGUAGE sql AS
    $$SELECT set_config('fuzz.mark', 'called', false)::text::int$$;
CREATE TYPE pair AS (x int, y int);
CREATE FUNCTION next(text) RETURNS text LANGUAGE sql AS
    $$SELECT set_config('fuzz.mark', $1, false)$$;
CREATE FUNCTION conflict(text) RETURNS text LANGUAGE sql AS $$SELECT next($1)$$;
CREATE SCHEMA text;
CREATE DOMAIN text.int4 AS text CHECK (next(value) <> '');
CREATE FUNCTION fuzz_lastval() RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RETURN lastval(); EXCEPTION WHEN OTHERS THEN RETURN 'none'; END$$;
"""

LOOK = """
SELECT (SELECT md5(string_agg(name || '=' || coalesce(setting, ''), ',' ORDER BY name))
        FROM pg_settings),
       current_setting('fuzz.mark', true), session_user, current_user, public.fuzz_lastval(),
       (SELECT string_agg(name, ',') FROM pg_prepared_statements),
       (SELECT string_agg(name, ',') FROM pg_cursors WHERE is_holdable),
       (SELECT string_agg(c, ',') FROM pg_listening_channels() c),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())
"""

# Each leaves something that LOOK sees, alone or as a part of something larger.
LEAVING = [
    "SET work_mem = '123kB'", "SET SESSION work_mem TO '124kB'", "SET TIME ZONE 'Asia/Tokyo'",
    "SET search_path = pg_catalog", "SET ROLE pg_monitor", "SELECT set_config('fuzz.mark', 'x', false)",
    "SELECT pg_catalog.set_config('fuzz.mark', 'x', false)",
    "UPDATE pg_settings SET setting = '125' WHERE name = 'work_mem'",
    "SELECT pg_advisory_lock(1)", "SELECT nextval('fuzz_seq')",
    "INSERT INTO fuzz (a) VALUES (1)", "UPDATE fuzz SET id = DEFAULT WHERE id = 3",
    "WITH w AS (INSERT INTO fuzz (a) VALUES (2) RETURNING *) SELECT * FROM w",
    "LISTEN fuzz", "PREPARE p AS SELECT 1", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TEMP TABLE t (a int)", "SELECT 1 AS a INTO TEMP t", "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "DO $$BEGIN PERFORM set_config('fuzz.mark', 'x', false); END$$",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SELECT E'\\'', set_config('fuzz.mark', 'x', false), ''",
    "SELECT 1; SET work_mem = '126kB'", "BEGIN; SET work_mem = '127kB'; COMMIT",
    "SELECT/**/set_config/**/('fuzz.mark', 'x', false)",
    "SELECT \"set_config\"('fuzz.mark', 'x', false)",
    "SELECT U&\"set!005fconfig\" UESCAPE '!' ('fuzz.mark', 'x', false)",
    "VALUES (set_config('fuzz.mark', 'x', false))",
    "SELECT count(*) FROM fuzz WHERE set_config('fuzz.mark', b, false) = ''",
    "SELECT lower(set_config('fuzz.mark', 'x', false))",
    "EXPLAIN ANALYZE SELECT set_config('fuzz.mark', 'x', false)",
    # A function called like a column of another one's value.
    "SELECT g.pg_advisory_lock FROM generate_series(1, 1) g",
    "SELECT g . \"pg_try_advisory_lock_shared\" FROM generate_series(1, 1) AS g",
    "SELECT n.nextval FROM unnest(ARRAY['fuzz_seq']::regclass[]) n",
    "SELECT t.ts_stat FROM concat('SELECT set_config(''fuzz.mark'', ''x'', false)::tsvector') t",
    # Types of somebody's own that are called like built-in ones, and functions like key words.
    "SELECT text.int4 'x'", "SELECT CAST('x' AS text.int4)", "SELECT 'x'::text.int4",
    "SELECT next('x')", "SELECT conflict('x')",
]

HARMLESS = [
    "SELECT 1", "SELECT * FROM fuzz WHERE id = 1", "SELECT count(*), max(a) FROM fuzz GROUP BY b",
    "SELECT lower(b), upper('x'), coalesce(a, 0) FROM fuzz ORDER BY 1 LIMIT 3",
    "UPDATE fuzz SET a = a + 1 WHERE id = 2 RETURNING id", "DELETE FROM fuzz WHERE id = 999",
    "WITH w AS (SELECT id FROM fuzz) SELECT * FROM w JOIN fuzz USING (id)", "VALUES (1, 'a')",
    "SELECT CAST(a AS text), b::text, a::numeric(10, 2) FROM fuzz", "SHOW work_mem", "TABLE fuzz",
    "SELECT 'it''s' || 'set_config(''fuzz.mark'', ''x'', false)'", "BEGIN", "COMMIT", "ROLLBACK",
    "START TRANSACTION READ ONLY", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "SELECT 1/0",
    "SELECT j -> 'k', j ->> 'k', jsonb_typeof(j) FROM fuzz", "SELECT now() - interval '1 day'",
    "SELECT extract(epoch from ts) FROM fuzz -- the end", "SELECT /* set */ 1 /* nested /* */ */",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY id) FROM fuzz FOR UPDATE",
    "SELECT id FROM fuzz FOR UPDATE SKIP LOCKED", "SELECT ARRAY[1, 2][1:2], '{1}'::int[]",
]

SCRAPS = ["'", '"', "\\", ";", "--", "\n", "/*", "*/", "(", ")", "::", ".", "$$", "$1", "E'", "U&",
          "set_config('fuzz.mark', 'x', false)", "leaves(1)", "leaves", "INTO TEMP t", "DEFAULT", "AS",
          "nextval('fuzz_seq')", "SELECT", "1", "x", ",", "\u00e4", " ", "pair", "''", "\t",
          "text", "int4", "next", ".pg_advisory_lock", ".nextval"]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    library = str(tmp_path_factory.mktemp("judge") / "judge.so")
    subprocess.run(["gcc", "-std=c11", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC",
                    "-I" + os.path.join(ROOT, "shim"), "-o", library,
                    os.path.join(ROOT, "shim/sql/harmless.c"),
                    os.path.join(ROOT, "shim/sql/lexer.c")], check=True)
    function = ctypes.CDLL(library).statement_is_harmless
    function.argtypes = [ctypes.c_char_p, ctypes.c_bool]
    function.restype = ctypes.c_bool
    return lambda text: function(text.encode(), True)


class Subject:
    """A session that statements are tried on."""

    def __init__(self, server):
        self.errors = psycopg2.Error
        self.connection = psycopg2.connect(server.dsn(user="postgres"))
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.clean = self.look()

    def look(self):
        self.cursor.execute(LOOK)
        return self.cursor.fetchone()

    def run(self, statement):
        """True if the server did it."""
        try:
            self.cursor.execute(statement)
            return True
        except (self.errors, ValueError):
            return False

    @property
    def idle(self):
        return self.connection.info.transaction_status == 0

    def reset(self):
        self.run("ROLLBACK")
        assert self.run("DISCARD ALL") and self.look() == self.clean


@pytest.fixture
def subject(server):
    server.sql(SCHEMA)
    subject = Subject(server)
    yield subject
    subject.connection.close()
    server.sql("DROP TABLE fuzz CASCADE; DROP SEQUENCE fuzz_seq; DROP TYPE pair;"
               "DROP FUNCTION leaves(int); DROP FUNCTION fuzz_lastval(); DROP SCHEMA text CASCADE;"
               "DROP FUNCTION next(text); DROP FUNCTION conflict(text)")


def mangled(source, statement):
    """With something put in, taken out, or exchanged, at one to three places."""
    for _ in range(source.randint(1, 3)):
        at = source.randint(0, len(statement))
        end = min(len(statement), at + source.choice([0, 0, 0, 1, 2, 5]))
        statement = statement[:at] + source.choice(SCRAPS) + statement[end:]
    return statement


def composed(source):
    statement = source.choice(HARMLESS if source.random() < 0.5 else LEAVING)
    kind = source.random()
    if kind < 0.2:
        return statement
    if kind < 0.35:
        return statement + source.choice(["; ", " ;-- ", " /**/", "\n", " UNION ", ") ", "' "]) \
            + source.choice(HARMLESS + LEAVING)
    if kind < 0.45:
        return source.choice(["SELECT (%s)", "WITH w AS (%s) SELECT 1", "SELECT '%s'", "-- %s",
                              "/* %s */ SELECT 1", "SELECT E'%s'", "SELECT $$%s$$"]) % statement
    return mangled(source, statement)


@pytest.mark.parametrize("statement", LEAVING)
def test_what_leaves_something_is_doubted(judge, subject, statement):
    subject.run(statement)
    assert subject.look() != subject.clean, "it cannot be seen at all"
    assert not judge(statement)


def test_what_is_common_is_known(judge):
    assert [s for s in HARMLESS if not judge(s)] == []


def test_nothing_judged_harmless_leaves_anything(judge, subject):
    source = random.Random(20)
    done = tried = 0
    while tried < ROUNDS:
        statements = [composed(source) for _ in range(source.randint(1, 4))]
        harmless = [s for s in statements if judge(s)]
        tried += len(statements)
        done += sum([subject.run(s) for s in harmless])
        if harmless and subject.idle:
            assert subject.look() == subject.clean, harmless
        elif not subject.idle:
            subject.run("ROLLBACK")
    assert done > ROUNDS / 20, "hardly anything was run"


# -- in a program ---------------------------------------------------------------------------


def last_query(server, pid):
    return server.sql("SELECT query FROM pg_stat_activity WHERE pid = " + pid)[0][0]


def lease(s, *statements):
    pid = s.connect("a")
    for statement in statements:
        s.do("exec", "a", statement)
    s.finish("a")
    return pid


# By what the session was asked last, after the next lease, which sends nothing, has come and
# gone: whatever the reset was to send has been sent by then.
@NOT_ASKED
@pytest.mark.parametrize("env,statements,last", [
    (AUTO, ["SELECT 1"], "SELECT 1"),
    (AUTO, ["BEGIN", "SELECT 1", "COMMIT"], "COMMIT"),
    (AUTO, ["SELECT 1/0"], "SELECT 1/0"),
    (AUTO, ["SET work_mem = '123kB'"], "DISCARD ALL"),
    (AUTO, ["SET work_mem = '123kB'", "SELECT 1"], "DISCARD ALL"),
    (AUTO, ["BEGIN", "SELECT 1"], "DISCARD ALL"),
    ({}, ["SELECT 1"], "DISCARD ALL"),
], ids=repr)
def test_who_is_reset(script, server, env, statements, last):
    s = script(env={"PQPOOL_PRE_PING": "off", **env})
    pid = lease(s, *statements)
    assert lease(s) == pid and last_query(server, pid) == last
    assert len(s.events("session_open")) == 1


@NOT_ASKED
def test_nothing_sent_nothing_reset(script, server):
    s = script(env={"PQPOOL_PRE_PING": "off"})
    assert lease(s) == lease(s)
    assert last_query(server, s.connect("a")) == ""
    s.finish("a")


def test_prepared_by_protocol_only(script):
    """Its text leaves nothing, but its name is there."""
    s = script(env={"PQPOOL_PRE_PING": "off", **AUTO})
    pid = s.connect("a")
    assert s.do("prepare", "a", "SELECT 1") == "PGRES_COMMAND_OK"
    assert s.do("prepare", "a", "SELECT 1").startswith("PGRES_FATAL_ERROR"), "it is not there"
    s.finish("a")
    assert s.connect("a") == pid
    assert s.do("prepare", "a", "SELECT 1") == "PGRES_COMMAND_OK"
    s.finish("a")


@pytest.mark.parametrize("pipeline", [False, True], ids=["call", "pipeline"])
def test_unnamed_statement_of_another(script, pipeline):
    s = script(env={"PQPOOL_PRE_PING": "off", **AUTO})
    pid = s.connect("a")
    assert "secret" in s.do("extended", "a", "SELECT 'secret'")
    assert "secret" in s.do("unnamed", "a"), "it is not there to begin with"
    s.finish("a")
    assert s.connect("a") == pid
    if pipeline:
        s.do("pipeline", "a")
        s.do("unnamed", "a")
        s.do("sync", "a")
        answer = s.do("get", "a")
    else:
        answer = s.do("unnamed", "a")
    assert "unnamed prepared statement does not exist" in answer
    s.finish("a")


def test_unnamed_statement_of_its_own(script):
    s = script(env={"PQPOOL_PRE_PING": "off", **AUTO})
    for _ in range(2):
        s.connect("a")
        s.do("extended", "a", "SELECT 'own'")
        assert "own" in s.do("unnamed", "a")
        s.finish("a")
    assert len(s.events("session_open")) == 1
