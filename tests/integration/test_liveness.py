# SPDX-License-Identifier: PostgreSQL
"""Dead, silent and suspect sessions: what the program sees of them, and that is nothing.

What betrays a dead session is the ping, or the answer to the reset, which is a round trip
as well; so those tests that are to see the fault turn both off.
"""
import os
import time

import pytest

from running import NOT_ASKED, stopped
from server import wait_until

PID = "SELECT pg_backend_pid()"
BLIND = {"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": "off"}
WATCHFUL = [{}, {"PQPOOL_PRE_PING": "on"}, {"PQPOOL_PRE_PING": "auto"},
            {"PQPOOL_PRE_PING": "on", "PQPOOL_RESET": "off"},
            {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "off"},
            {"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": "discard"}]


def pids(server):
    return {s["pid"] for s in server.sessions()}


def terminate(server, pid):
    server.terminate("pid = %s" % pid)
    assert wait_until(lambda: pid not in pids(server)), "the fault did not happen"


def unread_bytes(pid):
    """What the kernel holds for a backend on its TCP connection."""
    inodes = set()
    for fd in os.listdir("/proc/%s/fd" % pid):
        link = os.readlink("/proc/%s/fd/%s" % (pid, fd))
        inodes |= {link[8:-1]} if link.startswith("socket:[") else set()
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return any(row[9] in inodes and int(row[4].split(":")[1], 16) > 0 for row in rows)


def settled(s):
    """The pid of a session that was lent before: on server 17 and later it is asked something
    then, once."""
    s.lease()
    return s.lease()


def sees_nothing(s, before):
    """The next lease works, and on another backend."""
    pid = s.connect("next")
    assert pid != before
    assert s.exec("next", PID) == pid
    assert s.state("next")["error"] == ""
    s.finish("next")
    return pid


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("env", WATCHFUL)
def test_terminated_while_idle(script, server, env, tcp):
    s = script(env=env, tcp=tcp)
    before = s.connect("a")
    s.exec("a", PID)  # so that there is a reset, which is what tells where nothing is asked
    s.finish("a")
    terminate(server, before)
    after = sees_nothing(s, before)
    assert s.events("ping_failed", backend=before)
    assert s.lease() == after
    assert s.end().stderr == ""


@NOT_ASKED
@pytest.mark.libpq(14)
@pytest.mark.parametrize("tcp", [False, True])
def test_terminated_and_not_looked_at(script, server, tcp):
    s = script(env=BLIND, tcp=tcp)
    before = settled(s)
    terminate(server, before)
    assert s.connect("a") == before
    assert s.do("exec", "a", PID).startswith("PGRES_FATAL_ERROR")
    s.finish("a")
    sees_nothing(s, before)


@NOT_ASKED
@pytest.mark.libpq(14)
def test_server_restarted(script, new_server):
    own = new_server()
    watchful, blind = script(server=own), script(server=own, env=BLIND)
    for mode in ("fast", "immediate", "kill"):
        before, unnoticed = watchful.lease(), settled(blind)
        own.restart(mode)
        assert not pids(own), "the fault did not happen"
        sees_nothing(watchful, before)
        assert blind.connect("a") == unnoticed
        assert blind.do("exec", "a", PID).startswith("PGRES_FATAL_ERROR")
        blind.finish("a")
    # And where there is no server, that is what the program is told.
    bare = script(pooled=False, server=own)
    own.halt()
    assert watchful.refused("a") == bare.refused("a")
    watchful.finish("a")
    own.launch()
    sees_nothing(watchful, None)
    assert watchful.end().stderr == ""


def test_died_under_a_lease(script, server):
    s = script()
    before = s.connect("a")
    terminate(server, before)
    assert s.do("exec", "a", PID).startswith("PGRES_FATAL_ERROR")
    s.finish("a")
    sees_nothing(s, before)


@pytest.mark.parametrize("env", [{}, {"PQPOOL_RESET": "off"},
                                 {"PQPOOL_RESET": "off", "PQPOOL_PING_QUERY": "SELECT 1"}])
def test_silent_server(script, env):
    s = script(env={"PQPOOL_PING_TIMEOUT": "0.5", **env})
    before = s.lease()
    with stopped(before):
        sees_nothing(s, before)
    closed, = s.events("session_close", backend=before)
    assert closed["reason"] == "ping_failed"


@pytest.mark.parametrize("conninfo, env", [("connect_timeout=2", {}),
                                           ("", {"PGCONNECT_TIMEOUT": "2"})])
def test_the_programs_timeout_bounds_the_check(script, conninfo, env):
    s = script(env={"PQPOOL_PING_TIMEOUT": "30", **env})
    before = s.lease(conninfo)
    with stopped(before):
        begin = time.monotonic()
        assert s.connect("a", conninfo) != before
        assert time.monotonic() - begin < 2
    s.finish("a")
    closed, = s.events("session_close", backend=before)
    assert closed["reason"] == "ping_failed"


@NOT_ASKED
@pytest.mark.libpq(14)
def test_silent_and_not_looked_at(script):
    s = script(env=BLIND)
    before = settled(s)
    with stopped(before):
        assert s.lease() == before


def test_silent_for_less_than_the_ping_timeout(script):
    s = script(env={"PQPOOL_PING_TIMEOUT": "60", "PQPOOL_RESET": "off"}, tcp=True)
    before = s.lease()
    with stopped(before):
        s.do("begin", "a")
        # Bytes that the backend would have read: the ping has been sent.
        assert wait_until(lambda: unread_bytes(before))
        assert not s.done("a")
    assert wait_until(lambda: s.done("a"))
    assert s.join("a")[1] == before
    s.finish("a")


