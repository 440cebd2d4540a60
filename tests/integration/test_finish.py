# SPDX-License-Identifier: PostgreSQL
"""What PQfinish promises: the end of the connection as the server sees it, and no descriptor
of a connection that is not kept, without any further call of the program's."""
import os
import signal
import time

import pytest

from server import wait_until

HUGE = "SELECT repeat('x', 1000) FROM generate_series(1, 50000)"
# How long a waiter waits at most to see a backend's end (END_WAIT_NS).
END_SECONDS = 1
LEAVE = {
    "unread": [["send", HUGE]],
    "single row": [["send", HUGE], ["single"], ["get"]],
    "COPY": [["exec", "COPY (%s) TO STDOUT" % HUGE]],
}


@pytest.fixture(scope="module", autouse=True)
def account(server):
    server.sql("CREATE TABLE account (id int PRIMARY KEY, n int); GRANT ALL ON account TO app;"
               "INSERT INTO account VALUES (1, 0)", database="app")
    yield
    server.sql("DROP TABLE account", database="app")


def start(script, transport, **env):
    return script(env=env, tcp=transport == "tcp")


def sockets(s):
    folder = "/proc/%d/fd" % s.process.pid
    return [fd for fd in os.listdir(folder)
            if os.readlink(os.path.join(folder, fd)).startswith("socket:")]


def is_blocked(server, pid):
    """In sending, as the program does not read."""
    return server.sessions("pid = %s AND wait_event = 'ClientWrite'" % pid) != []


def backends(server):
    return {e["pid"] for e in server.sessions()}


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("way", LEAVE)
def test_a_result_left_unread_ends_the_backend(script, server, way, transport):
    s = start(script, transport)
    pid = s.connect("a")
    s.exec("a", "BEGIN", "UPDATE account SET n = n + 1 WHERE id = 1")
    for command, *words in LEAVE[way]:
        s.do(command, "a", *words)
    assert wait_until(lambda: is_blocked(server, pid)), "not blocked"
    s.finish("a")
    assert wait_until(lambda: pid not in backends(server)), "the backend lives on"
    server.sql("SET lock_timeout = '1s'; UPDATE account SET n = n + 1 WHERE id = 1",
               database="app")
    assert not sockets(s)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_dropped_session_has_no_descriptor(script, server, transport):
    s = start(script, transport)
    pid = s.connect("a")
    s.exec("a", "SELECT setseed(0.5)")
    assert len(sockets(s)) == 1
    s.finish("a")
    assert not sockets(s)
    assert wait_until(lambda: pid not in backends(server))
    assert s.events("session_close", reason="seeded")


def test_surplus_sessions_have_no_descriptors(script):
    s = start(script, "tcp", PQPOOL_SIZE=2)
    names = "abcdefgh"
    for name in names:
        s.connect(name)
    s.finish(*names)
    assert len(sockets(s)) == 2
    assert len(s.events("session_close", reason="surplus")) == 6


def test_a_waiter_does_not_wait_for_a_blocked_backend(script, server):
    """The room of a connection with an unread result goes on at once."""
    s = start(script, "unix", PQPOOL_SIZE=1, PQPOOL_MAX_OVERFLOW=0, PQPOOL_TIMEOUT=20)
    pid = s.connect("a")
    s.do("send", "a", HUGE)
    assert wait_until(lambda: is_blocked(server, pid)), "not blocked"
    s.do("begin", "b")
    s.await_events("wait", 1)
    begin = time.monotonic()
    s.finish("a")
    _, outcome = s.join("b")
    assert outcome.isdigit() and outcome != pid, outcome
    assert time.monotonic() - begin < END_SECONDS / 2, "it has waited for the backend's end"
    assert wait_until(lambda: pid not in backends(server))
    assert not s.events("session_open_failed")
    s.finish("b")


def log_of_a_killed_program(script, server, tcp):
    """What the server logs of a program that is killed after its reset."""
    marker = server.marker()
    s = script(server=server, tcp=tcp)
    pid = s.connect("a")
    s.exec("a", "SET work_mem = '5MB'")
    s.finish("a")
    assert wait_until(lambda: server.sessions("state = 'idle' AND query LIKE 'DISCARD%'"))
    os.kill(s.process.pid, signal.SIGKILL)
    assert wait_until(lambda: pid not in backends(server))
    return server.log_text(marker)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_killed_program_leaves_no_reset_in_the_servers_log(script, new_server, transport):
    """The answer to pqpool's own reset does not lie unread when the kernel closes the socket.
    The release waits a millisecond for it, which a busy server exceeds now and then."""
    server = new_server()
    assert any("reset by peer" not in log_of_a_killed_program(script, server, transport == "tcp")
               for _ in range(20))
