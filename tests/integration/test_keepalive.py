# SPDX-License-Identifier: PostgreSQL
"""Idle sessions over TCP are kept alive, and no lease finds out."""
import pytest

from running import PYTHON, same
from server import wait_until

KEEPALIVE_TIMER = 2
LOOKS = r"""
import os, socket
import psycopg2

names = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE)] + [
    (socket.IPPROTO_TCP, getattr(socket, "TCP_" + name))
    for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")]
for looks in (False, True, False, True, True):
    c = psycopg2.connect("")
    c.cursor().execute("SELECT 1")
    if looks:
        s = socket.fromfd(c.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        print(*[s.getsockopt(*name) for name in names])
        s.close()
    c.close()
"""


def timer(s, server):
    """The kind of timer of the program's connection, and its seconds."""
    with open("/proc/%d/net/tcp" % s.process.pid, encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    kind, jiffies = next(row[5] for row in rows
                         if row[2].endswith(":%04X" % server.port) and row[3] == "01").split(":")
    return int(kind, 16), int(jiffies, 16) / 100


def keepalive(s, server):
    """When the kernel will ask first; None: never. The last acknowledgement may be under way."""
    assert wait_until(lambda: timer(s, server)[0] in (0, KEEPALIVE_TIMER))
    kind, seconds = timer(s, server)
    return seconds if kind == KEEPALIVE_TIMER else None


@pytest.mark.parametrize("prewarm", ["0", "2"])
def test_of_an_idle_session(script, new_server, prewarm):
    server = new_server()
    s = script(server=server, tcp=True, env={"PQPOOL_KEEPALIVE": "77", "PQPOOL_PREWARM": prewarm})
    s.lease()
    assert keepalive(s, server) <= 77
    s.connect("a")
    s.exec("a", "SELECT 1")
    s.finish("a")
    assert keepalive(s, server) <= 77


@pytest.mark.parametrize("conninfo, env, least", [
    ("keepalives_idle=300", {}, 290), ("keepalives_interval=5", {}, 7000),
    ("tcp_user_timeout=60000", {}, 7000), ("", {"PQPOOL_KEEPALIVE": "0"}, 7000),
    ("keepalives=0", {}, None)])
def test_where_something_else_is_said(script, new_server, conninfo, env, least):
    server = new_server()
    s = script(server=server, tcp=True, env=env)
    s.lease(conninfo)
    found = keepalive(s, server)
    assert found is None if least is None else found > least


@pytest.mark.parametrize("conninfo", ["", "keepalives_count=3"])
def test_a_program_that_looks_sees_none(run, server, conninfo):
    env = {**server.env(tcp=True), "PQPOOL_KEEPALIVE": "9"}
    done = same(run, [PYTHON, "-c", LOOKS.replace('""', '"%s"' % conninfo, 1)], env=env)
    assert len(done.events("session_open")) == 1
