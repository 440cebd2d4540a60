# SPDX-License-Identifier: PostgreSQL
"""A connect in steps that is not over answers like an unfinished one of libpq's.

What each function says is told by tests/programs/answers.h. A session that is checked is held
there by stopping its backend, which leaves the reset and the ping without an answer.
"""
import pytest

from running import stopped

ONE = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
OK, BAD, STARTED, MADE = "0", "1", "2", "3"
WAYS = ["unix", "tcp", "tls"]
# Off, not auto: however slow the machine, there is no ping.
FAST = {"PQPOOL_RESET": "auto", "PQPOOL_PRE_PING": "off"}


def answers(s):
    """What all functions say of a connect that was begun, before and after its first step."""
    s.start("a")
    said = [(s.do("status", "a"), s.do("answers", "a"))]
    assert s.ready("a")
    s.step("a")
    return said + [(None, s.do("answers", "a"))]


@pytest.fixture
def bare(stepwise):
    """bare(server, env): what a connect of libpq's own says, and after it is over. The server
    must not have answered: PQconsumeInput takes away what PQconnectPoll would want."""
    def say(server, env):
        s = stepwise(env, server=server, pooled=False)
        with stopped(server.process.pid):
            said = answers(s)
        s.drive("a")
        return said, s.state("a")

    return say


@pytest.mark.parametrize("way", WAYS)
def test_a_session_that_is_checked(stepwise, bare, tls_server, way):
    env = tls_server.ways()[way]
    s = stepwise(env, server=tls_server)
    pid = s.connect("a")
    s.do("exec", "a", "SET work_mem = '5MB'")
    s.finish("a")
    with stopped(pid):
        said = answers(s)
    s.drive("a")
    assert s.do("pid", "a") == pid, "it was not this session"
    assert (said, s.state("a")) == bare(tls_server, env)
    assert "5MB" not in s.do("exec", "a", "SHOW work_mem")
    s.finish("a")


@pytest.mark.parametrize("way", WAYS)
def test_one_that_waits_for_its_turn(stepwise, bare, tls_server, way):
    env = tls_server.ways()[way]
    s = stepwise({**env, **ONE}, server=tls_server)
    s.connect("h")
    said = answers(s)
    assert not s.ready("a", 0), "it does not wait"
    s.finish("h")
    s.drive("a")
    assert (said, s.state("a")) == bare(tls_server, env)
    s.finish("a")


@pytest.mark.parametrize("way", WAYS)
def test_a_new_session(stepwise, bare, tls_server, way):
    env = tls_server.ways()[way]
    s = stepwise(env, server=tls_server)
    with stopped(tls_server.process.pid):
        said = answers(s)
    s.drive("a")
    assert (said, s.state("a")) == bare(tls_server, env)
    s.finish("a")


@pytest.mark.parametrize("way,status", [("unix", MADE), ("tcp", STARTED)])
def test_not_up_before_the_program_has_polled(stepwise, tls_server, way, status):
    """Also where nothing has to be waited for."""
    s = stepwise({**tls_server.ways()[way], **FAST}, server=tls_server)
    for _ in range(2):  # before the second lease, servers from 17 on are asked for triggers
        pid = s.connect("a")
        s.do("exec", "a", "SELECT 1")
        s.finish("a")
    s.start("a")
    assert s.do("status", "a") == status
    assert "transaction=4" in s.do("state", "a")
    assert s.ready("a") and s.step("a") == "OK"
    assert (s.do("status", "a"), s.do("pid", "a")) == (OK, pid)
    s.finish("a")


def test_a_pipeline_that_is_taken_away(stepwise):
    """A transaction is left open: ROLLBACK and DISCARD ALL are on their way, a Sync each."""
    s = stepwise()
    pid = s.connect("a")
    s.do("exec", "a", "BEGIN")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.do("result", "a") == ""
        assert s.do("exec", "a", "SELECT 1").startswith("PGRES_FATAL_ERROR")
    assert s.do("result", "a") == ""
    s.drive("a")
    assert s.do("pid", "a") == pid
    assert "transaction=0" in s.do("state", "a")
    s.finish("a")
