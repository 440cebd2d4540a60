# SPDX-License-Identifier: PostgreSQL
"""Clients whose stacks are switched or copied by hand between any two calls."""
import os

import pytest

from reports import read_report
from running import PYTHON

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
PERL = "/usr/bin/perl"

# Each begins 24 or 30 sessions bare, of which no more than 6 are there at once.
CLIENTS = {
    "greenlet": [PYTHON, "psycopg2_greenlet.py"],
    "gevent": [PYTHON, "psycopg2_gevent.py", "plain"],
    "gevent, psycopg2's wait callback": [PYTHON, "psycopg2_gevent.py", "green"],
    "eventlet": [PYTHON, "psycopg2_eventlet.py"],
    "Coro": [PERL, "dbd_pg_coro.pl"],
    "Boost": ["coroutines"],
}


def argv_of(name, build, *arguments):
    argv = list(CLIENTS[name])
    if len(argv) == 1:
        return [os.path.join(build, "tests/clients", argv[0])]
    return [argv[0], os.path.join(PROGRAMS, argv[1]), *(arguments or argv[2:])]


@pytest.mark.parametrize("name", CLIENTS)
def test_client(same, build, name):
    bare, pooled = same(argv_of(name, build), at_most=6)
    assert (bare.returncode, bare.stderr) == (0, "")
    assert len(bare.stdout.splitlines()) in (6, 30)
    assert len(pooled.events("release")) == len(pooled.events("acquire"))


def lines_marked(path, *marks):
    with open(path, encoding="utf-8") as source:
        rows = source.read().splitlines()
    return {"%s:%d" % (path, rows.index(row) + 1)
            for mark in marks for row in rows if row.endswith("# " + mark)}


@pytest.mark.parametrize("name, marks, leaked", [
    ("greenlet", ["first", "second"], 6), ("gevent", ["here"], 3), ("Coro", ["here"], 6)])
def test_leaks_name_the_line(same, build, name, marks, leaked):
    """The greenlets' stacks lie at the same addresses, and are not taken for each other's."""
    argv = argv_of(name, build, "leak")
    marker = lines_marked(argv[1], *marks)
    done = same(argv, tidy=lambda text: "", check_leases=False)[1]
    report = read_report(done.stderr)
    assert sum(report.leaked.values()) == leaked == len(report.leases)
    assert {place.script for place in report.places} == marker


@pytest.mark.limit(180)
def test_gunicorn(same, tmp_path):
    """Two workers of gevent's, eight requests at once, each with a connection of its own."""
    argv = [PYTHON, os.path.join(PROGRAMS, "gunicorn_load.py"), str(tmp_path / "socket"), "25"]
    bare, pooled = same(argv, at_most=40)
    answers = bare.stdout.splitlines()
    assert answers[0] == "200 /start" and len(answers) == 202
    assert all(line.startswith("200 /") for line in answers[:-1])
    assert answers[-1] == "ended with 0" and bare.stderr == ""
    assert not pooled.events("leak")
