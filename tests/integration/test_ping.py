# SPDX-License-Identifier: PostgreSQL
"""PQping and PQpingParams ask the server, whatever is in the pool, and feed nothing to it."""
import os
import signal

from running import same
from server import wait_until

OK, NO_RESPONSE, NO_ATTEMPT = "0 0", "2 2", "3 3"


def test_a_stopped_server_does_not_answer(script, new_server):
    server = new_server()
    s = script(server=server)
    s.lease()
    assert len(server.sessions()) == 1
    assert s.do("ping") == OK
    server.halt()
    assert s.do("ping") == NO_RESPONSE
    server.launch()
    assert s.do("ping") == OK
    assert s.do("ping", "-", "colour=blue") == NO_ATTEMPT


def test_a_server_that_hangs_does_not_answer(script, new_server):
    server = new_server()
    s = script(server=server)
    s.lease()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert s.do("ping", "-", "connect_timeout=2") == NO_RESPONSE
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_ping_is_a_connection_of_its_own(script, server):
    s = script()
    kept = s.lease()
    begin = server.marker()
    for _ in range(3):
        assert s.do("ping") == OK
    assert wait_until(lambda: server.connections_since(begin) == 6)
    assert wait_until(lambda: [each["pid"] for each in server.sessions()] == [kept])
    assert len(s.events("session_open")) == len(s.events("acquire")) == 1
    assert s.lease() == kept


def test_a_ping_is_never_pooled(script, server):
    s = script()
    assert s.do("ping") == OK
    assert wait_until(lambda: not server.sessions())
    begin = server.marker()
    s.lease()
    assert server.connections_since(begin) == 1
    assert len(s.events("session_open")) == 1


def test_a_full_pool_is_no_answer(script):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "0"})
    s.connect("a")
    assert s.do("ping") == OK
    s.finish("a")


def test_pg_isready(run, server):
    program = os.path.join(server.bindir, "pg_isready")
    same(run, [program])
    same(run, [program, "-h", "/nonexistent"], status=2)
