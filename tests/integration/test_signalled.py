# SPDX-License-Identifier: PostgreSQL
"""Signals that come while a connect waits for a session, in programs whose handlers run between
two instructions of a script."""
import os

import pytest

from running import PYTHON

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs", "scripts")
ENV = {"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "15s"}


@pytest.mark.parametrize("what, status, said", [
    ("exit", 7, "handler\nat once\n"),
    ("other", 0, "handler\nraised 'handler'\nat once\n"),
    ("count", 0, "connected\nat once\n")])
def test_python(run, what, status, said):
    """What a handler raises ends the wait; one that only looks does not."""
    done = run([PYTHON, os.path.join(SCRIPTS, "signalled.py"), what], env=ENV)
    assert done.events("wait")
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout.replace("refused\n", "") == said


def test_perl(run):
    done = run(["perl", os.path.join(SCRIPTS, "signalled.pl")], env=ENV)
    assert done.events("wait")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "rung\nat once\n" + "7\n" * 3
    assert len(done.events("session_open")) == 1


def test_recipe_to_bound_a_connect(run):
    """The program gives a connect up by `die` in a handler that interrupts anything."""
    done = run(["perl", os.path.join(SCRIPTS, "bounded.pl")], env={**ENV, "PQPOOL_TIMEOUT": "5s"})
    assert done.returncode == 0
    assert done.stdout == "timeout\n" + "connected\n" * 22 + "1 backends\n"
    assert len(done.events("session_close", reason="abandoned")) == 1
    assert len(done.events("session_open")) == 2
    assert "bounded.pl:" in done.stderr, "there is no leak report"
