# SPDX-License-Identifier: PostgreSQL
"""Connects in steps that the program does not go on with, while others wait for a session.

Each holds the only place there is: begun and never polled, polled and left, granted its turn
and not come for it. The next in line gets it; what was left goes on later all the same.
"""
import signal
import threading
import time

import pytest

from running import stopped
from server import wait_until

ONE = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "20s"}
OK, BAD = "0", "1"


def begun(s, _):
    s.start("x")


def opening(s, _):
    """The server's answer is there."""
    s.start("x")
    assert s.ready("x") and s.step("x") == "READING" and s.ready("x")


def checking(s, _):
    s.connect("y")
    s.finish("y")
    s.start("x")
    assert s.ready("x")


def granted(s, _):
    s.connect("y")
    s.waiting("x")
    s.finish("y")
    assert s.ready("x")


def granted_a_dead_one(s, server):
    """What it was given is no session, but the room of one."""
    pid = s.connect("y")
    s.waiting("x")
    server.terminate("pid = %s" % pid)
    s.do("exec", "y", "SELECT 1")
    s.finish("y")
    assert s.ready("x")


STATES = {"begun": begun, "opening": opening, "checking": checking, "granted": granted,
          "granted a dead one": granted_a_dead_one}


@pytest.fixture
def left(stepwise, server):
    """left(state, env): a program that has left its connection x in that state."""
    def put(state, **env):
        s = stepwise({**ONE, **env})
        STATES[state](s, server)
        return s

    return put


@pytest.mark.parametrize("state", STATES)
def test_another_one_gets_it(left, state):
    """In steps, and so does the one after that; x is told nothing."""
    s = left(state)
    s.start("n")
    began = time.monotonic()
    s.drive("n")
    assert time.monotonic() - began < 5
    lost, = s.events("turn_lost")
    assert lost["stack"] != "0" and int(lost["begun_us"]) >= 200_000
    s.finish("n")
    s.connect("m")
    s.finish("m")
    s.finish("x")
    s.lends(1)
    assert s.end().stderr == ""


@pytest.mark.parametrize("how", ["drive", "resetstart", "reset", "finish", "thread"])
@pytest.mark.parametrize("state", STATES)
def test_it_comes_back(left, state, how):
    """It waits for its turn again, as if it had begun now, and in front of the others."""
    s = left(state)
    s.connect("n")
    assert s.events("turn_lost")
    if how in ("finish", "thread"):
        s.do(how, "x")
        s.finish("n")
        s.lends(1)
        return
    s.waiting("o")
    if how == "reset":
        s.finish("n", "o")
        s.do("reset", "x")
    else:
        if how == "resetstart":
            assert s.do("resetstart", "x") == "1"
        while s.step("x") != "READING":
            assert s.ready("x")
        assert not s.ready("x", 0)
        assert s.do("status", "x") not in (OK, BAD)
        s.finish("n")
        assert s.ready("x") and not s.ready("o", 0), "the other one was served first"
        s.drive("x")
    assert s.do("status", "x") == OK
    assert "PGRES_TUPLES_OK" in s.do("exec", "x", "SELECT 1")
    s.finish("x")
    if how != "reset":
        s.drive("o")
        s.finish("o")
    s.lends(1)
    assert s.end().stderr == ""


@pytest.mark.parametrize("state", STATES)
def test_a_connect_that_blocks_gets_it(left, state):
    s = left(state)
    began = time.monotonic()
    s.do("connect", "n")
    assert time.monotonic() - began < 5
    assert s.do("status", "n") == OK
    s.finish("x", "n")
    s.lends(1)
    assert s.end().stderr == ""


def test_those_before_it_in_line_are_left_as_well(stepwise):
    s = stepwise(ONE)
    s.connect("y")
    for name in ("a", "b", "c"):
        s.waiting(name)
    s.start("n")
    s.finish("y")
    began = time.monotonic()
    s.drive("n")
    assert time.monotonic() - began < 10
    assert len(s.events("turn_lost")) == 3
    s.finish("n", "a", "b", "c")
    s.lends(1)


@pytest.mark.parametrize("loop", ["poll", "select", "epoll", "once"])
def test_one_that_is_waited_for_is_not_lost(stepwise, loop):
    """The server is slow to answer, which is not the program's fault."""
    s = stepwise(ONE)
    s.loop(loop)
    pid = s.connect("y")
    s.finish("y")
    with stopped(pid):
        s.start("x")
        assert s.ready("x") and s.step("x") == "READING"
        s.waiting("n")
        looked = time.monotonic() + 2.5
        assert wait_until(lambda: time.monotonic() > looked)
        assert s.step("n") == "READING"
    s.drive("x")
    assert s.do("pid", "x") == pid
    assert not s.events("turn_lost")
    s.finish("x")
    s.drive("n")
    s.finish("n")


def test_it_is_named(stepwise, new_server):
    """One whose server says nothing has the place, and is named to who is refused."""
    own = new_server()
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "1s"}, server=own)
    with stopped(own.process.pid):
        s.start("x")
        assert s.ready("x") and s.step("x") == "READING"
        s.start("n")
        told = s.do("drive", "n")
    assert "held longest: an asynchronous connect, not finished for " in told
    holder, = s.events("holder")
    assert holder["state"] == "connecting" and holder["stack"] != "0"
    s.drive("x")
    s.finish("x", "n")
