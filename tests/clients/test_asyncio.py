# SPDX-License-Identifier: PostgreSQL
"""An event loop with more connections than the pool lends: it waits, and never stands still."""
import os

import pytest

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
PROGRAM = os.path.join(PROGRAMS, "psycopg3_asyncio.py")
CANCELLED = os.path.join(PROGRAMS, "psycopg3_cancelled.py")
SMALL = {"PQPOOL_SIZE": 5, "PQPOOL_MAX_OVERFLOW": 5}
STILL_MS = 50  # the longest time the loop may stand still, unless it does so without us
TRIES = 3  # what the machine's other load stops is not stopped in each of them


def measured(run, server, **options):
    """The program's output, the loop's longest stop in ms, and the most sessions."""
    marker = server.marker()
    done = run(["/usr/bin/python3", PROGRAM], **options)
    assert done.returncode == 0, done
    return done.stdout, float(done.stderr), server.most_at_once(marker)


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
