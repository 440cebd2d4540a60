# SPDX-License-Identifier: PostgreSQL
"""TLS that ends in the middle of a handshake, and in the middle of a record."""
import pytest

from fault.cutter import Cutter
from server import wait_until

PID = "SELECT pg_backend_pid()"
LONG = "SELECT length(repeat('x', 10)), repeat('y', 5000)"


@pytest.fixture
def cutter(tls_server):
    made = Cutter(tls_server.port)
    yield made
    Cutter.shut(made.listener)
    made.listener.close()


def pair(script, tls_server, cutter):
    env = {**tls_server.ways()["tls"], "PGPORT": cutter.port}
    return [script(server=tls_server, pooled=pooled, env=env) for pooled in (False, True)]


# The first byte agrees to TLS; then a record's head, a part of the handshake, nearly all of it.
@pytest.mark.parametrize("budget", [1, 4, 100, 600])
def test_in_a_handshake(script, tls_server, cutter, budget):
    programs = pair(script, tls_server, cutter)
    held = [s.connect("held") for s in programs]
    cutter.budget = budget
    reasons = [s.refused("new") for s in programs]
    assert wait_until(lambda: cutter.cuts >= 2), "the fault did not happen"
    assert reasons[0] == reasons[1]
    cutter.budget = None
    for s, pid in zip(programs, held):
        assert s.exec("held", PID) == pid
        s.finish("held", "new")
        pid = s.connect("new")
        assert s.exec("new", PID) == pid
        s.finish("new")
        assert s.end().stderr == ""


@pytest.mark.parametrize("after", [1, 7, 2000])
def test_in_a_record(script, tls_server, cutter, after):
    """Of an answer to a lease."""
    programs = pair(script, tls_server, cutter)
    before = [s.connect("a") for s in programs]
    cutter.cut_open(after)
    seen = []
    for s in programs:
        seen.append((s.do("exec", "a", LONG), s.state("a")["status"]))
    assert cutter.cuts == 2, "the fault did not happen"
    assert seen[0] == seen[1] and seen[0][1] == "1"
    for s, old in zip(programs, before):
        s.finish("a")
        pid = s.connect("a")
        assert pid != old and s.exec("a", PID) == pid
        s.finish("a")
        assert s.end().stderr == ""


@pytest.mark.parametrize("after", [1, 7])
def test_in_a_record_of_the_check(script, tls_server, cutter, after):
    """Of what an idle session is asked before it is lent."""
    _, s = pair(script, tls_server, cutter)
    s.lease()
    before = s.lease()
    cuts = cutter.cuts
    cutter.cut_open(after)
    pid = s.connect("a")
    assert cutter.cuts > cuts, "the fault did not happen"
    assert pid != before and s.exec("a", PID) == pid
    s.finish("a")
    assert s.lease() == pid and s.end().stderr == ""
