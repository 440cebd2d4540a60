# SPDX-License-Identifier: PostgreSQL
"""Statements that no reset undoes, and those that want the idle sessions out of the way.

The steps of a case are the same for a bare program and a pooled one, and so must be what
the program is told.
"""
import time

import pytest

from server import wait_until

# A hidden session makes the server wait for 5 s before it refuses.
NOWHERE_NEAR_5_S = 3


def follow(script, steps):
    """What the program is told at each step; the pid of a backend is no matter."""
    answers = []
    for step in steps:
        answer = script.do(*step.split(" ", 2))
        answers.append("connected" if step.startswith("connect ") and answer.isdigit() else answer)
    return answers


@pytest.fixture
def same(script, server):
    """same(steps, setup=..., cleanup=...): the pooled script, which was told the same."""
    def both(steps, setup=(), cleanup=(), common=server):
        told = {}
        for pooled in (False, True):
            for statement in setup:
                common.sql(statement)
            program = script(pooled=pooled, server=common, user="postgres")
            begun = time.monotonic()
            told[pooled] = follow(program, steps)
            seconds = time.monotonic() - begun
            program.end()
            for statement in cleanup:
                common.sql(statement)
        assert told[True] == told[False]
        assert seconds < NOWHERE_NEAR_5_S
        return program, told[True]

    return both


# ---- what a session keeps ------------------------------------------------------------

WAYS = {"exec": ["exec a %s"], "prepare": ["prepare a %s", "exec a EXECUTE prepared"],
        "send": ["send a %s", "drain a"]}


def test_loaded_library(same):
    program, told = same(["connect a", "exec a LOAD 'auto_explain'",
                          "exec a SHOW auto_explain.log_min_duration", "finish a", "connect a",
                          "exec a SHOW auto_explain.log_min_duration", "finish a"])
    assert "-1" in told[2] and "unrecognized" in told[5]
    assert program.events("session_close", reason="loaded")


def test_temporary_replication_slot(script, server):
    pooled = script(user="postgres")
    pooled.connect("a")
    pooled.exec("a", "SELECT 1 FROM pg_create_physical_replication_slot('s', true, true)")
    pooled.finish("a")
    pooled.connect("a")
    assert wait_until(lambda: pooled.exec("a", "SELECT count(*) FROM pg_replication_slots") == "0")
    assert pooled.events("session_close", reason="replication_slot")


SEEDS = {"SELECT setseed(0.5)": WAYS, "SELECT set_config('seed', '0.5', false)": WAYS,
         "SET seed TO 0.5": ["exec", "send"], "SELECT 1; SELECT setseed(0.5)": ["exec", "send"]}


@pytest.mark.parametrize("statement, way", [(s, way) for s in SEEDS for way in SEEDS[s]])
def test_seed(script, way, statement):
    pooled = script()
    pooled.connect("a")
    pooled.exec("a", "SELECT setseed(0.5)")
    foretold = pooled.exec("a", "SELECT random()")
    pooled.finish("a")
    before = len(pooled.events("session_close"))
    pooled.connect("a")
    for step in WAYS[way]:
        assert "ERROR" not in pooled.do(*(step.replace("%s", statement)).split(" ", 2))
    pooled.finish("a")
    pooled.connect("a")
    assert pooled.exec("a", "SELECT random()") != foretold
    assert len(pooled.events("session_close", reason="seeded")) == before + 1


def test_others_are_kept(script):
    pooled = script()
    for statement in ["SELECT 'setseed(0.5)'", "/* LOAD 'x' */ SELECT 1", "SET work_mem = '1MB'",
                      "DO $$ BEGIN NULL; END $$", "CREATE TEMP TABLE database (role int)"]:
        pooled.connect("a")
        pooled.exec("a", statement)
        pooled.finish("a")
    assert len(pooled.events("session_open")) == 1


# ---- what sessions are made of ----------------------------------------------------------

