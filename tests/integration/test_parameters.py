# SPDX-License-Identifier: PostgreSQL
"""What each PQPOOL_ variable does, on a real server. Proof of life has a file of its own."""
import re
import threading
import time

import psycopg2
import pytest

from running import same
from server import OBSERVER, Server, wait_until

PID = "SELECT pg_backend_pid()"


def pids(server):
    return {s["pid"] for s in server.sessions()}


def begin_all(script, names):
    for name in names:
        script.do("begin", name)


def open_all(script, names):
    return [script.connect(name) for name in names]


# -- size, overflow, timeout -------------------------------------------------------------


def test_thirty_get_in_and_the_next_is_refused(script, server):
    s = script(env={"PQPOOL_TIMEOUT": "0.5"})
    names = ["c%d" % i for i in range(30)]
    begin_all(s, names)
    outcomes = [s.join(name)[1] for name in names]
    assert all(o.isdigit() for o in outcomes), outcomes
    assert pids(server) == set(outcomes) and len(set(outcomes)) == 30
    s.do("begin", "late")
    seconds, error = s.join("late")
    assert seconds >= 0.5
    assert error.startswith("BAD ") and s.state("late")["status"] == "1"
    assert re.search(r"no session became free within (\d{3}\.\d ms|\d+\.\d+ s)", error), error
    assert "limit of 30 sessions is reached (PQPOOL_SIZE 10 + PQPOOL_MAX_OVERFLOW 20)" in error
    assert len(pids(server)) == 30
    assert len(s.events("timeout")) == 1
    s.finish("late", *names)
    assert wait_until(lambda: len(pids(server)) == 10)
    kept = {s.connect(name) for name in names[:10]}
    assert kept <= set(outcomes), "the ten that were left are not lent again"
    s.finish(*names[:10])


def test_a_refused_connection_asks_again(script, server):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    s.refused("b")
    s.do("reset", "b")
    assert s.state("b")["status"] == "1" and "pqpool: " in s.state("b")["error"]
    assert len(s.events("timeout")) == 2 and len(pids(server)) == 1
    s.finish("a")
    s.do("reset", "b")
    assert s.state("b")["status"] == "0" and s.state("b")["error"] == ""
    pid = s.exec("b", PID)
    s.finish("b")
    assert s.lease() == pid and s.end().stderr == ""


def test_waiters_are_served_in_order_of_arrival(script):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"})
    line = ["w%d" % i for i in range(4)]
    first = s.connect("first")
    for place, name in enumerate(line):
        s.do("begin", name)
        s.await_events("wait", place + 1)
    holder = "first"
    for place, name in enumerate(line):
        assert not any(s.done(n) for n in line[place:])
        s.finish(holder)
        assert wait_until(lambda n=name: s.done(n), 10), "%s was not served" % name
        assert s.join(name)[1] == first
        holder = name
    s.finish(holder)
    assert len(s.events("session_open")) == 1


def test_a_dropped_session_makes_way_for_a_waiter(script):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"})
    first = s.connect("a")
    s.do("begin", "b")
    s.await_events("wait", 1)
    s.do("event_proc", "a")
    s.finish("a")
    second = s.join("b")[1]
    assert second.isdigit() and second != first
    s.finish("b")


def test_timeout_is_waited_for(script):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    for name in "bc":
        s.do("begin", name)
        seconds, error = s.join(name)
        assert 0.3 <= seconds < 20 and error.startswith("BAD "), error
        s.finish(name)
    s.finish("a")
    s.lease()


def test_no_timeout_is_no_wait(script):
    s = script(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "0"})
    s.connect("a")
    assert "limit of 1" in s.refused("b")
    s.finish("a", "b")


@pytest.mark.parametrize("limits, kept", [
    ({"PQPOOL_SIZE": "0", "PQPOOL_MAX_OVERFLOW": "0"}, 40),
    ({"PQPOOL_SIZE": "3", "PQPOOL_MAX_OVERFLOW": "-1"}, 3)])
def test_no_limit(script, server, limits, kept):
    s = script(env={"PQPOOL_TIMEOUT": "0", **limits})
    names = ["c%d" % i for i in range(40)]
    assert len(set(open_all(s, names))) == 40
    s.finish(*names)
    assert wait_until(lambda: len(pids(server)) == kept)
    assert len({s.connect(name) for name in names} & pids(server)) == 40
    s.finish(*names)


class Observer(threading.Thread):
    """Counts the server's sessions as fast as it can."""

    def __init__(self, server):
        super().__init__()
        self.conn = psycopg2.connect(server.dsn("postgres", application_name=OBSERVER))
        self.conn.autocommit = True
        self.over = threading.Event()
        self.seen = []

    def run(self):
        cursor = self.conn.cursor()
        while not self.over.is_set():
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'"
                           " AND backend_type = 'client backend'")
            self.seen.append(cursor.fetchone()[0])
        self.conn.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_never_more_than_the_limit(run, program, server):
    with Observer(server) as observer:
        done = run([program("hammer"), "50", "40"],
                   env={"PQPOOL_SIZE": "2", "PQPOOL_MAX_OVERFLOW": "2",
                        "PQPOOL_RECYCLE": "50ms"})
    assert (done.stdout, done.returncode) == ("2000\n", 0), done
    assert max(observer.seen) == 4 and len(observer.seen) > 20
    assert done.events("session_close", reason="aged")


