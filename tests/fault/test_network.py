# SPDX-License-Identifier: PostgreSQL
"""Packets that are dropped, refused or answered with a reset in mid-flight, and a peer that is
gone without a word."""
import pytest

from server import wait_until

PID = "SELECT pg_backend_pid()"


def pair(script, network, server, **env):
    """The same program bare and pooled, in the network."""
    whole = {**network.env(server), **env}
    return [script(server=server, pooled=pooled, before=network.before, tcp=True, env=whole)
            for pooled in (False, True)]


@pytest.mark.parametrize("how", ["reset", "dropped", "rejected"])
def test_under_a_statement(script, network, far_server, how):
    """The lease sees what a bare connection sees; the next one is well."""
    programs = pair(script, network, far_server)
    seen = []
    for s in programs:
        before = s.connect("a", "tcp_user_timeout=500")
        since = network.dropped()
        network.cut(s.process.pid, far_server.port, how)
        seen.append(s.do("exec", "a", PID).split(":")[0])
        network.await_drop(since)
        state = s.state("a")
        seen[-1] = seen[-1], state["status"], state["transaction"]
        s.finish("a")
        after = s.connect("a", "tcp_user_timeout=500")
        assert after != before and s.exec("a", PID) == after
        s.finish("a")
        assert s.end().stderr == ""
    assert seen[0] == seen[1] and seen[0][1] == "1"
    assert wait_until(lambda: far_server.terminate() == 0)


@pytest.mark.parametrize("how", ["reset", "rejected"])
def test_while_it_is_idle(script, network, far_server, how):
    """The first packet of the check is answered with a reset; or rejected, which TCP does not take
    for an end: it is silence then."""
    _, s = pair(script, network, far_server)
    before = s.lease()
    since = network.dropped()
    network.cut(s.process.pid, far_server.port, how)
    after = s.connect("a")
    network.await_drop(since)
    assert after != before and s.exec("a", PID) == after
    s.finish("a")
    assert s.lease() == after and s.end().stderr == ""
    far_server.terminate()


def test_half_open(script, network, far_server):
    """The server ended the session while nothing passed; then the network works again."""
    _, s = pair(script, network, far_server)
    before = s.lease()
    network.cut(s.process.pid, far_server.port, "dropped")
    far_server.terminate("pid = %s" % before)
    network.await_drop()
    network.mend()
    after = s.connect("a")
    assert after != before and s.exec("a", PID) == after
    s.finish("a")
    assert s.lease() == after and s.end().stderr == ""


@pytest.mark.parametrize("how, says", [("refused", "Connection refused"),
                                       ("unreachable", "No route to host")])
def test_a_new_connection_is_refused(script, network, far_server, how, says):
    """By a firewall: with the same words, and as soon."""
    programs = pair(script, network, far_server)
    held = [s.connect("held") for s in programs]
    since = network.dropped()
    network.refuse(far_server.port, how)
    reasons = [s.refused("new") for s in programs]
    network.await_drop(since)
    assert says in reasons[0] and reasons[0] == reasons[1]
    network.mend()
    for s, pid in zip(programs, held):
        assert s.exec("held", PID) == pid
        s.finish("held", "new")
        assert s.connect("new")
        s.finish("new")
        assert s.end().stderr == ""
