# SPDX-License-Identifier: PostgreSQL
"""How long it takes after a fault until the program works again: from the moment that the fault has
happened, and its cause is over, to the end of the first lease that works. Bare and pooled by turns;
`make recovery` prints the medians as rows of a table. The pooled program has an idle session that
the fault hits."""
import os
import signal
import statistics
import time

import pytest

from server import Server, wait_until

ROUNDS = 5
GIVE_UP = 30  # seconds


@pytest.fixture(scope="module", name="own")
def _own():
    with Server(settings={"shared_buffers": "1MB"}) as server:
        yield server


def until_it_works(s):
    """Seconds, and how many leases failed before."""
    begin = time.monotonic()
    for failed in range(1000):
        if s.do("connect", "again").isdigit() and "PGRES_TUPLES_OK" in s.do("exec", "again", "SELECT 1"):
            s.finish("again")
            return time.monotonic() - begin, failed
        s.finish("again")
        assert time.monotonic() < begin + GIVE_UP, "it does not work again"
    raise AssertionError("it does not work again")


def measure(name, start, cause, undo=lambda s: None):
    seconds, failed = ([], []), ([], [])
    for _ in range(ROUNDS):
        for pooled in (False, True):
            s = start(pooled)
            before = s.lease()
            cause(s, before)
            took, times = until_it_works(s)
            seconds[pooled].append(took)
            failed[pooled].append(times)
            undo(s)
            s.end()
    print("\n| %s | %s |" % (name, " | ".join("%.0f ms, %d failed" % (
        1000 * statistics.median(seconds[pooled]), max(failed[pooled])) for pooled in (False, True))))


def gone(pid):
    return not os.path.exists("/proc/" + pid)


@pytest.mark.limit(300)
@pytest.mark.parametrize("fault", ["terminated", "killed", "fast", "immediate", "kill"])
def test_server(script, own, fault):
    def cause(_s, before):
        if fault == "terminated":
            own.terminate()
        elif fault == "killed":
            victims = own.sessions()
            os.kill(int(victims[0]["pid"] if victims else own.sql(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")[0][0]),
                signal.SIGKILL)
        else:
            own.restart(fault)
        assert wait_until(lambda: gone(before), 30), "the fault did not happen"

    names = {"terminated": "backend terminated", "killed": "a server process killed",
             "fast": "server restarted fast", "immediate": "server restarted at once",
             "kill": "postmaster killed and started"}
    measure(names[fault], lambda pooled: script(server=own, pooled=pooled), cause)


def stop(_s, before):
    if not gone(before):
        os.kill(int(before), signal.SIGSTOP)


def test_a_backend_that_hangs(script, own):
    stopped = []

    def cause(s, before):
        stop(s, before)
        stopped.append(before)

    def undo(_s):
        if not gone(stopped[-1]):
            os.kill(int(stopped[-1]), signal.SIGCONT)

    measure("backend stopped (SIGSTOP)", lambda pooled: script(server=own, pooled=pooled, tcp=True),
            cause, undo)


@pytest.mark.limit(300)
@pytest.mark.parametrize("how", ["forgotten", "reset", "rejected", "half-open"])
def test_network(script, network, far_server, how):
    def start(pooled):
        return script(server=far_server, pooled=pooled, before=network.before, tcp=True,
                      env=network.env(far_server))

    def cause(s, before):
        if not s.log_name:
            return  # a bare program has no connection now
        if how == "forgotten":
            network.forget(s.process.pid, far_server.port)
        elif how == "half-open":
            since = network.dropped()
            network.cut(s.process.pid, far_server.port, "dropped")
            far_server.terminate("pid = %s" % before)
            network.await_drop(since)
            network.mend()
        else:
            network.cut(s.process.pid, far_server.port, how)

    def undo(_s):
        network.mend()
        far_server.terminate()

    names = {"forgotten": "network forgot all flows", "reset": "packets of a flow answered by a reset",
             "rejected": "packets of a flow rejected (ICMP)", "half-open": "half-open"}
    measure(names[how], start, cause, undo)