CASES = {
    "drop database": [
        "connect a dbname=d", "exec a SELECT 1", "finish a",
        "connect b", "exec b DROP DATABASE d", "finish b", "connect a dbname=d", "finish a"],
    "drop database, sent": [
        "connect a dbname=d", "finish a", "connect b", "send b DROP DATABASE d", "drain b",
        "finish b"],
    "template": [
        "connect a dbname=d", "exec a CREATE TABLE t (a int)", "finish a", "connect b",
        "exec b CREATE DATABASE e TEMPLATE d", "finish b", "connect a dbname=e",
        "exec a TABLE t", "finish a", "connect b", "exec b DROP DATABASE e", "finish b"],
    "rename database": [
        "connect a dbname=d", "finish a", "connect b", "exec b ALTER DATABASE d RENAME TO e",
        "finish b", "connect a dbname=d", "finish a", "connect a dbname=e", "finish a"],
    "database setting": [
        "connect a dbname=d", "exec a SHOW work_mem", "finish a", "connect b",
        "exec b ALTER DATABASE d SET work_mem = '7MB'", "connect a dbname=d",
        "exec a SHOW work_mem", "finish a", "finish b"],
    "setting while leased": [
        "connect a dbname=d", "exec a SHOW work_mem", "connect b",
        "exec b ALTER DATABASE d SET work_mem = '7MB'", "finish a", "connect a dbname=d",
        "exec a SHOW work_mem", "finish a", "finish b"],
    "setting committed later": [
        "connect b", "exec b BEGIN", "exec b ALTER DATABASE d SET work_mem = '7MB'",
        "connect a dbname=d", "exec a SHOW work_mem", "finish a", "exec b COMMIT", "finish b",
        "connect a dbname=d", "exec a SHOW work_mem", "finish a"],
    "revoked": [
        "connect a dbname=d user=r", "finish a", "connect b",
        "exec b REVOKE CONNECT ON DATABASE d FROM PUBLIC", "connect a dbname=d user=r",
        "finish a", "finish b"],
    "role setting": [
        "connect a dbname=d user=r", "exec a SHOW work_mem", "finish a", "connect b",
        "exec b ALTER ROLE r SET work_mem = '7MB'", "connect a dbname=d user=r",
        "exec a SHOW work_mem", "finish a", "finish b"],
    "own setting": [
        "connect a dbname=d user=r", "exec a ALTER USER r SET work_mem = '7MB'", "finish a",
        "connect a dbname=d user=r", "exec a SHOW work_mem", "finish a"],
    "nologin": [
        "connect a dbname=d user=r", "finish a", "connect b", "exec b ALTER ROLE r NOLOGIN",
        "connect a dbname=d user=r", "finish a", "finish b"],
    "connection limit": [
        "connect a dbname=d user=r", "finish a", "connect b",
        "exec b ALTER ROLE r CONNECTION LIMIT 0", "connect a dbname=d user=r", "finish a",
        "finish b"],
    "password": [
        "connect a dbname=d user=r host=127.0.0.1 password=old", "finish a", "connect b",
        "exec b ALTER ROLE r PASSWORD 'new'",
        "connect a dbname=d user=r host=127.0.0.1 password=old", "finish a",
        "connect a dbname=d user=r host=127.0.0.1 password=new", "finish a", "finish b"],
    "drop role": [
        "connect a dbname=d user=r", "exec a SELECT current_user", "finish a", "connect b",
        "exec b SELECT 1; DROP ROLE r", "connect a dbname=d user=r", "finish a", "finish b"],
}
SETUP = ["CREATE DATABASE d", "CREATE ROLE r LOGIN PASSWORD 'old'"]
CLEANUP = ["DROP DATABASE IF EXISTS d", "DROP DATABASE IF EXISTS e", "DROP ROLE IF EXISTS r"]


@pytest.mark.parametrize("case", CASES)
def test_own_ddl(same, case):
    program, _ = same(CASES[case], SETUP, CLEANUP)
    reasons = {e["reason"] for e in program.events("session_close")}
    assert reasons & {"altered", "invalidated"}


def test_sessions_of_all_pools_are_closed(script, server):
    pooled = script(user="postgres")
    names = ["a%d" % i for i in range(6)]
    for i, name in enumerate(names):
        pooled.connect(name, "dbname=%s" % ["app", "postgres", "template1"][i % 3])
    pooled.connect("b")
    pooled.finish(*names)
    pooled.exec("b", "ALTER ROLE app SET work_mem = DEFAULT")
    assert len(server.sessions()) == 1
    pooled.finish("b")
    assert len(pooled.events("session_close", reason="altered")) == 6
    assert len(pooled.events("session_close", reason="invalidated")) == 1


def test_reload(script, new_server):
    """log_disconnections is read when a session begins, and never after."""
    server = new_server()
    for pooled in (False, True):
        program = script(pooled=pooled, server=server, user="postgres")
        value = "off" if pooled else "on"
        program.lease()
        program.connect("b")
        program.exec("b", "ALTER SYSTEM SET log_disconnections = '%s'" % value)
        program.exec("b", "SELECT pg_reload_conf()")

        def current(program=program):
            program.connect("a")
            answer = program.exec("a", "SHOW log_disconnections")
            program.finish("a")
            return answer

        # The server takes its time to notice; a session from before that would never.
        assert value == "on" or wait_until(lambda: "to \"off\"" in server.log_text())
        program.finish("b")
        assert wait_until(lambda expected=value: current() == expected)
        program.end()
