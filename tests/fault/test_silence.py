# SPDX-License-Identifier: PostgreSQL
"""Idle sessions whose server says nothing: the network has forgotten them, or it is slow."""
import os
import signal
import time

import pytest

from network import flows
from running import process_state, stopped
from server import wait_until

# By the default of PQPOOL_PING_TIMEOUT a server that is silent for 5 s counts as dead. A caller
# waits for a second of that at most, and for its new connection. What else the machine does may
# take the rest.
BOUND = 3.0


def far(script, network, far_server, **options):
    return script(server=far_server, before=network.before, tcp=True,
                  env=network.env(far_server), **options)


def lease_all(s, names):
    """Connects them all at once; seconds and backends."""
    for name in names:
        s.do("begin", name)
    for name in names:
        assert wait_until(lambda name=name: s.done(name), 20)
    joined = [s.join(name) for name in names]
    s.finish(*names)
    return [seconds for seconds, _ in joined], {pid for _, pid in joined}


def test_a_network_that_forgot_all_flows(script, network, far_server):
    """All threads at once, and the next ones: who meets a forgotten session waits a second for
    it, and nobody does who comes later."""
    s = far(script, network, far_server)
    opened = {s.connect(name) for name in "abcdef"}
    s.finish(*"abcdef")
    network.forget(s.process.pid, far_server.port)
    seconds, pids = lease_all(s, "abc")
    assert network.dropped() > 0, "the fault did not happen"
    assert not pids & opened
    assert max(seconds) < BOUND, seconds
    assert 1 <= len(s.events("ping_failed")) <= 3
    seconds, pids = lease_all(s, "abcdef")
    assert not pids & opened
    assert max(seconds) < BOUND, seconds
    # None of the others was asked.
    assert len(s.events("ping_failed")) <= 3
    assert s.events("session_close", reason="invalidated")
    assert s.end().stderr == ""
    far_server.terminate()  # who waits for what was dropped


def test_a_host_name_that_moved(script, network, far_server, tmp_path):
    """The old server says nothing any more: the new one is found as by a fresh connect."""
    hosts, other = tmp_path / "hosts", network.other_address()
    hosts.write_text(network.address + " db\n")
    s = script(server=far_server, before=network.before_with_hosts(hosts), tcp=True,
               env={**network.env(far_server), "PGHOST": "db"})
    opened = {s.connect(name) for name in "abc"}
    s.finish(*"abc")
    hosts.write_text(other + " db\n")
    network.forget(s.process.pid, far_server.port)
    seconds, pids = lease_all(s, "abc")
    assert network.dropped() > 0, "the fault did not happen"
    assert not pids & opened
    assert max(seconds) < BOUND, seconds
    s.connect("a")
    assert s.exec("a", "SELECT host(inet_server_addr())") == other
    s.finish("a")
    assert s.end().stderr == ""
    far_server.terminate()


def test_the_bare_program_has_its_connections_cut_too(script, network, far_server):
    """What the fault is: an old connection is silent for good, a new one works."""
    s = far(script, network, far_server, pooled=False)
    s.connect("old")
    network.forget(s.process.pid, far_server.port)
    assert s.connect("new")
    s.finish("new")
    before = network.dropped()
    s.finish("old")
    network.await_drop(before)
    far_server.terminate()


def test_a_slow_server_without_a_place_for_another(script, new_server):
    """A connection that is refused is no reason to give the session up."""
    server = new_server(settings={"max_connections": "4", "superuser_reserved_connections": "0",
                                  "max_wal_senders": "0"})
    s = script(server=server, tcp=True)
    others = script(server=server, pooled=False)
    before = s.lease()
    for name in "abc":
        others.connect(name)
    begin = server.marker()
    with stopped(before):
        s.do("begin", "x")
        assert wait_until(lambda: "too many clients" in server.log_text(begin)), (
            "the fault did not happen")
    assert wait_until(lambda: s.done("x"))
    assert s.join("x")[1] == before
    assert not s.events("ping_failed") and not s.events("open_failed")
    s.finish("x")
    others.finish(*"abc")


def test_a_server_that_was_only_slow(script, new_server):
    """The new connection does not come about, either, and the session answers first."""
    server = new_server()
    s = script(server=server, tcp=True)
    before = s.lease()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert wait_until(lambda: process_state(server.process.pid) == "T")
        with stopped(before):
            s.do("begin", "x")
            # The kernel connects it; the server does not take it.
            assert wait_until(lambda: len(flows(s.process.pid, server.port)) == 2), (
                "the fault did not happen")
            assert not s.done("x")
        assert wait_until(lambda: s.done("x"))
        assert s.join("x")[1] == before
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert not s.events("ping_failed")
    s.finish("x")
    assert s.lease() == before


@pytest.mark.parametrize("size", ["1", "10"])
def test_one_backend_that_hangs(script, server, size):
    """A new connection works: it is lent, in the room of the one that hangs."""
    s = script(tcp=True, env={"PQPOOL_SIZE": size, "PQPOOL_MAX_OVERFLOW": "0"})
    before = s.lease()
    with stopped(before):
        began = time.monotonic()
        after = s.connect("a")
        assert after != before
        assert time.monotonic() - began < BOUND
        assert s.exec("a", "SELECT pg_backend_pid()") == after
        s.finish("a")
    closed, = s.events("session_close", backend=before)
    assert closed["reason"] == "ping_failed"
    assert s.lease() == after
