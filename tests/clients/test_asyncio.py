# SPDX-License-Identifier: PostgreSQL
"""An event loop with more connections than the pool lends: it waits, and never stands still."""
import os
import re
import threading

import pytest

from server import OBSERVER

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
PROGRAM = os.path.join(PROGRAMS, "psycopg3_asyncio.py")
CANCELLED = os.path.join(PROGRAMS, "psycopg3_cancelled.py")
SMALL = {"PQPOOL_SIZE": 5, "PQPOOL_MAX_OVERFLOW": 5}
STILL_MS = 50  # the longest time the loop may stand still, unless it does so without us
TRIES = 3  # what the machine's other load stops is not stopped in each of them


class Watch:
    """Counts the server's sessions, again and again, until told to stop."""

    def __init__(self, server):
        self.server = server
        self.most = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._count)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def _count(self):
        while not self.stopped.is_set():
            self.most = max(self.most, len(self.server.sessions()))


def most_at_once(log):
    """The most sessions that were there at one time, by the server's log."""
    here, most = set(), 0
    for pid, event, rest in re.findall(
            r"(?m)\[(\d+)\] LOG:  (connection authorized|disconnection): (.*)", log):
        if event == "disconnection":
            here.discard(pid)
        elif "application_name=" + OBSERVER not in rest.split():
            here.add(pid)
        most = max(most, len(here))
    return most


def measured(run, server, **options):
    """The program's output, the loop's longest stop in ms, and the most sessions."""
    marker = server.marker()
    with Watch(server) as watch:
        done = run(["/usr/bin/python3", PROGRAM], **options)
    assert done.returncode == 0, done
    return done.stdout, float(done.stderr), max(watch.most, most_at_once(server.log_text(marker)))


def test_many_at_once(run, server):
    """50 connects at once where 10 are lent, each in turn. (A loop that the machine lets stand still
    loses turns, and the sessions with them.)"""
    expected, bare_ms, _ = measured(run, server, pooled=False)
    worst = []
    for _ in range(TRIES):
        output, still_ms, sessions = measured(run, server, env=SMALL)
        assert output == expected
        assert 1 < sessions
        worst.append((still_ms, sessions))
        if still_ms <= max(STILL_MS, 3 * bare_ms) and sessions <= 10:
            return
    raise AssertionError("ms that the loop stood still, sessions: %s; bare %s ms" % (worst, bare_ms))


@pytest.mark.parametrize("how", ["keep", "drop"])
def test_cancelled_while_they_wait(run, how):
    """They keep neither their place in line nor what they are granted after that."""
    done = run(["/usr/bin/python3", CANCELLED, how],
               env={"PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0})
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [str(["TimeoutError"] * 4), str(["served"] * 3),
                                        "in time"]
    assert done.stderr == ""
