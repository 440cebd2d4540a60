# SPDX-License-Identifier: PostgreSQL
"""`pqpool check --advice`: each kind of advice where it is due, and nowhere near."""
import os
import re
import subprocess

import pytest

from server import bare_environ, wait_until

# Before a VACUUM or ANALYZE, what the session has counted must have been told: it would come
# on top of what these set to 0.
TABLES = """
-- 50 + 0.2 * rows: 100 of 100 are above, 60 of 60 are not, but for ANALYZE, 40 for neither
CREATE TABLE dead AS SELECT generate_series(1, 100) AS i;
CREATE TABLE middling AS SELECT generate_series(1, 60) AS i;
CREATE TABLE few AS SELECT generate_series(1, 40) AS i;
CREATE TABLE settled AS SELECT generate_series(1, 60) AS i; -- vacuumed in the end
CREATE TABLE patient (i int) WITH (autovacuum_vacuum_threshold = 1000,
                                   autovacuum_analyze_threshold = 1000);
INSERT INTO patient SELECT generate_series(1, 60);
-- autovacuum is off for it, which is why somebody has to look after it
CREATE TABLE left_alone (i int) WITH (autovacuum_enabled = off, fillfactor = 70);
INSERT INTO left_alone SELECT generate_series(1, 60);
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE dead, middling, few, settled, patient, left_alone;
DELETE FROM dead; DELETE FROM middling; DELETE FROM few; DELETE FROM settled; DELETE FROM patient;
DELETE FROM left_alone;
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE settled;
-- only inserts: above 1000 + 0.2 * 0 for one, for the other but changes to analyze
CREATE TABLE grown (i int);
INSERT INTO grown SELECT generate_series(1, 1500);
CREATE TABLE changed (i int);
INSERT INTO changed SELECT generate_series(1, 60);
CREATE TABLE no_inserts (i int) WITH (autovacuum_vacuum_insert_threshold = -1);
INSERT INTO no_inserts SELECT generate_series(1, 1500);
SELECT pg_stat_force_next_flush();
ANALYZE no_inserts;
-- TOAST: one that goes by its table's setting, one that has its own
CREATE TABLE long_one (t text) WITH (autovacuum_vacuum_threshold = 5);
CREATE TABLE long_two (t text) WITH (autovacuum_vacuum_threshold = 5,
                                     toast.autovacuum_vacuum_threshold = 100000);
ALTER TABLE long_one ALTER t SET STORAGE EXTERNAL;
ALTER TABLE long_two ALTER t SET STORAGE EXTERNAL;
INSERT INTO long_one SELECT repeat('x', 9000) FROM generate_series(1, 10);
INSERT INTO long_two SELECT repeat('x', 9000) FROM generate_series(1, 10);
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE long_one, long_two;
DELETE FROM long_one; DELETE FROM long_two;
-- transaction ids
CREATE TABLE old (i int) WITH (autovacuum_freeze_max_age = 100000);
CREATE TABLE "Odd ""name" (i int) WITH (autovacuum_analyze_threshold = 0);
INSERT INTO "Odd ""name" VALUES (1), (2);
"""
AGE = """DO $$ BEGIN FOR i IN 1..100100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"""

INDEXES = """
CREATE TABLE parent (id int PRIMARY KEY, code text, note text, n int, day date);
CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent, other int,
                    period int4range, EXCLUDE USING gist (period WITH &&));
INSERT INTO parent SELECT g, g::text, g::text, g, '2026-01-01' FROM generate_series(1, 500) g;
-- unused, and not
CREATE INDEX unused ON parent (note);
CREATE INDEX used ON parent (n);
CREATE INDEX clustered ON parent (day);
ALTER TABLE parent CLUSTER ON clustered;
CREATE UNIQUE INDEX unused_unique ON parent (code);
CREATE INDEX fk ON child (parent_id);
CREATE INDEX fk_wide ON child (parent_id, other);
CREATE INDEX fk_wrong ON child (other, parent_id);
CREATE INDEX fk_partial ON child (parent_id) WHERE other > 0;
CREATE UNIQUE INDEX identity ON child (other, id);
ALTER TABLE child ALTER other SET NOT NULL;
ALTER TABLE child REPLICA IDENTITY USING INDEX identity;
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (1000);
CREATE INDEX parts_unused ON parts (v);
CREATE INDEX parts_used ON parts (k);
INSERT INTO parts SELECT g, g FROM generate_series(1, 500) g;
-- duplicates, and not
CREATE TABLE twins (a int, b text, c text COLLATE "C");
CREATE INDEX twin_1 ON twins (a);
CREATE INDEX twin_2 ON twins (a);
CREATE INDEX twin_3 ON twins (a) WITH (fillfactor = 50);
CREATE INDEX other_order ON twins (a DESC);
CREATE INDEX other_method ON twins USING hash (a);
CREATE INDEX other_opclass ON twins (b text_pattern_ops);
CREATE INDEX plain_text ON twins (b);
CREATE INDEX other_collation ON twins (b COLLATE "C");
CREATE INDEX wider ON twins (a, b);
CREATE INDEX including ON twins (a) INCLUDE (b);
CREATE INDEX part_1 ON twins (a) WHERE a > 0;
CREATE INDEX part_2 ON twins (a) WHERE (a > 0);
CREATE INDEX part_other ON twins (a) WHERE a > 1;
CREATE INDEX expr_1 ON twins ((a + 1));
CREATE INDEX expr_2 ON twins ((a   +  1));
CREATE INDEX expr_other ON twins ((a + 2));
CREATE INDEX brin_1 ON twins USING brin (a) WITH (pages_per_range = 16);
CREATE INDEX brin_2 ON twins USING brin (a) WITH (pages_per_range = 32);
CREATE TABLE bound (id int PRIMARY KEY, u int, v int NOT NULL);
CREATE INDEX beside_key ON bound (id);
CREATE UNIQUE INDEX beside_key_unique ON bound (id);
ALTER TABLE bound ADD CONSTRAINT key_again UNIQUE (id);
CREATE UNIQUE INDEX own_unique ON bound (u);
CREATE INDEX beside_unique ON bound (u);
CREATE INDEX older_plain ON bound (v);
ALTER TABLE bound ADD CONSTRAINT late UNIQUE (v) DEFERRABLE;
CREATE UNIQUE INDEX at_once ON bound (v);
SELECT pg_stat_force_next_flush();
ANALYZE parent, child, parts, twins, bound;
SET enable_seqscan = off;
SELECT FROM parent WHERE n = 5;
SELECT FROM parts WHERE k = 5;
"""


