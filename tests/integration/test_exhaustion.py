# SPDX-License-Identifier: PostgreSQL
"""A pool has no session left: who is refused when, with which verdict, and what is told."""
import os
import re
import signal
import subprocess

import pytest

from running import PYTHON, kill_group, read_log
from server import wait_until

ONE = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
TWO = {"PQPOOL_SIZE": "2", "PQPOOL_MAX_OVERFLOW": "0"}
PATIENT = {"PQPOOL_TIMEOUT": "30"}
BRIEF = {"PQPOOL_TIMEOUT": "300ms"}
NEVER = "no session can become free: self-deadlock"


def failures(done):
    """(seconds, message) of each connect that failed in deadlock.c."""
    return [(float(seconds), message) for seconds, message in
            re.findall(r"^failed (\d+\.\d+) (.*)$", done.stdout, re.M)]


def functions(events, log):
    """The functions that the first frames of these events' stacks are in."""
    stacks = {e["stack"]: e["frames"].split(" ")[0] for e in log if e["event"] == "stack"}
    return [stacks[e["stack"]] for e in events]


# -- proven: nobody is left who could release -------------------------------------------------


def test_the_only_thread_is_refused_at_once(run, program):
    done = run([program("deadlock"), "alone"], env={**TWO, **PATIENT})
    told = failures(done)
    assert len(told) == 5 and min(seconds for seconds, _ in told) < 0.1, told
    assert max(seconds for seconds, _ in told) < 10, told
    for _, message in told:
        assert NEVER in message and "limit of 2 sessions is reached " \
            "(PQPOOL_SIZE 2 + PQPOOL_MAX_OVERFLOW 0)" in message
        assert re.search(r"lease 1 for [^,]*, taken at deadlock\+0x\w+ \(open_orders\)", message)
        assert re.search(r"lease 2 for [^,]*, taken at deadlock\+0x\w+ \(open_invoices\)", message)
    assert "then OK" in done.stdout
    assert len(done.events("timeout", verdict="self_deadlock", proven="yes")) == 5


def test_its_post_mortem(run, program):
    done = run([program("deadlock"), "alone"], env={**TWO, **PATIENT})
    timeout = done.log.index(done.events("timeout")[0])
    # A stack that was never told yet comes in between.
    holders = [e for e in done.log[timeout + 1:timeout + 5] if e["event"] == "holder"]
    assert [e["lease"] for e in holders] == ["1", "2"]
    taken = {e["lease"]: e for e in done.events("acquire")}
    for holder in holders:
        acquired = taken[holder["lease"]]
        assert all(holder[k] == acquired[k] for k in ("session", "backend", "pool", "stack"))
        assert holder["thread"] == acquired["tid"] == holder["pid"]
        assert holder["thread_state"] == "waiting" and holder["transaction"] == "idle"
        assert int(holder["hold_us"]) > 0
    assert len(set(functions(holders, done.log))) == 2
    # The other four of the same moment have their line, but no list of their own.
    if done.seconds < 1:
        assert len(done.events("holder")) == 2


CODE = """
import psycopg2, time

def open_orders():
    return psycopg2.connect("")

def open_invoices():
    return psycopg2.connect("")

def try_third():
    began = time.monotonic()
    try:
        psycopg2.connect("")
    except psycopg2.OperationalError as e:
        print("failed %.3f %s" % (time.monotonic() - began, str(e).splitlines()[0]))

orders, invoices = open_orders(), open_invoices()
for _ in range(5):
    try_third()
orders.close()
print("then OK", open_orders().closed)
invoices.close()
"""


def test_in_python(run):
    done = run([PYTHON, "-c", CODE], env={**TWO, **PATIENT})
    told = failures(done)
    assert len(told) == 5 and min(seconds for seconds, _ in told) < 0.1, done
    assert all(NEVER in message and message.count("taken at") == 2 for _, message in told), told
    assert "then OK 0" in done.stdout
    assert len(done.events("timeout", verdict="self_deadlock", proven="yes")) == 5


@pytest.mark.parametrize("limits, first, second", [
    (TWO, "", ""), (ONE, "application_name=a", "application_name=b")], ids=["one pool", "two"])
def test_deadly_embrace(run, program, limits, first, second):
    """The thread that completes it fails; what it gives back then serves the other."""
    done = run([program("deadlock"), "abba", first, second], env={**limits, **PATIENT})
    (seconds, message), = failures(done)
    assert seconds < 10 and NEVER in message
    assert sorted(line.rsplit(" ", 1)[1] for line in done.stdout.splitlines()
                  if " then " in line) == ["BAD", "OK"]
    assert done.seconds < 20
    timeout, = done.events("timeout", proven="yes")
    last_to_wait = done.events("wait")[-1]
    assert timeout["tid"] == last_to_wait["tid"]


class Fed:
    """A deadlock program that waits for a line on stdin."""

    def __init__(self, whole, program, what):
        self.log = whole["PQPOOL_LOG"]
        self.process = subprocess.Popen([program("deadlock"), what], env=whole, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        start_new_session=True)

    def events(self, name):
        return [e for e in read_log(self.log) if e["event"] == name]

    def feed(self):
        return self.process.communicate("\n", timeout=40)[0]


@pytest.fixture
def fed(server, shim, program, tmp_path):
    made = []

    def start(what, env):
        whole = {**os.environ, **server.env(), "LD_PRELOAD": shim,
                 "PQPOOL_LOG": str(tmp_path / "log"), **env}
        made.append(Fed(whole, program, what))
        return made[-1]

    yield start
    for each in made:
        kill_group(each.process)
        each.process.communicate()


