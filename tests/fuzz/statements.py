# SPDX-License-Identifier: PostgreSQL
"""Statements by chance, as lists of tokens: a grammar of what could leave something in a session.

The words are those of shim/sql/harmless.def, and the functions and statements with an effect that
the server has; they are spelled, quoted and broken up by comments in many ways.
"""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
WORD = re.compile(r"WORD\((\w+), ([A-Z| ]+)\)")

# Functions that leave something in the session, with arguments: DISCARD ALL undoes it, or not.
UNDONE = ["nextval('s1')", "set_config('work_mem', '1MB', false)", "pg_advisory_lock(1)",
          "pg_try_advisory_lock_shared(3)", "setval('s1', 4)", "lastval()", "currval('s1')",
          "query_to_xml('select nextval(''s1'')', true, true, '')", "pg_temp.f()",
          "set_config('search_path', 's', false)", "set_config('role', 'app', false)",
          "txid_current()", "pg_advisory_unlock_all()", "pg_notify('c', 'x')"]
KEPT = ["setseed(0.5)", "set_config('app.x', '1', false)", "set_config('seed', '0.5', false)",
        "pg_create_physical_replication_slot('slot', true, true)", "pg_backup_start('b', true)",
        "pg_start_backup('b', true, false)", "dblink_connect('c', 'here')", "isn_weak(true)",
        "pg_replication_origin_session_setup('o')", "set_config('app' || '.x', '', true)"]
SCALARS = ["1", "'1'", "0.5", "a", "t1.a", "$$1$$", "NULL", "1e0", "-1", "ARRAY[1]", "(1)", "B'1'",
           "f", "t1", "f.a", "true", "ROW(1)", "N'1'", "'s1'::regclass", "date '2026-01-01'",
           "1_0", "0x1", "SYSTEM_USER", "CURRENT_TIMESTAMP AT LOCAL", "old.c", "merge_action()"]
# What follows a name makes it a call, a type or a column.
SETTINGS = ["work_mem", "app.x", '"app"."x"', '"app.x"', "seed", "TIME ZONE", "search_path", "my.a.b",
            "Application_Name", 'U&"app\\002ex"', 'U&"app".x', "session_replication_role", "app .x",
            "app/**/.x", "ROLE", 'U&"seed"', '"SEED"', "SESSION AUTHORIZATION", "plpgsql.extra_warnings"]
PREFIXES = ["", "LOCAL ", "SESSION "]
OTHER = [
    "CREATE TEMP TABLE tt (a int)", "SELECT 1 INTO TEMP t9", "LISTEN c", "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "LOAD 'auto_explain'", "DISCARD TEMP", "DEALLOCATE ALL",
    "DO $$ BEGIN PERFORM setseed(0.5); END $$", "DO $$ BEGIN SET app.x TO 1; END $$", "DO 'BEGIN LOAD ''auto_explain''; END'",
    "DO $$ BEGIN EXECUTE 'SET app.x = 1'; END $$", "CREATE FUNCTION s.g() RETURNS int LANGUAGE sql SET app.x = 1 AS 'SELECT 1'",
    "ALTER FUNCTION s.h() SET app.x = 1", "ALTER FUNCTION s.h() RESET app.x", "ALTER ROUTINE s.h() SET seed = 0.5",
    "CREATE PROCEDURE s.p() LANGUAGE sql SET LOCAL app.x TO 1 AS 'SELECT 1'", "BEGIN; SET LOCAL app.x = 1; COMMIT",
    "INSERT INTO t1 DEFAULT VALUES", "UPDATE t1 SET c = DEFAULT", "UPDATE pg_settings SET setting = '1MB' WHERE name = 'work_mem'",
    "PREPARE TRANSACTION 'x'", "COPY t1 FROM stdin", "COPY (SELECT setseed(0.5)) TO '/dev/null'", "VACUUM t1", "ANALYZE",
    "EXPLAIN ANALYZE SELECT setseed(0.5)", "CREATE VIEW s.v AS SELECT setseed(0.5)", "TABLE s.v",
    "GRANT SET ON PARAMETER app.x TO app", "ALTER ROLE app SET app.x = 1", "ALTER ROLE app RESET ALL",
    "COMMENT ON TABLE t1 IS 'app.x'", "SET CONSTRAINTS ALL DEFERRED", "SET TRANSACTION READ ONLY", "LOCK t1",
    "SAVEPOINT a", "SECURITY LABEL ON TABLE t1 IS 'x'", "CALL s.q(setseed(0.5))", "REINDEX TABLE t1", "CHECKPOINT",
    "CREATE RULE r AS ON INSERT TO t2 DO ALSO SELECT setseed(0.5)", "RESET ALL", "RESET app.x", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TIME ZONE 'UTC'", "SET XML OPTION DOCUMENT", "SET NAMES 'UTF8'", "SET SCHEMA 's'", "FETCH ALL FROM c", "CLOSE ALL",
    "CREATE TABLE IF NOT EXISTS s.t (a int DEFAULT setseed(0.5))", "MERGE INTO t1 USING t2 ON t1.a = t2.a WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    # Of servers 14 to 18.
    "CREATE FUNCTION s.k() RETURNS int BEGIN ATOMIC SELECT setseed(0.5); SELECT 1; END",
    "EXPLAIN (ANALYZE, SERIALIZE) SELECT setseed(0.5)", "EXPLAIN (ANALYZE, MEMORY) UPDATE t1 SET c = DEFAULT",
    "MERGE INTO t1 USING t2 ON t1.a = t2.a WHEN NOT MATCHED BY SOURCE THEN UPDATE SET c = DEFAULT RETURNING merge_action(), t1.*",
    "COPY t1 FROM PROGRAM 'echo x' (ON_ERROR ignore)", "SET transaction_timeout = '1h'", "SET LOCAL transaction_timeout = '1h'",
    "WITH m AS (MERGE INTO t1 USING t2 ON false WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = setseed(0.5)::text::int RETURNING 1) SELECT 1",
]
# Functions of SQL/JSON, which servers 16 and 17 know, with the tokens before a value and behind it.
JSON = [("JSON_ARRAY (", ")"), ("JSON_OBJECT ( 'a' :", ")"), ("JSON_SCALAR (", ")"), ("JSON (", ")"),
        ("JSON_VALUE ( '{}' , '$.a' PASSING", "AS x )"), ("JSON_VALUE ( '{}' , '$.a' DEFAULT", "ON EMPTY )"),
        ("JSON_QUERY (", ", '$' RETURNING text )"), ("JSON_EXISTS (", ", '$' )"), ("ANY_VALUE (", ")"),
        ("(", ") IS JSON OBJECT"), ("JSON_ARRAYAGG (", "ABSENT ON NULL )"), ("JSON_SERIALIZE (", ")")]