def overview(build, server, database, env=None):
    """Sections of the advice: {title: {object: (reason, statement)}}, and the lines."""
    done = subprocess.run(
        [os.path.join(build, "pqpool"), "check", "--advice"], text=True, capture_output=True,
        env={**bare_environ(), **server.env("app", database), **(env or {})}, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    sections, current = {}, None
    lines = done.stdout.splitlines()
    for number, line in enumerate(lines):
        title = re.fullmatch(r"(Overdue|Unused|Duplicate)\b.*:( none)?", line)
        if title:
            current = sections.setdefault(title.group(1), {})
        elif current is not None and re.match(r"  \S", line):
            name, reason = line.strip().split(": ", 1)
            current[name.replace("public.", "")] = (reason, lines[number + 1].strip())
    return sections, lines


@pytest.fixture(scope="module")
def advice(build, server):
    server.sql("CREATE DATABASE advice OWNER app")
    env = {**bare_environ(), **server.env("app", "advice")}
    psql = [os.path.join(server.bindir, "psql"), "-Xq", "-v", "ON_ERROR_STOP=1"]
    for text in (TABLES, AGE, INDEXES):
        subprocess.run(psql, input=text, env=env, text=True, check=True,
                       stdout=subprocess.DEVNULL)
    # A session tells its statistics when it ends, or a little later.
    assert wait_until(lambda: "dead" in overview(build, server, "advice")[0]["Overdue"] and
                      "used" not in overview(build, server, "advice")[0]["Unused"])
    yield overview(build, server, "advice")
    server.sql("DROP DATABASE advice WITH (FORCE)")


# What server 18 brought: a most that the threshold of dead rows may be, and of a table that is
# frozen in part only the rest counts for inserted rows.
TABLES_18 = """
CREATE TABLE capped (i int) WITH (autovacuum_vacuum_max_threshold = 100);
CREATE TABLE uncapped (i int) WITH (autovacuum_vacuum_max_threshold = -1);
CREATE TABLE near (i int) WITH (autovacuum_vacuum_max_threshold = 200);
CREATE TABLE thawed (i int) WITH (autovacuum_analyze_threshold = 100000);
CREATE TABLE half_frozen (i int) WITH (autovacuum_analyze_threshold = 100000);
INSERT INTO capped SELECT generate_series(1, 2000);
INSERT INTO uncapped SELECT generate_series(1, 2000);
INSERT INTO near SELECT generate_series(1, 2000);
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE capped, uncapped, near;
DELETE FROM capped WHERE i <= 150; DELETE FROM uncapped WHERE i <= 150;
DELETE FROM near WHERE i <= 150;
INSERT INTO thawed SELECT generate_series(1, 2500);
INSERT INTO half_frozen SELECT generate_series(1, 2500);
SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', name, 'relpages', 100,
    'reltuples', 10000::real, 'relallvisible', 0, 'relallfrozen', frozen)
    FROM (VALUES ('thawed', 0), ('half_frozen', 50)) AS t (name, frozen);
"""


def test_overdue_by_the_rules_of_server_18(build, server_at):
    server = server_at("18.4")
    server.sql("CREATE DATABASE advice OWNER app")
    server.sql("GRANT pg_maintain TO app")
    subprocess.run([os.path.join(server.bindir, "psql"), "-Xq", "-v", "ON_ERROR_STOP=1"],
                   input=TABLES_18, env={**bare_environ(), **server.env("app", "advice")},
                   text=True, check=True, stdout=subprocess.DEVNULL)
    overdue = {}

    def seen():
        overdue.update(overview(build, server, "advice")[0]["Overdue"])
        return "half_frozen" in overdue and "capped" in overdue

    assert wait_until(seen), overdue
    assert own(overdue) == {"capped", "half_frozen"}
    assert overdue["capped"][0].startswith(
        "150 dead rows, more than 100, the maximum (autovacuum_vacuum_max_threshold); ")
    assert overdue["half_frozen"][0].startswith(
        "2500 rows inserted since the last VACUUM, more than 1000 + 0.2 * 5000 rows that are "
        "not frozen; ")
    server.sql("DROP DATABASE advice WITH (FORCE)")


def own(names):
    return {n for n in names if not n.startswith("pg_catalog.") and "pg_catalog." not in n}


def test_overdue_tables(advice):
    overdue = advice[0]["Overdue"]
    assert own(overdue) == {
        "dead", "middling", "left_alone", "grown", "changed", "old", '"Odd ""name"', "long_one", "long_two",
        "the TOAST table of long_one"}
    assert overdue["dead"][0].startswith("100 dead rows, more than 50 + 0.2 * 100 rows; 100 "
                                         "rows changed since the last ANALYZE, more than 50 + 0.1")
    assert overdue["dead"][1] == "VACUUM (ANALYZE) public.dead;"
    assert overdue["middling"][1] == "ANALYZE public.middling;"
    assert "1500 rows inserted since the last VACUUM, more than 1000 + 0.2 * 0" in overdue["grown"][0]
    assert overdue["changed"][1] == "ANALYZE public.changed;"
    assert "last ANALYZE never" in overdue["changed"][0]
    assert "autovacuum is off for this table" in overdue["left_alone"][0]
    assert "autovacuum is off for this table" not in overdue["dead"][0]
    assert overdue['"Odd ""name"'][1] == 'ANALYZE public."Odd ""name";'


def test_overdue_toast(advice):
    overdue = advice[0]["Overdue"]
    reason, statement = overdue["the TOAST table of long_one"]
    assert "more than 5 + 0.2" in reason and "ANALYZE" not in reason
    assert statement == "VACUUM public.long_one;"
    assert "the TOAST table of long_two" not in overdue


def test_overdue_transaction_ids(advice):
    reason, statement = advice[0]["Overdue"]["old"]
    assert re.match(r"its oldest transaction id is 1\d{5} transactions old, the limit "
                    r"\(autovacuum_freeze_max_age\) is 100000", reason)
    assert statement == "VACUUM public.old;"


def test_unused_indexes(advice):
    unused = advice[0]["Unused"]
    expected = {"unused", "fk_wrong", "fk_partial", "parts_unused"}
    twins = {"twin_1", "twin_2", "twin_3", "other_order", "other_method", "other_opclass",
             "plain_text", "other_collation", "wider", "including", "part_1", "part_2",
             "part_other", "expr_1", "expr_2", "expr_other", "brin_1", "brin_2"}
    assert set(unused) == expected | twins | {"beside_key", "beside_unique", "older_plain"}
    reason, statement = unused["unused"]
    assert reason.startswith("no scan of it is on record; it takes ")
    assert statement == "DROP INDEX CONCURRENTLY public.unused;"
    assert "statistics of its expressions" in unused["expr_1"][0]
    assert "statistics of its expressions" not in reason
    assert unused["parts_unused"][1] == "DROP INDEX public.parts_unused;"


def test_duplicate_indexes(advice):
    duplicates = advice[0]["Duplicate"]
    assert set(duplicates) == {"twin_2", "twin_3", "part_2", "expr_2", "beside_key",
                               "beside_key_unique", "beside_unique", "older_plain"}
    assert duplicates["twin_2"][0].startswith("the same as public.twin_1; ")
    assert duplicates["twin_2"][1] == "DROP INDEX CONCURRENTLY public.twin_2;"
    assert duplicates["beside_key"][0].startswith(
        "the same as public.bound_pkey, which belongs to the constraint bound_pkey; ")
    assert duplicates["beside_unique"][0].startswith("the same as public.own_unique; ")


def test_what_it_goes_by(advice, server, build):
    lines = advice[1]
    assert "Advice for the database advice, by statistics that were never reset" in lines
    assert "autovacuum is off on this server." in lines
    assert not any("This is a standby" in line or "track_counts" in line for line in lines)
    options = {"PGUSER": "postgres", "PGOPTIONS": "-c track_counts=off"}
    assert "track_counts is off on this server: there are no statistics." in overview(
        build, server, "advice", options)[1]
    server.sql("SELECT pg_stat_reset()", "advice")
    lines = overview(build, server, "advice")[1]
    assert any(re.match("Advice for the database advice, by statistics gathered since 20", line)
               for line in lines)


def test_statements_can_be_executed(advice, server):
    """All of them, as they stand."""
    for section in ("Duplicate", "Overdue"):
        for _, statement in advice[0][section].values():
            if "pg_catalog." not in statement:
                server.sql(statement, "advice")


def test_standby(new_server, build):
    from server import REPLICATION_HBA, Standby
    primary = new_server(hba=REPLICATION_HBA)
    with Standby(primary) as standby:
        lines = overview(build, standby, "app")[1]
    assert any(line.startswith("This is a standby: ") for line in lines)
