# SPDX-License-Identifier: PostgreSQL
"""The server ends what a program leaves idle for longer than PQPOOL_IDLE_TIMEOUT, also if the program
says nothing more; and no lease finds out."""
import os
import signal

import pytest

from bouncer import Bouncer
from running import session_pids, stopped
from server import Server, wait_until

pytestmark = [pytest.mark.libpq(14), pytest.mark.server(since=14)]
SAID = "terminating connection due to idle-session timeout"
SET = "set_config('idle_session_timeout'"
ROW = "SELECT to_jsonb(s) FROM pg_settings s WHERE name = 'idle_session_timeout'"
SHORT = {"PQPOOL_IDLE_TIMEOUT": "0.2"}
LONG = {"PQPOOL_IDLE_TIMEOUT": "1h"}
SIGALRM_BIT = 1 << (signal.SIGALRM - 1)

# By what a program leaves a session that the server is to end, and one that it is not.
ENDED = {
    "nothing": ({}, []),
    "statement": ({}, ["SELECT 1"]),
    "transaction": ({}, ["BEGIN", "SELECT 1"]),
    "setting": ({}, ["SET idle_session_timeout = '1h'"]),
    "auto": ({"PQPOOL_RESET": "auto"}, ["SELECT 1"]),
    "query": ({"PQPOOL_PING_QUERY": "SELECT 2 -- two"}, ["SELECT 1"]),
}
LEFT = {
    "unpinged": {"PQPOOL_PRE_PING": "auto"},
    "unreset": {"PQPOOL_RESET": "rollback"},
    "own": {"PGOPTIONS": "-c idle_session_timeout=1h"},
    "off": {"PQPOOL_IDLE_TIMEOUT": "0"},
}


@pytest.fixture(scope="module", name="own")
def _own():
    """In its file there is an entry, and a role and a database have others."""
    with Server(settings={"idle_session_timeout": "0", "log_statement": "all"}) as server:
        server.sql("CREATE ROLE limited LOGIN; ALTER ROLE limited SET idle_session_timeout = '2h';"
                   "CREATE ROLE unlimited LOGIN; ALTER ROLE unlimited SET idle_session_timeout = 0;"
                   "GRANT pg_read_all_settings TO app, limited, unlimited;"
                   "CREATE ROLE careful LOGIN;"
                   "ALTER ROLE careful SET default_transaction_isolation = serializable;"
                   "ALTER ROLE careful SET default_transaction_read_only = on;"
                   "ALTER ROLE careful SET default_transaction_deferrable = on")
        server.sql("CREATE DATABASE other")
        server.sql("ALTER DATABASE other SET idle_session_timeout = '3h'")
        yield server


def leave(s, statements):
    """A lease twice, because what is done the first time may be another thing; the backend."""
    for _ in range(2):
        pid = s.connect("a")
        if statements:
            s.exec("a", *statements)
        s.finish("a")
    return pid


def test_of_programs_that_say_nothing(script, new_server):
    server = new_server()
    ended = {name: script(server=server, env={**SHORT, **env}) for name, (env, _) in ENDED.items()}
    left = {name: script(server=server, env={**SHORT, **env}) for name, env in LEFT.items()}
    held = ended["statement"].connect("held")
    stay = {leave(s, ["SELECT 1"]) for s in left.values()}
    go = {name: leave(s, ENDED[name][1]) for name, s in ended.items()}
    warm = script(server=server, env={**SHORT, "PQPOOL_PREWARM": "3"})
    warm.connect("held")
    assert wait_until(lambda: len(session_pids(server)) == len(stay) + 2)
    assert session_pids(server) >= {*stay, held}
    assert server.log_text().count(SAID) == len(go) + 2
    for name, s in ended.items():
        assert s.connect("a") != go[name]
        assert s.events("session_close", reason="idle_timeout", backend=go[name]), name
        assert not s.events("ping_failed")
        s.finish("a")
    # It was idle for longer than the others, and was lent.
    assert ended["statement"].exec("held", "SELECT pg_backend_pid()") == held
    ended["statement"].finish("held")
    warm.finish("held")
    for s in [*ended.values(), *left.values(), warm]:
        assert s.end().stderr == ""


@pytest.mark.parametrize("env", [
    {}, {"PGUSER": "limited"}, {"PGUSER": "unlimited"}, {"PGDATABASE": "other"},
    {"PGOPTIONS": "-c idle_session_timeout=4h"}, {"PGOPTIONS": "-c idle_session_timeout=0"}],
    ids=lambda env: " ".join(env.values()) or "plain")
def test_a_lease_sees_its_own(script, own, env):
    """The whole row of pg_settings, and no statement of ours (the unnamed one is what they were
    sent as), in leases at once behind others and after a while."""
    bare = script(server=own, pooled=False, env=env)
    bare.connect("a")
    expected = bare.do("unnamed", "a"), bare.exec("a", ROW)
    pooled = [script(server=own, env={**LONG, **env, **more})
              for more in ({}, {"PQPOOL_RESET": "auto"}, {"PQPOOL_PING_QUERY": "SELECT 1"})]
    for s in pooled:
        begin = own.marker()
        first = s.lease()
        for i in range(6):
            if i == 4:
                wait_until(lambda pid=first: own.sessions("pid = %s AND state = 'idle'" % pid))
            assert s.connect("a") == first
            assert (s.do("unnamed", "a"), s.exec("a", ROW)) == expected
            s.finish("a")
        assert SET in own.log_text(begin)
        assert s.end().stderr == ""
    bare.finish("a")


