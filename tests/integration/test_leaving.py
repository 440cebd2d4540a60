# SPDX-License-Identifier: PostgreSQL
"""Calls that the program never comes back from: by a jump out of a signal handler, by the
cancellation of the thread."""
import os
import subprocess

import pytest

from running import same

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                        "programs")
LIMIT = 2
NEVER_BACK = "left\n" * (LIMIT + 1)
TAKEN = "%d taken, each another, at once\n" % LIMIT
ENV = {"PQPOOL_SIZE": LIMIT, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "5s",
       "PQPOOL_LOG_LEVEL": "debug"}
PLACES = ["opening", "waiting", "checking", "query"]


def expected(place):
    """What is printed when each call is left and nothing is lost by that."""
    held = TAKEN + "left\n" + "7\n" * LIMIT
    return (held * (LIMIT + 1) if place == "waiting" else NEVER_BACK) + TAKEN


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["jump", "cancel"])
def test_nothing_is_lost(run, program, place, way):
    """As many connections as the limit allows are had again, at once, and pooling goes on."""
    done = run([program("leaves"), place, way, str(LIMIT)], env=ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected(place) + "7\n" * LIMIT
    assert not done.events("timeout")
    if place == "waiting":
        assert len(done.events("wait")) == LIMIT + 1
        assert len(done.events("session_open")) == LIMIT
    if place == "checking":
        assert len(done.events("session_close", reason="abandoned")) == LIMIT + 1
    assert len([e for e in done.events("release") if "reason" not in e]) >= LIMIT


@pytest.mark.parametrize("place", ["opening", "checking"])
def test_thread_goes_on_elsewhere(run, program, place):
    """It makes no call any more, and does not end: other threads get what it had."""
    done = run([program("leaves"), place, "stay", str(LIMIT)], env=ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected(place) + "7\n" * LIMIT
    assert not done.events("timeout")


def test_finish_is_left(run, program):
    """By the event procedure that it calls."""
    done = run([program("leaves"), "finish", "jump", str(LIMIT)], env=ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected("finish") + "7\n" * LIMIT
    assert not done.events("timeout")


@pytest.mark.parametrize("place", ["checking", "query"])
def test_report_comes_all_the_same(run, program, place):
    done = run([program("leaves"), place, "jump", str(LIMIT), "leaks"], env=ENV)
    assert done.returncode == 0
    assert done.stdout == expected(place) + "7\n" * (LIMIT - 1)
    assert "1 connection leaked" in done.stderr, done


@pytest.mark.parametrize("place", ["opening", "query"])
@pytest.mark.parametrize("way", ["jump", "cancel"])
def test_bare_program_does_the_same(run, program, place, way):
    done = run([program("leaves"), place, way, str(LIMIT)], pooled=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected(place) + "7\n" * LIMIT


def test_handler_interrupts_us_with_a_lock_in_hand(run, program, module, shim):
    """It neither waits for ever, nor loses a session, nor hands its settings on."""
    interrupt = module("interrupt", "interrupt.so", "-D_GNU_SOURCE")
    done = run([program("handles"), "200"], env={
        "LD_PRELOAD": "%s:%s" % (shim, interrupt), "INTERRUPTED": "libpqpool.so",
        "PQPOOL_SIZE": 5, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "5s"}, timeout=30)
    assert (done.returncode, done.stdout) == (0, "200 rounds, 0 wrong\n")
    assert int(done.stderr) > 50, "the handler was hardly ever called"
    assert not done.events("timeout")


@pytest.fixture
def throws(tmp_path):
    """The path of tests/programs/throws.cpp as a program."""
    include = subprocess.run(["pg_config", "--includedir"], capture_output=True, text=True,
                             check=True).stdout.strip()
    path = str(tmp_path / "throws")
    subprocess.run(["g++", "-O1", "-Wall", "-Werror", "-fnon-call-exceptions", "-I" + include,
                    "-o", path, os.path.join(PROGRAMS, "throws.cpp"), "-lpq"], check=True)
    return path


@pytest.mark.parametrize("place", ["notice", "query", "opening"])
def test_exception_passes_through(run, throws, place):
    done = same(run, [throws, place, str(LIMIT)], env=ENV)
    assert done.stderr == ""
    assert done.stdout.endswith("%d taken at once\n" % LIMIT)
    assert done.stdout.count("signal" if place != "notice" else "noticed") == LIMIT + 1
    assert not done.events("timeout")


@pytest.mark.parametrize("way, size", [("poll", 3), ("poll", 5), ("three", 3)])
def test_another_stack_runs_meanwhile(run, program, way, size):
    """On the same thread, while a connect or a query waits: coroutines that switch in poll(2).
    Those that find the pool full wait for their turn, as threads would."""
    done = same(run, [program("coroutines"), way, "5", "4"],
                env={**ENV, "PQPOOL_SIZE": size, "PQPOOL_RESET": "auto"})
    assert not done.events("timeout")
    assert not done.events("session_close", reason="not_pooled")
    assert len(done.events("session_open")) <= size
    assert len(done.events("acquire")) == len(done.events("release")) >= size
    assert bool(done.events("wait")) == (way == "poll" and size == 3)