# -- age ---------------------------------------------------------------------------------


def test_recycle(script):
    aging = script(env={"PQPOOL_RECYCLE": "1"})
    lasting = script(env={"PQPOOL_RECYCLE": "-1"})
    kept = lasting.lease()
    begun = time.monotonic()
    first = aging.lease()
    opened = time.monotonic()
    # Not while it is younger, less the five percent that its life may be shorter ...
    while time.monotonic() - begun < 0.7:
        pid = aging.lease()
        assert pid == first or time.monotonic() - begun >= 0.95
    # ... but then.
    assert wait_until(lambda: aging.lease() != first)
    assert time.monotonic() - opened < 10 and time.monotonic() - begun >= 0.95
    assert [e["backend"] for e in aging.events("session_close", reason="aged")] == [first]
    assert lasting.lease() == kept


def test_a_lease_may_outlive_its_session(script, server):
    s = script(env={"PQPOOL_RECYCLE": "0.1"})
    pid = s.connect("a")
    assert wait_until(lambda: server.sql(
        "SELECT now() - backend_start > '0.2 s' FROM pg_stat_activity WHERE pid = %s" % pid)
        == [["t"]])
    assert s.exec("a", PID) == pid
    s.finish("a")
    assert s.events("release", reason="aged")
    assert s.lease() != pid


def test_idle_timeout(script, server):
    s = script(env={"PQPOOL_IDLE_TIMEOUT": "0.2"})
    names = ["a", "b", "c"]
    opened = set(open_all(s, names))
    s.finish(*names)
    assert pids(server) == opened
    # Leasing one at a time leaves the others alone until they are past their time.
    assert wait_until(lambda: s.lease() and len(pids(server)) == 1)
    assert len(s.events("session_close", reason="idle_timeout")) >= 2


def test_idle_timeout_reaches_other_pools(script, server):
    s = script(env={"PQPOOL_IDLE_TIMEOUT": "0.2"})
    forgotten = s.lease("application_name=forgotten")
    assert forgotten in pids(server)
    assert wait_until(lambda: s.lease() and forgotten not in pids(server))
    assert s.events("session_close", reason="idle_timeout", backend=forgotten)


def test_idle_timeout_off(script, server):
    timed, lasting = script(env={"PQPOOL_IDLE_TIMEOUT": "0.1"}), script()
    kept = lasting.lease("application_name=kept")
    gone = timed.lease("application_name=gone")
    assert wait_until(lambda: timed.lease() and gone not in pids(server))
    assert lasting.lease() != kept and kept in pids(server)


# -- which one ---------------------------------------------------------------------------


@pytest.mark.parametrize("order, expected", [("lifo", "c b a"), ("fifo", "a b c"),
                                             (None, "c b a")])
def test_order(script, order, expected):
    s = script(env={"PQPOOL_ORDER": order})
    opened = dict(zip("abc", open_all(s, "abc")))
    s.finish(*"abc")
    assert open_all(s, "xyz") == [opened[name] for name in expected.split()]
    s.finish(*"xyz")


def test_prewarm(script, server):
    s = script(env={"PQPOOL_PREWARM": "4"})
    first = s.connect("a")
    opened = pids(server)
    assert len(opened) == 4 and first in opened
    marker = server.marker()
    assert {first, *open_all(s, "bcd")} == opened
    assert server.connections_since(marker) == 0
    assert s.connect("e") not in opened
    s.finish(*"abcde")


def test_prewarm_is_off_and_limited(script, server):
    s = script()
    s.lease()
    assert len(pids(server)) == 1
    limited = script(env={"PQPOOL_PREWARM": "9", "PQPOOL_SIZE": "3"})
    limited.lease()
    assert len(pids(server)) == 1 + 3


def test_prewarm_does_not_wait_for_what_has_failed(run, program, tmp_path):
    nowhere = {"PGHOST": str(tmp_path), "PQPOOL_PREWARM": "3", "PQPOOL_CONNECT_TIMEOUT": "0"}
    same(run, [program("cycle"), "1"], status=1, env=nowhere)


# -- room on the server ------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Seven sessions and it is full; three more are for the superuser."""
    with Server(settings={"max_connections": "10"}) as made:
        yield made


def test_idle_sessions_make_room(script, small):
    s = script(server=small)
    for i in range(20):
        conninfo = "application_name=identity%d" % i
        pid = s.connect("a", conninfo)
        assert s.exec("a", "SHOW application_name") == "identity%d" % i
        assert pid in pids(small)
        s.finish("a")
    assert s.events("session_close", reason="make_room")


def test_no_room_is_the_servers_own_error(script, small):
    for pooled in (False, True):
        s = script(pooled, server=small)
        open_all(s, "abcdefg")
        assert re.search("too many clients|connection slots are reserved", s.refused("x"))
        s.finish(*"abcdefgx")
        assert s.end().returncode == 0
