# SPDX-License-Identifier: PostgreSQL
"""Connects in steps that ask a keeper: no step waits for it, and the limit holds as it does for
connects that wait."""
import contextlib
import re
import subprocess
import time

import pytest

from conftest import built
from keeper import Keeper
from running import stopped
from server import wait_until

LIMIT = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "20"}
WAITS = "poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,nanosleep,clock_nanosleep,futex"


@contextlib.contextmanager
def traced(pid, path):
    """Writes down which calls the process makes that can wait."""
    with subprocess.Popen(["strace", "-f", "-e", "trace=" + WAITS, "-o", str(path), "-p",
                           str(pid)], stderr=subprocess.DEVNULL) as tracer:
        def attached():
            with open("/proc/%d/status" % pid, encoding="ascii") as status:
                return "TracerPid:\t0\n" not in status.read()

        assert wait_until(attached)
        try:
            yield
        finally:
            tracer.terminate()


def waited(path):
    """The calls that may have waited: all but looks, and what waits for the loopback interface,
    which is ready at once. The program itself only looks."""
    return [line for line in path.read_text().splitlines()
            if re.search(r"^\d+ +\w+\(|resumed>", line) and not
            re.search(r"poll\(.*, 0\) += |poll\(.*, 1, 20\) += 1|tv_sec=0, tv_nsec=0", line)]


def patiently(steps, name):
    """Goes on whenever the number is ready, and looks again and again otherwise, as a loop with
    other work does; the answers."""
    steps.do("start", name)
    said = []

    def over():
        if steps.ready(name, 0):
            said.append(steps.step(name))
        return said and said[-1] in ("OK", "FAILED")

    assert wait_until(over, 20)
    return said


@pytest.mark.parametrize("member", [True, False], ids=["member", "stranger"])
def test_no_step_waits_for_a_keeper_that_stands_still(keep, stepwise, tmp_path, member):
    """Nor must another connect come to wake it."""
    keeper = keep()
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "2s"})
    if member:
        steps.do("start", "a", "application_name=member")
        steps.drive("a")
    trace = tmp_path / "trace"
    with stopped(keeper.process.pid), traced(steps.script.process.pid, trace):
        said = patiently(steps, "b")
    assert said[-1] == "OK" and said.count("READING") >= 2, said
    assert "poll(" in trace.read_text() and not waited(trace), waited(trace)
    assert steps.events("session_open") and not steps.events("session_borrow")
    steps.finish("b", *(["a"] if member else []))
    steps.end()


@pytest.mark.parametrize("loop", ["poll", "select", "epoll", "once"])
def test_steps_are_woken_by_the_answer_of_a_slow_keeper(keep, run, program, stepwise, loop):
    """Whatever it is that they wait for: WELCOME, and what they ask."""
    keeper = keep()
    env = {"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "20s"}
    backend = run([program("cycle"), "1", "SELECT pg_backend_pid()"], env=env).stdout.strip()
    for begin in ([], ["application_name=member"]):
        steps = stepwise(env=env)
        steps.loop(loop)
        if begin:
            steps.do("start", "a", *begin)
            steps.drive("a")
        with stopped(keeper.process.pid):
            steps.do("start", "b")
            assert steps.step("b") == "READING"
            assert not steps.ready("b", 0)
            steps.tell("drive", "b")
        assert steps.answer().strip() == "b OK"
        assert steps.do("pid", "b") == backend
        steps.finish("b", *("a" if begin else ""))
        steps.end()


def hand_over(holder):
    """What it took from the keeper before: with its next connect it comes to this one."""
    holder.finish("a")
    holder.connect("a", "application_name=other")
    holder.finish("a")


def test_the_limit_holds_for_steps_over_a_slow_restart(memory, script, stepwise):
    """For a process that was the old one's member, and for one that is nobody's yet."""
    with Keeper(built("pqpool"), memory, supervised=True, env=LIMIT) as keeper:
        env = {"PQPOOL_SHARE": keeper.path}
        holder = script(env=env)
        holder.connect("a")
        both = [stepwise(env=env) for _ in range(2)]
        both[0].do("start", "m", "application_name=member")
        both[0].drive("m")
        both[0].finish("m")
        keeper.kill()
        for steps in both:
            steps.do("start", "b")
            steps.tell("drive", "b")
        time.sleep(0.5)  # sleeps because what must not happen takes 250 ms
        assert not any(steps.answered() for steps in both)
        keeper.start()
        assert wait_until(lambda: any(p["waiting"] == "2" for p in keeper.show("pool")))
        hand_over(holder)
        assert wait_until(lambda: any(steps.answered() for steps in both))
        for steps in sorted(both, key=lambda each: not each.answered()):
            assert steps.answer().strip() == "b OK"
            steps.do("finish", "b")
        for each in (holder, *both):
            each.end()


def test_steps_in_line_go_to_the_next_keeper(memory, script, stepwise):
    with Keeper(built("pqpool"), memory, supervised=True, env=LIMIT) as keeper:
        env = {"PQPOOL_SHARE": keeper.path}
        holder, steps = script(env=env), stepwise(env=env)
        holder.connect("a")
        steps.do("start", "b")
        steps.tell("drive", "b")
        assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "1")
        keeper.kill()
        keeper.start()
        assert wait_until(lambda: any(p["waiting"] == "1" for p in keeper.show("pool")))
        assert not steps.answered()
        hand_over(holder)
        assert steps.answer().strip() == "b OK"
        steps.do("finish", "b")
        holder.end()
        steps.end()