HEADS = ["SELECT", "SELECT", "SELECT", "select", "VALUES", "TABLE", "WITH", "UPDATE", "DELETE", "SHOW", "BEGIN"]
BLANKS = [" ", " ", " ", " ", " ", "\n", "/**/", "\t ", "/* ' */", "-- \"\n", "/* /* */ */", "\f"]


def words():
    """The words of harmless.def, by flag."""
    with open(os.path.join(HERE, "../../shim/sql/harmless.def"), encoding="ascii") as file:
        found = WORD.findall(file.read())
    return {flag: [word for word, flags in found if flag in flags.split(" | ")]
            for flag in ("CALLED", "QUOTES", "TYPE", "NEVER")}


class Grammar:
    """Statements, all from one random.Random."""

    def __init__(self, chance):
        self.chance = chance
        self.words = words()

    def one(self, *kinds):
        return self.chance.choice(self.chance.choice(kinds))

    def often(self, share):
        return self.chance.random() < share

    def spelled(self, call):
        """A call's tokens, its name written in one of many ways."""
        name, bracket, rest = call.partition("(")
        way = self.chance.randrange(8)
        if way == 0:
            name = name.upper()
        elif way == 1 and "." not in name:
            name = '"%s"' % name
        elif way == 2 and "." not in name:
            name = 'U&"%s\\%04x%s"' % (name[:1], ord(name[1]), name[2:])
        elif way == 3 and "." not in name:
            return ["pg_catalog", self.chance.choice([".", " . ", "/**/."]), name, bracket + rest]
        elif way == 4 and self.often(0.5):
            return ["f", ".", name]  # a column's way
        return [name, bracket + rest]

    def value(self, depth=0):
        way = self.chance.randrange(15 if depth < 3 else 3)
        if way < 3:
            return [self.one(SCALARS)]
        if way == 3:
            return self.spelled(self.one(UNDONE, KEPT))
        if way < 7:
            return [self.one(self.words["CALLED"]), "(", *self.several(depth + 1), ")"]
        if way == 7:
            return [*self.value(depth + 1), "::", self.one(self.words["TYPE"])]
        if way == 8:
            return ["CAST", "(", *self.value(depth + 1), "AS", self.one(self.words["TYPE"]), ")"]
        if way == 9:
            return [self.one(self.words["TYPE"], self.words["QUOTES"]), "'1'"]
        if way == 10:
            return ["(", *self.query(depth + 1), ")"]
        if way == 11:
            return ["(", *self.value(depth + 1), ")", ".", self.one(self.words["CALLED"], self.words["NEVER"])]
        if way == 12:
            return ["f", ".", self.one(self.words["CALLED"], self.words["NEVER"], self.words["TYPE"])]
        if way == 13:
            before, behind = self.one(JSON)
            return [*before.split(" "), *self.value(depth + 1), *behind.split(" ")]
        return [*self.value(depth + 1), self.one(["+", "||", "=", "AND", "<", "LIKE", "IN", "IS"]), *self.value(depth + 1)]

    def several(self, depth):
        tokens = self.value(depth)
        while self.often(0.3):
            tokens += [",", *self.value(depth)]
        return tokens

    def source(self, depth):
        way = self.chance.randrange(7)
        if way == 0:
            return ["generate_series", "(", "1", ",", "1", ")", "f"]
        if way == 1:
            return ["(", *self.query(depth + 1), ")", "AS", "f"]
        if way == 2:
            return ["LATERAL", *self.spelled(self.one(UNDONE, KEPT)), "f"]
        if way == 3:
            return ["unnest", "(", "ARRAY", "[", self.one(["'s1'::regclass", "1", "0.5::float8", "'x'::text"]), "]", ")", "f"]
        if way == 4:
            return ["JSON_TABLE", "(", *self.value(depth + 2), ",", "'$[*]'", "COLUMNS", "(", "a", "int", "PATH", "'$'",
                    *(["DEFAULT", *self.value(depth + 2), "ON EMPTY"] if self.often(0.3) else []), ")", ")", "f"]
        return [self.one(["t1", "t1 f", "pg_settings", "s.v", "t1 AS f", '"t1" f'])]

    def query(self, depth=0):
        head = self.one(HEADS[:5])
        if head == "VALUES":
            return ["VALUES", "(", *self.several(depth + 1), ")"]
        tokens = [head, *self.several(depth + 1)]
        if self.often(0.7):
            tokens += ["FROM", *self.source(depth)]
        if self.often(0.3):
            tokens += ["WHERE", *self.value(depth + 1)]
        for clause in ("ORDER BY", "LIMIT", "FOR UPDATE"):
            if self.often(0.08):
                tokens += [clause] + (["1"] if clause != "FOR UPDATE" else [])
        return tokens

    def changing(self, depth=1):
        way = self.chance.randrange(5)
        returning = ["RETURNING", *(["WITH", "(", "OLD", "AS", "f", ")"] if self.often(0.2) else [])]
        if way == 0:
            return ["UPDATE", self.one(["t1", "t1 f", "s.v", "pg_settings"]), "SET", self.one(["a", "b", "c", "(a)"]), "=",
                    *(["DEFAULT"] if self.often(0.2) else self.value(depth)), *returning, *self.value(depth)]
        if way == 1:
            return ["DELETE FROM", "t1 f", "WHERE", *self.value(depth)]
        if way == 2:
            return ["INSERT INTO", "t1", "(", self.one(["a", "b"]), ")", *self.query(depth), *returning, "c"]
        if way == 3:
            return ["MERGE INTO", "t1", "USING", *self.source(depth), "ON", *self.value(depth), "WHEN",
                    self.one(["MATCHED", "NOT MATCHED BY SOURCE"]), "THEN", "UPDATE SET", "b", "=",
                    *self.value(depth), *returning, *self.value(depth)]
        return self.query(depth)

    def setting(self):
        name = self.one(SETTINGS)
        value = self.one(["'1'", "1", "0.5", "DEFAULT", "s", "app"])
        if self.often(0.2):
            return ["RESET", name]
        return ["SET", self.one(PREFIXES), name, self.one(["=", "TO"]) if name.upper() == name.lower() or
                name not in ("ROLE", "TIME ZONE", "SESSION AUTHORIZATION") else "", value]

    def statement(self):
        """The tokens of one statement, or of several."""
        way = self.chance.randrange(12)
        if way < 6:
            tokens = self.query()
        elif way == 6:
            tokens = ["WITH", "f", "AS", "(", *self.changing(), ")", *self.query(1)]
        elif way == 7:
            tokens = self.changing()
        elif way == 8:
            tokens = self.setting()
        elif way == 9:
            tokens = self.one(OTHER).split(" ")
        elif way == 10:
            tokens = [self.one(["SHOW", "BEGIN", "SAVEPOINT", "TABLE", "EXPLAIN", "PREPARE p AS", "SELECT"]),
                      self.one(["work_mem", "a", "ISOLATION LEVEL SERIALIZABLE", "t1", "s.v", "ALL", *SETTINGS])]
        else:
            tokens = [*self.query(), ";", *self.one([self.query(), self.setting(), self.changing()])]
        if self.often(0.05):
            tokens.insert(self.chance.randrange(len(tokens) + 1), self.one([";", "(", ")", "'", '"', "::", "INTO t9", "."]))
        return tokens

    def text(self, tokens):
        """Written down: the blanks between the tokens are chosen by what they are, so that a
        shorter list is written alike."""
        blanks = [BLANKS[hash((i, len(token))) % len(BLANKS)] if token not in (".", "::") else ""
                  for i, token in enumerate(tokens)]
        return "".join(token + blank for token, blank in zip(tokens, blanks))
