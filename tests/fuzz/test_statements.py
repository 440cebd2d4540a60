# SPDX-License-Identifier: PostgreSQL
"""What the shim says of a statement, compared with what the server does.

Statements are made by chance (statements.py), judged by the shim's own functions, and run. One
that is judged harmless must leave the session as it was; one that has no effects must leave it as
it was once DISCARD ALL is done. What is found is made as short as it can be.

A moment of it in `make check`, always with the same seed; `make fuzz` takes another one each time.
"""
import os
import random
import subprocess
import time

import psycopg2
import psycopg2.extensions
import pytest
from conftest import built
from fuzz.statements import Grammar

SECONDS = float(os.environ.get("PQPOOL_FUZZ_SECONDS") or 0)
QUICK_RUNS = 300
AT_ONCE = 50  # judged by one process
SEEDS_AHEAD = 200  # of random(), after setseed(0.5)
SETUP = """
CREATE EXTENSION dblink; CREATE EXTENSION isn; CREATE SCHEMA s; CREATE SEQUENCE s1;
CREATE TABLE t1 (a int, b text, c int DEFAULT nextval('s1')); CREATE TABLE t2 (LIKE t1 INCLUDING ALL);
INSERT INTO t1 VALUES (1, '1', 1), (2, 'x', 2);
CREATE VIEW s.v AS SELECT 1 AS a; CREATE FUNCTION s.h() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE s.q(text) LANGUAGE sql AS ''; SELECT pg_replication_origin_create('o');
CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
CREATE USER MAPPING FOR postgres SERVER here OPTIONS (user 'postgres')
"""
# What a program could ask its session. The settings of a language are there once it was used,
# as are those of a library that a function loaded; README.md says so.
ASKED = """
SELECT ARRAY(SELECT concat_ws(' ', name, setting, source) FROM pg_catalog.pg_settings
             WHERE source IN ('session', 'client', 'user', 'database') AND name !~ '^transaction_' ORDER BY name),
       ARRAY(SELECT s::text FROM pg_catalog.pg_settings s
             WHERE name ~ '[.]' AND name !~ '^plpgsql[.]' ORDER BY name),
       ARRAY(SELECT name FROM pg_catalog.pg_prepared_statements ORDER BY name),
       ARRAY(SELECT name FROM pg_catalog.pg_cursors WHERE is_holdable ORDER BY name),
       ARRAY(SELECT pg_catalog.pg_listening_channels() ORDER BY 1),
       ARRAY(SELECT concat_ws(' ', objid, mode) FROM pg_catalog.pg_locks
             WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() ORDER BY 1),
       ARRAY(SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() ORDER BY 1),
       ARRAY(SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE active_pid = pg_catalog.pg_backend_pid()),
       ARRAY(SELECT pg_catalog.current_setting(n, true)
             FROM pg_catalog.unnest('{app.x,my.a.b}'::text[]) n),
       current_user, session_user, pg_catalog.pg_replication_origin_session_is_setup(),
       public.dblink_get_connections(), public.isn_weak()
"""
PROBES = ["SELECT pg_catalog.lastval()", "SELECT pg_catalog.currval('public.s1')", "SELECT 1 FROM pg_catalog.pg_backup_stop(false)",
          "SELECT 1 FROM pg_catalog.pg_stop_backup(false)"]  # before version 15


class Session:
    """One session of the server, and what it is like."""

    def __init__(self, dsn):
        self.conn = psycopg2.connect(dsn)
        self.conn.autocommit = True
        self.cursor = self.conn.cursor()
        self.seeded = set()

    def run(self, text):
        """What it returns; what went wrong does not matter. None: nothing."""
        try:
            self.cursor.execute(text)
            return self.cursor.fetchall() if self.cursor.description else None
        except (psycopg2.Error, UnicodeDecodeError):
            return None

    def end_transaction(self):
        if self.conn.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self.run("ROLLBACK")

    def state(self):
        return [self.run(query) for query in [ASKED, *PROBES]]

    def is_seeded(self, values):
        return self.run("SELECT pg_catalog.random()")[0][0] in values


class Comparison:
    """Runs statements and says which of them the shim is wrong about."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.session = None
        self.runs = {"harmless": 0, "no effects": 0, "effects": 0}
        seeded = Session(dsn)
        seeded.run("SELECT setseed(0.5)")
        self.values = {seeded.run("SELECT random()")[0][0] for _ in range(SEEDS_AHEAD)}
        seeded.conn.close()
        self.renew()
        self.fresh = self.session.state()

    def renew(self):
        if self.session:
            self.session.conn.close()
        self.session = Session(self.dsn)

    @staticmethod
    def judge(texts):
        said = subprocess.run([built("tests/shim/judge")], input="".join(t + "\0" for t in texts).encode(),
                              stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
        assert len(said) == len(texts)
        return [tuple(int(n) for n in line.split()) for line in said]

    def leaves(self, text, verdict):
        """What is different afterwards, although the verdict says that nothing is."""
        harmless, effects = verdict
        kind = "harmless" if harmless else "effects" if effects else "no effects"
        self.runs[kind] += 1
        assert not (harmless and effects), text
        self.session.run(text)
        self.session.end_transaction()
        if self.session.conn.closed or effects:
            self.renew()
            return None
        if not harmless:
            self.session.run("DISCARD ALL")
        now = self.session.state()
        if not harmless and self.session.conn.closed:
            self.renew()
            return None
        different = ["%s, now %s" % each for each in zip(self.fresh, now) if each[0] != each[1]]
        if self.session.is_seeded(self.values):
            different.append("random() can be predicted")
        if different:
            self.renew()
        return (kind, different) if different else None

    def shortened(self, grammar, tokens):
        """The same with fewer tokens, as long as it is still found."""
        at = 0
        while at < len(tokens):
            fewer = tokens[:at] + tokens[at + 1:]
            text = grammar.text(fewer)
            if self.leaves(text, self.judge([text])[0]):
                tokens, at = fewer, 0
            else:
                at += 1
        return tokens


@pytest.mark.limit(max(120, 2 * int(SECONDS) + 60))
def test_statements_leave_what_is_said(new_server):
    server = new_server(settings={"wal_level": "replica"})
    server.sql("CREATE DATABASE fuzz")
    server.sql(SETUP % (server.env()["PGHOST"], server.env()["PGPORT"]), database="fuzz")
    compared = Comparison(server.dsn(user="postgres", database="fuzz", options="-c statement_timeout=5s"))
    seed = random.randrange(1 << 32) if SECONDS else 1
    grammar = Grammar(random.Random(seed))
    found = {}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end if SECONDS else sum(compared.runs.values()) < QUICK_RUNS:
        lists = [grammar.statement() for _ in range(AT_ONCE)]
        texts = [grammar.text(tokens) for tokens in lists]
        for tokens, text, verdict in zip(lists, texts, compared.judge(texts)):
            if compared.leaves(text, verdict):
                short = grammar.text(compared.shortened(grammar, tokens))
                found[short] = compared.leaves(short, compared.judge([short])[0])
        if len(found) >= 20:
            break
    print("seed %d:" % seed, compared.runs)
    assert not found, "seed %d: %s" % (seed, "\n".join("%r: %s" % each for each in found.items()))
    assert min(compared.runs.values()) >= sum(compared.runs.values()) // 20
