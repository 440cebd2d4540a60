# SPDX-License-Identifier: PostgreSQL
"""A NAT between a program and its server that forgets the flows in which nothing passes."""

import pytest

from fault.conftest import made_or_skipped
from network import Nat, flows
from server import wait_until

SECONDS = 3  # until it forgets; twice the keepalive's, and what the machine takes beside
BOUND = 1.0  # how much later than a fresh connect a caller may be served
ATTEMPTS = 6  # for a machine that has other things to do


@pytest.fixture(name="nat")
def _nat():
    yield from made_or_skipped(Nat(SECONDS), "NAT")


def behind(script, nat, far_server, pooled=True, **env):
    return script(server=far_server, before=nat.before, tcp=True, pooled=pooled,
                  env={**nat.env(far_server), **env})


def known(nat, s, port):
    """Those of its connections that the NAT knows, and the others."""
    mine, all_known = flows(s.process.pid, port), nat.known()
    return mine & all_known, mine - all_known


def await_forgotten(nat, s, port):
    assert flows(s.process.pid, port), "nothing is connected"
    assert wait_until(lambda: not known(nat, s, port)[0]), "the fault did not happen"


def connect_all(s, names):
    for name in names:
        s.do("begin", name)


def join_all(s, names):
    """Seconds of the slowest, and the backends."""
    for name in names:
        assert wait_until(lambda name=name: s.done(name), 20)
    joined = [s.join(name) for name in names]
    for name, (_, pid) in zip(names, joined):
        assert s.exec(name, "SELECT pg_backend_pid()") == pid
    s.finish(*names)
    return max(seconds for seconds, _ in joined), {pid for _, pid in joined}


def test_after_it_forgot_all(script, nat, far_server):
    """Whoever comes first is served like a fresh connect, and a second at most; the new
    connections are measured at the same time."""
    s, bare = (behind(script, nat, far_server, pooled) for pooled in (True, False))
    late = []
    while not late or (late[-1] > BOUND and len(late) < ATTEMPTS):
        opened = {s.connect(name) for name in "abcd"}
        s.finish(*"abcd")
        await_forgotten(nat, s, far_server.port)
        dropped = nat.dropped()
        connect_all(bare, "abc")
        connect_all(s, "abc")
        fresh, _ = join_all(bare, "abc")
        pooled, pids = join_all(s, "abc")
        assert nat.dropped() > dropped, "the fault did not happen"
        assert not pids & opened
        late.append(pooled - fresh)
    assert late[-1] <= BOUND, late
    assert s.end().stderr == bare.end().stderr == ""
    far_server.terminate()  # who waits for what was dropped


def test_a_keepalive_is_remembered(script, nat, far_server):
    """A session stays for longer than the NAT remembers, and another's does not."""
    kept = behind(script, nat, far_server, PQPOOL_KEEPALIVE="1")
    before = kept.lease()
    other = behind(script, nat, far_server, PQPOOL_KEEPALIVE="0")
    forgotten = other.lease()
    await_forgotten(nat, other, far_server.port)
    assert known(nat, kept, far_server.port)[1] == set()
    assert kept.lease() == before and other.lease() != forgotten
    assert not kept.events("ping_failed") and other.events("ping_failed")
    assert kept.end().stderr == other.end().stderr == ""
    far_server.terminate()
