# SPDX-License-Identifier: PostgreSQL
"""A healthy program ends in silence: what it keeps to its end is no leak."""
import textwrap

import pytest

from reports import BY_EXIT, KEPT, LEAKED, read_report
from running import PYTHON

FAILING = {"PQPOOL_LEAK_EXITCODE": 77}
ALL = {"PQPOOL_REPORT": "all", **FAILING}


def check_silent(done, kept):
    assert (done.returncode, done.stderr) == (0, ""), done
    assert len(done.events("kept")) == kept and not done.events("leak")


# ---- programs --------------------------------------------------------------------------


@pytest.mark.parametrize("mode, kept", [
    ("threads", 3), ("children", 3), ("inherited", 3), ("replaced", 1), ("set", 3), ("at_exit", 3)])
def test_kept(run, program, mode, kept):
    check_silent(run([program("keeps"), mode], env=FAILING), kept)


@pytest.mark.parametrize("mode, kind", [
    ("joined", LEAKED), ("trail", LEAKED), ("endings", BY_EXIT)])
def test_leaked(run, program, mode, kind):
    """By threads that have ended; or one after the other, and none was used again."""
    done = run([program("keeps"), mode], env=FAILING)
    assert read_report(done.stderr).leaked == {kind: 3} and done.returncode == 77
    assert len(done.events("leak")) == 3 and not done.events("kept")


def test_nothing_in_the_log_where_that_is_stderr(run, program):
    done = run([program("leaks"), "kept"], env={"PQPOOL_LOG": None, **FAILING}, check_leases=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_tells_what_is_kept(run, program):
    done = run([program("leaks"), "kept"], env=ALL)
    report = read_report(done.stderr)
    assert report.leaked == {KEPT: 1} and report.head == ("leaks", 1, 0) and done.returncode == 0
    assert {e["lease"] for e in done.events("kept")} == {x["lease"] for x in report.leases}
    event, = done.events("kept")
    assert event["level"] == "info" and event["kind"] == "never_released" and event["stack"]


@pytest.mark.parametrize("wanted", ["on", "all"])
def test_beside_leaks(run, program, tmp_path, wanted):
    """Those are told, and the others too if all are to be."""
    (tmp_path / "both.py").write_text(textwrap.dedent("""
        import psycopg2
        mine = psycopg2.connect("")
        forgotten = [psycopg2.connect("") for _ in range(2)]
        """))
    done = run([PYTHON, str(tmp_path / "both.py")], env={**ALL, "PQPOOL_REPORT": wanted})
    report = read_report(done.stderr)
    assert report.leaked == {BY_EXIT: 2, **({KEPT: 1} if wanted == "all" else {})}
    assert done.returncode == 77
    assert [p.script.rsplit(":", 1)[1] for p in report.places] == ["4", "3"][:len(report.places)]


def test_one_of_ten(run, tmp_path):
    """The issue of leak hunters: a place that gives back nine of ten."""
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        import psycopg2
        forgotten = []
        for i in range(10):
            conn = psycopg2.connect("")
            conn.cursor().execute("SELECT 1")
            if i == 3:
                forgotten.append(conn)
            else:
                conn.close()
        """))
    done = run([PYTHON, str(tmp_path / "app.py")], env=FAILING)
    report = read_report(done.stderr)
    assert report.leaked == {BY_EXIT: 1} and report.head[1:] == (10, 10)
    assert report.places[0].script.endswith("app.py:5") and done.returncode == 77


# ---- what a place is in a script ---------------------------------------------------------

HELPER = """
import psycopg2, sys
sys.path.insert(0, {folder!r})
from helper import database
def first():
    return database()
def second():
    database().close()
kept = first()
second()
"""


def test_the_scripts_own_line_whoever_called_it(run, tmp_path):
    """The function that connects for all of the program gives back what it takes."""
    (tmp_path / "helper.py").write_text(
        'import psycopg2\ndef database():\n    return psycopg2.connect("")\n')
    done = run([PYTHON, "-c", HELPER.format(folder=str(tmp_path))], env=FAILING)
    report = read_report(done.stderr)
    assert report.leaked == {BY_EXIT: 1} and done.returncode == 77
    assert [p.script for p in report.places] == ["%s/helper.py:3" % tmp_path]


def test_two_lines_are_two_places(run):
    done = run([PYTHON, "-c", textwrap.dedent("""
        import psycopg2
        kept = psycopg2.connect("")
        for _ in range(3):
            psycopg2.connect("").close()
        """)], env=FAILING)
    check_silent(done, 1)


# ---- pqpool leaks ------------------------------------------------------------------------


@pytest.fixture(params=["log", "page"])
def killed(run, leaks, tmp_path, request):
    """killed(text): what `pqpool leaks` says of a script that is killed at its end."""
    def go(text):
        log = tmp_path / "log"
        done = run([PYTHON, "-c", "import os, psycopg2\nprint(os.getpid(), flush=True)\n"
                    + textwrap.dedent(text) + "os.kill(os.getpid(), 9)\n"],
                   env={"PQPOOL_LOG": log, "XDG_RUNTIME_DIR": tmp_path}, check_leases=False)
        assert done.returncode == -9
        return leaks(log if request.param == "log" else int(done.stdout),
                     env={"XDG_RUNTIME_DIR": str(tmp_path)})

    return go


def test_of_a_killed_program(killed):
    said = killed("""
        kept = psycopg2.connect("")
        for _ in range(3):
            psycopg2.connect("").close()
        """)
    assert (said.returncode, said.document["leaked"]) == (0, 0)
    assert [(p["kind"], p["count"]) for p in said.places] == [("kept", 1)]


def test_of_a_killed_program_that_leaked(killed):
    said = killed("""
        conns = [psycopg2.connect("") for _ in range(3)]
        conns[1].close()
        two = [psycopg2.connect("") for _ in range(2)]
        """)
    assert (said.returncode, said.document["leaked"]) == (1, 4)
    assert {p["kind"] for p in said.places} == {"never_released"}


def test_of_one_that_ended_in_order(run, program, leaks, tmp_path):
    run([program("leaks"), "kept"], env={"PQPOOL_LOG": tmp_path / "log"})
    said = leaks(tmp_path / "log")
    assert (said.returncode, [p["kind"] for p in said.places]) == (0, ["kept"])
    text = leaks(tmp_path / "log", as_json=False).stdout.decode()
    assert "pqpool: no connection leaked (" in text
    assert "pqpool: 1 connection kept to the end, taken at 1 place\n" in text