def test_a_thread_that_ends_completes_it(fed):
    p = fed("forsaken", {**ONE, **PATIENT})
    assert wait_until(lambda: p.events("wait"), 20)
    assert not p.events("timeout")
    out = p.feed()
    assert NEVER in out and out.endswith("then BAD\n")
    timeout, = p.events("timeout")
    assert timeout["proven"] == "yes" and int(timeout["wait_us"]) < 25_000_000


def test_beside_threads_that_never_use_libpq(fed):
    """As an event loop has them. Nobody but the one that waits could release what it holds."""
    p = fed("strangers", {**ONE, **PATIENT})
    assert wait_until(lambda: p.events("timeout"), 10)
    timeout, = p.events("timeout")
    assert timeout["proven"] == "yes" and int(timeout["wait_us"]) < 5_000_000
    out = p.feed()
    assert NEVER in out and out.endswith("then BAD\n")


# -- not proven ----------------------------------------------------------------------------------


def test_suspected_while_another_thread_may_release(fed):
    p = fed("bystander", {**ONE, **PATIENT})
    assert wait_until(lambda: p.events("suspected_deadlock"), 20)
    suspected, = p.events("suspected_deadlock")
    assert suspected["level"] == "warning" and int(suspected["wait_us"]) >= 1_000_000
    assert wait_until(lambda: p.events("holder"), 20)
    holder, = p.events("holder")
    assert holder["thread_state"] == "waiting" and holder["lease"] == "2"
    assert p.feed() == "then OK\n"
    assert not p.events("timeout")
    served = p.events("acquire")[2]
    assert 1_000_000 < int(served["queued_us"]) <= int(served["wait_us"])


def test_suspicion_is_the_verdict_at_last(fed):
    p = fed("bystander", {**ONE, "PQPOOL_TIMEOUT": "300ms"})
    assert wait_until(lambda: p.events("timeout"), 20)
    out = p.feed()
    assert "within 3" in out and "likely cause: self-deadlock (1 of 1 session taken by" in out
    timeout, = p.events("timeout")
    assert timeout["verdict"] == "self_deadlock" and "proven" not in timeout


def test_a_session_that_is_closing_is_no_deadlock(script):
    """Its backend is stopped, so that its end is not seen when the next connect asks."""
    s = script(env={**ONE, **PATIENT})
    old = int(s.connect("a"))
    s.do("event_proc", "a")
    os.kill(old, signal.SIGSTOP)
    try:
        s.finish("a")
        assert s.events("session_close")
        assert s.connect("b").isdigit()
        os.kill(old, 0)  # it was there all the time
    finally:
        os.kill(old, signal.SIGCONT)
    assert not s.events("timeout") and not s.events("wait")
    s.finish("b")


# -- verdicts ------------------------------------------------------------------------------------


LONG_WORK = "SELECT pg_sleep(1000)"


def end_work(s, server, *names):
    s.finish(*names)
    server.terminate("query = '%s'" % LONG_WORK)


def refusal(s, name="late"):
    s.do("begin", name)
    error = s.join(name)[1]
    s.finish(name)
    timeout = s.events("timeout")[-1]
    assert "proven" not in timeout
    return timeout["verdict"], error


def test_verdict_leak(script):
    """They lie idle since before the wait, and the threads that took them have ended."""
    s = script(env={**TWO, **BRIEF})
    for name in "ab":
        s.do("begin", name)
        assert s.join(name)[1].isdigit()
    verdict, error = refusal(s)
    assert verdict == "leak"
    assert "likely cause: leak (2 of 2 sessions idle for long, or taken by a thread that" in error
    assert [e["thread_state"] for e in s.events("holder")] == ["ended", "ended"]
    s.finish("a", "b")


def test_verdict_slow(script, server):
    s = script(env={**TWO, **BRIEF})
    for name in "ab":
        s.connect(name)
        s.do("send", name, LONG_WORK)
    verdict, error = refusal(s)
    assert verdict == "slow"
    assert "likely cause: slow work (2 of 2 sessions held longer than this wait)" in error
    for holder in s.events("holder"):
        assert holder["transaction"] == "active" and "thread_state" not in holder
        assert holder["statement"].startswith("SELECT pg_sleep(")
    end_work(s, server, "a", "b")


def test_a_statement_under_way_is_no_leak(script, server):
    s = script(env={**ONE, **BRIEF})
    s.do("begin", "a")
    assert s.join("a")[1].isdigit()
    s.do("send", "a", LONG_WORK)
    assert refusal(s)[0] == "slow"
    assert s.events("holder")[0]["thread_state"] == "ended"
    end_work(s, server, "a")


def test_verdict_too_small(run, program):
    done = run([program("deadlock"), "queue"], env={**ONE, "PQPOOL_TIMEOUT": "1500ms"})
    told = failures(done)
    assert told and len(done.events("timeout", verdict="too_small")) == len(told), done
    assert "likely cause: pool too small (1 of 1 session returned and taken by others" in told[0][1]


def test_verdict_where_nobody_waits(script):
    s = script(env={**ONE, "PQPOOL_TIMEOUT": "0"})
    s.connect("a")
    s.refused("b")
    timeout, = s.events("timeout")
    assert timeout["verdict"] == "self_deadlock" and "proven" not in timeout
    s.finish("a", "b")


def test_a_served_waiter_is_told_how_long_it_stood_in_line(script):
    s = script(env=ONE)
    s.connect("a")
    s.do("begin", "b")
    s.await_events("wait", 1)
    s.finish("a")
    assert s.join("b")[1].isdigit()
    first, second = s.events("acquire")
    assert "queued_us" not in first
    assert 0 < int(second["queued_us"]) <= int(second["wait_us"])
    s.finish("b")
