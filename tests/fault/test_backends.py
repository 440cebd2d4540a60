# SPDX-License-Identifier: PostgreSQL
"""Sessions that the server ends, in each state that they may be in: the same program bare and
pooled sees the same, and what it connects next is well."""
import os
import signal

import pytest

from running import stopped
from server import Server, ServerError, wait_until

PID = "SELECT pg_backend_pid()"
HELD = ("idle", "transaction", "failed", "active", "copy_in", "copy_out", "pipeline")
# How the server's log tells of it.
PROOF = {"terminate": "terminating connection due to administrator command",
         "kill_backend": "was terminated by signal 9",
         "fast": "received fast shutdown request",
         "immediate": "received immediate shutdown request",
         "kill": "database system was interrupted"}


@pytest.fixture(scope="module", name="own")
def _own():
    with Server(settings={"shared_buffers": "1MB"}) as server:
        yield server


def leave(s):
    """A connection in each state, and one in the pool; the backends."""
    pids = {name: s.connect(name) for name in HELD}
    parked = s.lease()
    for name in ("transaction", "failed"):
        s.exec(name, "BEGIN")
    assert "division by zero" in s.do("exec", "failed", "SELECT 1/0")
    assert s.do("send", "active", "SELECT pg_sleep(100)") == "1"
    s.exec("copy_in", "CREATE TEMP TABLE t (a text)")
    s.do("send", "copy_in", "COPY t FROM STDIN")
    assert s.do("get", "copy_in") == "PGRES_COPY_IN"
    s.do("send", "copy_out", "COPY (SELECT 1 FROM generate_series(1, 3)) TO STDOUT")
    assert s.do("get", "copy_out") == "PGRES_COPY_OUT"
    assert s.do("pipeline", "pipeline") == "1"
    assert s.do("send", "pipeline", "SELECT pg_sleep(100)") == "1"
    assert s.do("sync", "pipeline") == "1"
    return {*pids.values(), parked}


def view(s):
    """What the program sees of them afterwards."""
    seen = {name: s.do("exec", name, PID) for name in ("idle", "transaction", "failed")}
    seen |= {name: s.do("get", name) for name in ("active", "pipeline")}
    seen["copy_in"] = s.do("put", "copy_in", "row"), s.do("exec", "copy_in", PID)
    for name in HELD:
        state = s.state(name)
        seen[name + " after"] = [state[key] for key in ("status", "transaction", "pipeline",
                                                        "error")]
    return seen


def gone(pid):
    return not os.path.exists("/proc/" + pid)


def answers(server):
    try:
        return server.sql("SELECT 1")
    except ServerError:
        return False


def cause(server, fault, victims):
    """The victims are gone, and the server is there again."""
    if fault == "terminate":
        assert server.terminate() >= len(victims)
    elif fault == "kill_backend":
        # Not one of those: whose backend it was is not told why.
        other = server.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        os.kill(int(other[0][0]), signal.SIGKILL)
    else:
        server.restart(fault)
    assert wait_until(lambda: all(map(gone, victims)), 30), "the fault did not happen"
    assert wait_until(lambda: answers(server), 30)