def test_a_waiter_sees_the_end_of_the_backend_before(script, server):
    """PQfinish does not wait for the server; a connect that waits for the room does, for a
    while, so that the server never has more sessions than the limit."""
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"})
    first = s.connect("a")
    s.do("event_proc", "a")
    s.do("begin", "b")
    s.await_events("wait", 1)
    with stopped(first):
        s.finish("a")
        assert not wait_until(lambda: len(pids(server)) > 1, 0.3)
        assert not s.done("b")
    assert s.join("b")[1] not in ("", first)
    assert first not in pids(server)
    s.finish("b")


def test_one_dead_session_makes_the_older_ones_suspect(script, server):
    s = script()
    opened = [s.connect(name) for name in "abc"]
    s.finish(*"abc")
    terminate(server, opened[2])
    assert {opened[0], opened[1]} <= pids(server), "these two are well"
    fresh = sees_nothing(s, opened[2])
    again = [s.connect(name) for name in "xyz"]
    assert fresh in again and not set(again) & set(opened)
    assert {e["backend"] for e in s.events("session_close", reason="invalidated")} == {
        opened[0], opened[1]}
    s.finish(*"xyz")


def test_a_session_on_lease_is_suspect_when_it_comes_back(script, server):
    s = script()
    opened = [s.connect(name) for name in "ab"]
    s.finish("b")
    terminate(server, opened[1])
    sees_nothing(s, opened[1])
    assert s.exec("a", PID) == opened[0], "the program's own lease was touched"
    s.finish("a")
    assert s.events("release", reason="invalidated", backend=opened[0])


def test_other_pools_are_left_alone(script, server):
    s = script()
    other = s.lease("application_name=other")
    before = s.lease()
    terminate(server, before)
    sees_nothing(s, before)
    assert s.lease("application_name=other") == other


def last_query(server, pid):
    return server.sql("SELECT query FROM pg_stat_activity WHERE pid = " + pid)[0][0]


@NOT_ASKED
def test_ping_query_is_what_is_sent(script, server):
    query = "SELECT 'are you there?'"
    s = script(env={"PQPOOL_PING_QUERY": query, "PQPOOL_RESET": "off"})
    settled(s)
    pid = s.connect("a")
    s.exec("a", "SELECT 'the last one'")
    s.finish("a")
    assert last_query(server, pid) == "SELECT 'the last one'"
    assert s.connect("a") == pid
    assert last_query(server, pid) == query
    s.finish("a")


@NOT_ASKED
def test_ping_of_old_is_the_empty_query(script, server):
    s = script(env={"PQPOOL_RESET": "off"})
    settled(s)
    pid = s.connect("a")
    s.exec("a", "SELECT 'the last one'")
    s.finish("a")
    assert s.connect("a") == pid
    assert last_query(server, pid) == ""
    s.finish("a")


@NOT_ASKED
def test_ping_query_that_fails_is_no_proof(script):
    s = script(env={"PQPOOL_PING_QUERY": "SELECT 1/0", "PQPOOL_RESET": "off"})
    before = s.lease()
    sees_nothing(s, before)
    assert s.end().stderr == ""


def test_reset_is_sent_at_once(script, server):
    s = script(env={"PQPOOL_PRE_PING": "off"})
    pid = s.connect("a")
    s.exec("a", "SELECT pg_advisory_lock(1)")
    s.finish("a")
    assert wait_until(lambda: last_query(server, pid) == "DISCARD ALL")


ALL_LOGGED = {"PGUSER": "postgres", "PGOPTIONS": "-c log_statement=all"}


@pytest.mark.parametrize("statement, reset", [
    ("SELECT 1", 0), ("SELECT pg_advisory_lock(1)", 1), ("LISTEN a", 1),
    ("CREATE TEMP TABLE t (a int)", 1), ("SELECT " + ", ".join(["now()"] * 9), 0)])
def test_a_program_that_connects_once_needs_no_reset(run, program, server, statement, reset):
    """Only one that nobody else could miss waits for a second connect."""
    begin = server.marker()
    assert run([program("cycle"), "1", statement], env=ALL_LOGGED).returncode == 0
    text = server.log_text(begin)
    assert text.count("DISCARD ALL") == reset
    assert "could not" not in text and "unexpected EOF" not in text


@pytest.mark.parametrize("ping", ["on", "auto", "off"])
def test_a_second_connect_finds_the_session_reset(run, program, server, ping):
    begin = server.marker()
    env = {**ALL_LOGGED, "PQPOOL_PRE_PING": ping}
    assert run([program("cycle"), "2", "SELECT 1"], env=env).returncode == 0
    said = [line.rsplit("statement: ")[1].strip()
            for line in server.log_text(begin).splitlines() if "statement: SELECT 1" in line
            or "statement: DISCARD" in line]
    assert said == ["SELECT 1", "DISCARD ALL"] * 2


def test_only_the_first_lease_is_taken_for_the_last(run, program, server):
    """And a program that works long on one connection is not judged statement by statement."""
    begin = server.marker()
    many = ["SELECT %d" % n for n in range(20)]
    assert run([program("cycle"), "1", *many], env=ALL_LOGGED).returncode == 0
    assert server.log_text(begin).count("DISCARD ALL") == 1


@pytest.mark.libpq(14)
def test_idle_in_the_pool_is_idle_on_the_server(script, server):
    s = script()
    s.connect("a")
    s.exec("a", "BEGIN", "CREATE TEMP TABLE t (a int)")
    s.finish("a")
    assert wait_until(lambda: {x["state"] for x in server.sessions()} == {"idle"})