@pytest.mark.parametrize("version", ["14", "16", "17", "18"])
def test_the_servers_that_have_it(script, server_at, version):
    """What the limit rests on: they all end what is idle, and RESET brings back the whole row."""
    server = server_at(version)
    bare = script(server=server, pooled=False)
    bare.connect("a")
    row = bare.exec("a", ROW)
    long = script(server=server, env=LONG)
    first = leave(long, ["SELECT 1"])
    assert long.connect("a") == first
    assert long.exec("a", ROW) == row
    begin = server.marker()
    short = script(server=server, env=SHORT)
    gone = leave(short, ["SELECT 1"])
    assert wait_until(lambda: gone not in session_pids(server))
    assert SAID in server.log_text(begin)
    assert short.connect("a") != gone
    for s in (bare, long, short):
        s.finish("a")
        assert s.end().stderr == ""


@pytest.mark.parametrize("name", ["script", "stepwise"])
def test_it_runs_out_as_the_session_is_to_be_lent(script, server, name):
    """The lease has it after the server has put the limit back, or has another one."""
    s = script(name=name, env={"PQPOOL_IDLE_TIMEOUT": "1"})
    step = name == "stepwise"

    def connect():
        if step:
            s.do("start", "a")
            assert s.do("drive", "a").strip() == "a OK"
            return s.do("pid", "a")
        return s.connect("a")

    def pending(pid):
        with open("/proc/%s/status" % pid, encoding="ascii") as f:
            shared = next(line.split()[1] for line in f if line.startswith("ShdPnd:"))
        return int(shared, 16) & SIGALRM_BIT

    for _ in range(5):
        before = connect()
        s.do("finish", "a")
        with stopped(before):
            s.do("start" if step else "begin", "a")
            caught = wait_until(lambda pid=before: pending(pid))
        if step:
            assert s.do("drive", "a").strip() == "a OK"
            after = s.do("pid", "a")
        else:
            assert wait_until(lambda: s.done("a"))
            after = s.join("a")[1]
        # Else the machine was slow, and it was past its time before it was to be lent.
        if caught and not s.events("session_close", reason="idle_timeout", backend=before):
            break
        s.do("finish", "a")
    else:
        pytest.fail("the fault did not happen")
    if not step:
        assert s.exec("a", "SHOW idle_session_timeout") == "0"
        assert s.exec("a", "SELECT pg_backend_pid()") == after
    s.do("finish", "a")
    assert not s.events("open_failed")
    assert s.end().stderr == ""


def test_a_server_that_refuses(script, new_server):
    """It is asked once in a session, which is pooled as ever."""
    server = new_server(settings={"log_statement": "all"})
    server.sql("REVOKE EXECUTE ON FUNCTION set_config(text, text, boolean) FROM public",
               database="app")
    s = script(server=server, env=LONG)
    first = s.lease()
    for _ in range(3):
        assert s.connect("a") == first
        assert s.exec("a", "SHOW idle_session_timeout") == "0"
        s.finish("a")
    assert server.log_text().count("permission denied for function set_config") == 1
    assert s.end().stderr == ""


def test_no_connect_waits_for_a_safe_snapshot(script, own):
    """Which such a statement would wait for where transactions are serializable, read-only and
    deferrable once the reset has undone what the lease has set."""
    other = script(server=own, pooled=False)
    other.connect("other")
    other.exec("other", "BEGIN ISOLATION LEVEL SERIALIZABLE", "CREATE TABLE written (v int)")
    s = script(server=own, env={**LONG, "PGUSER": "careful"})
    first = s.connect("a")
    s.exec("a", "SET default_transaction_read_only = off")
    s.finish("a")
    assert s.connect("a") == first
    s.finish("a")
    assert not s.events("ping_failed")
    other.exec("other", "ROLLBACK")
    other.finish("other")
    for one in (s, other):
        assert one.end().stderr == ""


def test_behind_a_pooler_of_transactions(script, new_server):
    """It has one session for all, and what is set there is set for all."""
    server = new_server(settings={"log_statement": "all"})
    with Bouncer(server, "unix", "transaction") as bouncer:
        env = bouncer.env(server.env())
        s = script(server=server, env={**LONG, **env})
        for _ in range(2):
            s.do("connect", "a")  # not s.connect: the backend's number may be a negative one
            s.exec("a", "SELECT 1")
            s.finish("a")
        assert wait_until(lambda: SET in server.log_text()), "it was not asked"
        bare = script(server=server, pooled=False, env=env)
        bare.do("connect", "a")
        assert bare.exec("a", "SHOW idle_session_timeout") == "0"
        bare.finish("a")
        assert s.end().stderr == ""