@pytest.mark.libpq(14)
@pytest.mark.parametrize("fault", PROOF)
def test_ended_in_every_state(script, own, fault):
    bare, s = script(server=own, pooled=False), script(server=own)
    victims = leave(bare) | leave(s)
    begin = own.marker()
    cause(own, fault, {pid for pid in victims if not gone(pid)})
    assert PROOF[fault] in own.log_text(begin), "the fault did not happen"
    assert view(s) == view(bare)
    for each in (bare, s):
        each.finish(*HELD)
        fresh = {each.connect(name) for name in HELD}
        assert len(fresh) == len(HELD) and not fresh & victims
        assert each.exec("idle", "SELECT to_regclass('t')") == "NULL"
        each.finish(*HELD)
    assert s.lease() in fresh
    # A server that ends in haste does not say so on every connection.
    ends = [set(each.end().stderr.splitlines()) for each in (bare, s)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("query", ["SELECT 1", "SET work_mem = '1MB'"])
@pytest.mark.parametrize("cancelled", [signal.SIGTERM, signal.SIGINT])
def test_ended_with_the_reset_on_its_way(script, server, query, cancelled):
    """Terminated, or what it runs is cancelled, before it has read what the finish sent."""
    s = script()
    before = s.connect("a")
    s.exec("a", query, "SELECT pg_advisory_lock(17)")
    begin = server.marker()
    with stopped(before):
        s.finish("a")
        os.kill(int(before), cancelled)
    if cancelled == signal.SIGTERM:
        assert wait_until(lambda: gone(before)), "the fault did not happen"
        assert PROOF["terminate"] in server.log_text(begin)
    after = s.connect("a")
    assert cancelled == signal.SIGINT or after != before
    assert s.exec("a", PID) == after and s.exec("a", "SHOW work_mem") == "4MB"
    assert server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                      " AND objid = 17") == [["0"]]
    s.finish("a")
    assert s.end().stderr == ""


@pytest.mark.parametrize("name", ["script", "stepwise"])
def test_ended_while_it_is_checked(script, server, name):
    s = script(name=name, env={"PQPOOL_RESET": "off", "PQPOOL_PRE_PING": "on"})
    step = name == "stepwise"

    def lease():
        if step:
            s.do("start", "a")
            assert s.do("drive", "a").strip() == "a OK"
            pid = s.do("pid", "a")
        else:
            pid = s.connect("a")
        s.do("finish", "a")
        return pid

    lease()
    before = lease()
    begin = server.marker()
    with stopped(before):
        if step:
            s.do("start", "a")
        else:
            s.do("begin", "a")
            assert not s.done("a")
        os.kill(int(before), signal.SIGTERM)
    if step:
        assert s.do("drive", "a").strip() == "a OK"
        after = s.do("pid", "a")
    else:
        assert wait_until(lambda: s.done("a"))
        after = s.join("a")[1]
    assert PROOF["terminate"] in server.log_text(begin), "the fault did not happen"
    assert after != before and not s.events("open_failed")
    s.do("finish", "a")
    assert lease() == after
    assert s.end().stderr == ""


# -- the server's own limits of time --------------------------------------------------------


@pytest.mark.server(since=14)
def test_idle_session_timeout(script, server):
    """In a lease, and in the pool."""
    said = "terminating connection due to idle-session timeout"
    limited = {"PGOPTIONS": "-c idle_session_timeout=300"}
    seen = []
    for pooled in (False, True):
        s = script(pooled=pooled, env=limited)
        begin = server.marker()
        held = s.connect("held")
        assert wait_until(lambda h=held: gone(h)), "the fault did not happen"
        assert said in server.log_text(begin)
        seen.append(s.do("exec", "held", PID))
        s.finish("held")
        begin = server.marker()
        before = s.lease()
        assert wait_until(lambda b=before: gone(b)), "the fault did not happen"
        assert not pooled or said in server.log_text(begin)
        assert s.connect("a") != before
        s.finish("a")
        assert s.end().stderr == ""
    assert seen[0] == seen[1]


@pytest.mark.parametrize("version, setting, said", [
    (None, "idle_in_transaction_session_timeout", "idle-in-transaction timeout"),
    ("17.10", "transaction_timeout", "transaction timeout")])
def test_limits_of_transactions(script, server, server_at, version, setting, said):
    there = server_at(version) if version else server
    env = {"PGOPTIONS": "-c %s=300" % setting}
    seen = []
    for pooled in (False, True):
        s = script(server=there, pooled=pooled, env=env)
        s.lease()
        begin = there.marker()
        held = s.connect("held")
        s.exec("held", "BEGIN")
        assert wait_until(lambda h=held: gone(h)), "the fault did not happen"
        assert said in there.log_text(begin)
        seen.append((s.do("exec", "held", PID), s.state("held")["status"]))
        s.finish("held")
        after = s.connect("held")
        assert after != held and s.exec("held", PID) == after
        s.finish("held")
        s.end()
    assert seen[0] == seen[1]
