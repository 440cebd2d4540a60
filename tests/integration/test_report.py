# SPDX-License-Identifier: PostgreSQL
"""The leak report: who is named, when it comes, and when it must not."""
import re

import pytest

from reports import BY_EXIT, LEAKED, read_report

PYTHON = "/usr/bin/python3"
def printed(stdout):
    """The (backend, thread) pairs that the program printed."""
    return re.findall(r"backend (\d+) thread (\d+)", stdout)


# ---- what it says --------------------------------------------------------------------


def test_two_places(run, program, server):
    marker = server.marker()
    done = run([program("leaky")])
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 3} and report.head == ("leaky", 10, 7)
    assert report.at("bill_customer").count == 2 and report.at("print_report").count == 1
    assert report.places[0].count == 2  # the largest first
    assert all("main" in p.functions for p in report.places)
    known = set(re.findall(r"\[(\d+)\] LOG:  connection authorized: user=app ",
                           server.log_text(marker)))
    assert len(report.backends) == 3 and report.backends <= known
    assert {lease["thread"] for lease in report.leases} == {str(report.pid)}
    assert {lease["statement"] for lease in report.leases} == {"SELECT ..."}
    assert {lease["state"] for lease in report.leases} == {"idle"}


def test_log_has_a_line_for_each(run, program):
    done = run([program("leaky")])
    report = read_report(done.stderr)
    leaks = done.events("leak")
    assert {e["backend"] for e in leaks} == report.backends and len(leaks) == 3
    assert {e["lease"] for e in leaks} == {x["lease"] for x in report.leases}
    assert {e["pid"] for e in leaks} == {str(report.pid)}
    assert all(int(e["hold_us"]) >= 0 and e["pool"].startswith("app@") for e in leaks)
    assert len({e["stack"] for e in leaks}) == 2
    assert "password" not in done.stderr


def test_same_output_otherwise(run, program):
    bare = run([program("leaky")], pooled=False)
    done = run([program("leaky")], env={"PQPOOL_REPORT": "off"})
    assert (done.stdout, done.stderr, done.returncode) == (bare.stdout, "", bare.returncode)
    assert len(done.events("leak")) == 3


@pytest.mark.parametrize("level", ["warning", "info"])
def test_off_is_off_where_the_log_is_stderr(run, program, level):
    for mode in ("leaky", "leaks"):
        done = run([program(mode), "kept"], check_leases=False, env={
            "PQPOOL_LOG": "stderr", "PQPOOL_LOG_LEVEL": level, "PQPOOL_REPORT": "off"})
        assert not re.search("event=(leak|kept) |leaked|kept to the end", done.stderr)
        assert (level == "info") == ("event=acquire " in done.stderr)


def test_report_in_the_log_only_once_where_that_is_stderr(run, program):
    done = run([program("leaky")], env={"PQPOOL_LOG": "stderr"}, check_leases=False)
    assert len(re.findall("leaked, taken at", done.stderr)) == 1
    assert "event=leak" not in done.stderr


def test_nothing_leaked(run, program):
    done = run([program("leaks"), "none"])
    assert done.stderr == "" and not done.events("leak")


def test_threads(run, program):
    done = run([program("leaks"), "in_threads"])
    report = read_report(done.stderr)
    pairs = printed(done.stdout)
    assert {(x["backend"], x["thread"]) for x in report.leases} == set(pairs)
    assert len({thread for _, thread in pairs} | {str(report.pid)}) == 3
    assert report.at("leak_here").count == 1
    assert sum(p.count for p in report.places if "leak_there" in p.functions) == 2


def test_unpooled_connection(run, program):
    done = run([program("leaks"), "unpooled"], env={"PGUSER": "postgres"})
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 1} and report.leases[0]["pooled"] == "not pooled"
    assert report.totals["peak"] is None and report.totals["opened"] == "2"
    assert report.backends == {backend for backend, _ in printed(done.stdout)}


def test_stack_depth_zero_names_the_caller(run, program):
    done = run([program("leaky")], env={"PQPOOL_STACK_DEPTH": 0})
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 3}
    assert all(len(p.functions) == 1 and p.functions[0] for p in report.places)


# ---- when it comes ---------------------------------------------------------------------


@pytest.mark.parametrize("way", ["return", "exit", "thread", "_exit", "_Exit", "quick_exit"])
def test_before_every_kind_of_exit(run, program, way):
    done = run([program("exits"), way, "3", "leased"])
    assert read_report(done.stderr).at("make_leased").count == 1
    assert done.returncode == 3 and len(done.events("leak")) == 1


@pytest.mark.parametrize("way", ["abort", "kill", "term"])
def test_not_at_death_by_signal(run, program, way):
    done = run([program("exits"), way, "0", "leased"], check_leases=False)
    assert done.returncode < 0 and done.stderr == "" and not done.events("leak")


@pytest.mark.parametrize("mode, status", [
    ("vforked", 0), ("forked", 0), ("exit_in_exit", 6), ("exit_in_quick_exit", 6)])
def test_once_and_not_in_the_child(run, program, mode, status):
    done = run([program("leaks"), mode])
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 1} and report.backends == {printed(done.stdout)[0][0]}
    assert len(done.events("leak")) == 1 and done.returncode == status
    assert str(report.pid) == printed(done.stdout)[0][1]


def test_child_reports_its_own(run, program):
    done = run([program("leaks"), "in_child"])
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 2} and report.backends == {b for b, _ in printed(done.stdout)}
    assert report.head == ("leaks", 4, 2)
    assert report.totals["opened"] == "2" and report.totals["closed"] == "0"
    assert str(report.pid) == printed(done.stdout)[0][1]


# ---- a descriptor 2 that is not ours --------------------------------------------------


@pytest.mark.parametrize("mode", ["stderr_replaced", "stderr_closed"])
def test_stranger_on_descriptor_2_gets_nothing(run, program, mode, tmp_path):
    file = tmp_path / "precious"
    file.write_text("precious")
    done = run([program("leaks"), mode, str(file)])
    assert file.read_text() == "precious"
    assert done.stderr == "" and len(done.events("leak")) == 1


def test_without_descriptor_2(run, program):
    done = run([program("leaks"), "stderr_never"])
    assert done.returncode == 0 and len(printed(done.stdout)) == 1
    assert len(done.events("leak")) == 1


# ---- interpreters ----------------------------------------------------------------------

PSYCOPG2 = """
import ctypes, os, sys, psycopg2
def leak():
    conn = psycopg2.connect("")
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(conn))
    return conn.info.backend_pid
for _ in range(5):
    psycopg2.connect("").close()
print(leak(), leak(), flush=True)
if sys.argv[1] == "_exit":
    os._exit(4)
sys.exit(4)
"""


@pytest.mark.parametrize("way", ["exit", "_exit"])
def test_psycopg2(run, way):
    done = run([PYTHON, "-c", PSYCOPG2, way])
    report = read_report(done.stderr)
    assert done.returncode == 4
    assert report.leaked == {LEAKED: 2} and report.backends == set(done.stdout.split())
    assert report.head[1:] == (7, 5)
