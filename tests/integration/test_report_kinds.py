# SPDX-License-Identifier: PostgreSQL
"""Leaks of the second kind: held to the end, and released by nothing but the end."""
import subprocess
import textwrap

import pytest

from reports import BY_EXIT, KEPT, LEAKED, read_report
from running import PYTHON, same

PERL, PHP, RUBY = "/usr/bin/perl", "/usr/bin/php", "/usr/bin/ruby"


def check_log(done, report):
    """The log agrees with the report, on both kinds."""
    late = done.events("leak", kind="released_by_exit")
    assert len(late) == report.leaked.get(BY_EXIT, 0)
    assert len(done.events("leak", kind="never_released")) == report.leaked.get(LEAKED, 0)
    assert {e["lease"] for e in late} == {e["lease"] for e in done.events("release", at_exit="yes")}
    assert {e["lease"] for e in done.events("leak")} == {x["lease"] for x in report.leases}
    for lease in report.leases:
        leak = done.events("leak", lease=lease["lease"])[0]
        assert leak["backend"] == lease["backend"] and leak["thread"] == lease["thread"]


# ---- C -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way, function, count", [
    ("atexit_after", "by_atexit_after", 1), ("atexit_before", "by_atexit_before", 1),
    ("destructor", "by_destructor", 1), ("shared_function", "by_shared_function", 1)])
def test_exit_handlers(run, program, way, function, count):
    """What such a handler connects and finishes itself is no leak."""
    bare = run([program("exits"), way, "3", "none"], pooled=False)
    done = run([program("exits"), way, "3", "none"])
    report = read_report(done.stderr)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert report.leaked == {BY_EXIT: count} and report.at(function).count == count
    assert report.head[1] == report.head[2]
    check_log(done, report)


@pytest.mark.parametrize("way, function, status", [
    ("on_exit", "by_on_exit", 3), ("errx", "by_errx", 3), ("return_of_another", "keep_one", 3),
    ("last_thread", "keep_one", 0)])
def test_ends_of_other_kinds(run, program, way, function, status):
    """The C library calls exit(3) itself; of a thread that has never connected, too."""
    bare = run([program("exits"), way, "3", "none"], pooled=False)
    done = run([program("exits"), way, "3", "none"], env={"PQPOOL_REPORT": "all"})
    report = read_report(done.stderr.removeprefix("exits: the end\n"))
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert done.returncode == status
    assert report.leaked == {KEPT: 1} and report.at(function).count == 1
    assert len(done.events("release", at_exit="yes")) == 1


def test_at_any_height_of_the_stack(run, program):
    """The same function finishes in the middle, by chance at the height that exit(3) has."""
    for pad in range(480, 721, 16):
        done = run([program("exits"), "same_height", "0", "none", str(pad)])
        assert len(done.events("release")) == 4
        assert len(done.events("release", at_exit="yes")) == 1, pad


def test_unloading_a_library_is_no_end(run, program, module):
    """dlclose(3) runs the handlers that a library has registered."""
    library = module("unloaded", "libunloaded.so", "-lpq")
    done = same(run, [program("exits"), "unloading", "0", "none", library])
    assert len(done.events("acquire")) == len(done.events("release")) == 4
    assert not done.events("release", at_exit="yes") and not done.events("leak")


def test_static_objects(run, program):
    report = read_report(run([program("exits"), "cxx_destructor", "0", "none"]).stderr)
    assert report.leaked == {BY_EXIT: 2} and len(report.places) == 2
    assert all("by_cxx_destructor" in p.functions for p in report.places)


def test_both_kinds(run, program):
    done = run([program("exits"), "cxx_destructor", "0", "leased"])
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 1, BY_EXIT: 2}
    assert report.at("make_leased").kind == LEAKED
    check_log(done, report)


def test_the_time_held_ends_with_the_release(run, program):
    done = run([program("exits"), "atexit_after", "0", "none"])
    release = done.events("release", at_exit="yes")[0]
    leak = done.events("leak")[0]
    assert abs(int(leak["hold_us"]) - int(release["hold_us"])) < 1000000
    assert leak["transaction"] == "idle" and leak["statement"] == "SELECT ..."


def test_threads_that_go_on_meanwhile(run, program):
    """One that exits is no reason why another should not finish what it has done."""
    done = run([program("exits"), "while_working", "0", "none"])
    report = read_report(done.stderr)
    assert report.leaked == {BY_EXIT: 1}
    assert report.at("by_return_from_main_while_working").count == 1
    assert len(done.events("acquire")) == 4 and len(done.events("release")) == 4
    check_log(done, report)


@pytest.mark.parametrize("depth", [0, 64])
def test_whatever_the_depth_of_stacks(run, program, depth):
    env = {"PQPOOL_STACK_DEPTH": depth, "PQPOOL_LOG_LEVEL": "warning"}
    done = run([program("exits"), "atexit_after", "0", "none"], env=env, check_leases=False)
    assert read_report(done.stderr).leaked == {BY_EXIT: 1}


def test_exitcode(run, program):
    for way, status in (("atexit_after", 77), ("return", 3)):
        done = run([program("exits"), way, "3", "none"], env={"PQPOOL_LEAK_EXITCODE": 77})
        assert done.returncode == status


OBJECTS = """
#include <libpq-fe.h>

struct database {
	PGconn *conn = PQconnectdb("");
	~database() { PQfinish(conn); }
};

static database global;
static thread_local database of_thread;

int main()
{
	static database local;
	database own;
	delete new database;
	return PQstatus(of_thread.conn) != CONNECTION_OK;
}
"""


def test_cxx(run, tmp_path):
    """An automatic object and a deleted one end in time; those of static storage do not."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    (tmp_path / "objects.cpp").write_text(OBJECTS)
    subprocess.run(["g++", "-O1", "-g", "-I" + include, "-o", "objects", "objects.cpp", "-lpq"],
                   cwd=tmp_path, check=True)
    done = run([str(tmp_path / "objects")], env={"PQPOOL_REPORT": "all"})
    report = read_report(done.stderr)
    assert done.returncode == 0 and report.leaked == {KEPT: 3} and report.head[1] == 5
    assert {e["lease"] for e in done.events("release", at_exit="yes")} == {
        e["lease"] for e in done.events("kept")}


# ---- scripts -----------------------------------------------------------------------------
# Each keeps two connections in a global variable, taken at one line, and finishes three.

SCRIPTS = {
    "psycopg2": (PYTHON, """
        import psycopg2
        kept = []
        for _ in range(3):
            psycopg2.connect("").close()
        for _ in range(2):
            kept.append(psycopg2.connect(""))  # here
        """),
    "psycopg3": (PYTHON, """
        import psycopg
        kept = []
        for _ in range(3):
            psycopg.connect("").close()
        for _ in range(2):
            kept.append(psycopg.connect(""))  # here
        """),
    "DBD::Pg": (PERL, """
        use DBI;
        our @kept;
        DBI->connect("dbi:Pg:")->disconnect for 1..3;
        for (1..2) {
            push @kept, DBI->connect("dbi:Pg:");  # here
        }
        """),
    "php": (PHP, """<?php
        $kept = [];
        for ($i = 0; $i < 3; $i++) {
            pg_close(pg_connect("", PGSQL_CONNECT_FORCE_NEW));
        }
        for ($i = 0; $i < 2; $i++) {
            $kept[] = pg_connect("", PGSQL_CONNECT_FORCE_NEW);  # here
        }
        """),
    "ruby": (RUBY, """
        require "pg"
        $kept = []
        3.times { PG.connect(host: ENV["PGHOST"]).finish }
        2.times do
          $kept << PG.connect(host: ENV["PGHOST"])  # here
        end
        """),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_global_variables_of_scripts(run, tmp_path, name):
    interpreter, text = SCRIPTS[name]
    script = tmp_path / "script"
    text = textwrap.dedent(text).lstrip()
    script.write_text(text)
    line = [i for i, row in enumerate(text.splitlines(), 1) if "# here" in row][0]
    done = run([interpreter, str(script)])
    report = read_report(done.stderr)
    assert report.leaked == {BY_EXIT: 2} and report.head[1:] == (5, 5)
    assert [p.script for p in report.places] == ["%s:%d" % (script, line)]
    check_log(done, report)


# Each finishes in an exit handler of its own what it took at one line.
AT_EXIT = {
    "psycopg2": (PYTHON, """
        import atexit, psycopg2
        def main():
            conn = psycopg2.connect("")  # here
            atexit.register(conn.close)
            psycopg2.connect("").close()
        main()
        """),
    "DBD::Pg": (PERL, """
        use DBI;
        my $kept;
        END { $kept->disconnect }
        $kept = DBI->connect("dbi:Pg:");  # here
        DBI->connect("dbi:Pg:")->disconnect;
        """),
    "php": (PHP, """<?php
        function finish() { global $kept; pg_close($kept); }
        register_shutdown_function("finish");
        $kept = pg_connect("", PGSQL_CONNECT_FORCE_NEW);  # here
        pg_close(pg_connect("", PGSQL_CONNECT_FORCE_NEW));
        """),
    "ruby": (RUBY, """
        require "pg"
        at_exit { $kept.finish }
        $kept = PG.connect(host: ENV["PGHOST"])  # here
        PG.connect(host: ENV["PGHOST"]).finish
        """),
}


@pytest.mark.parametrize("name", AT_EXIT)
def test_exit_handlers_of_scripts(run, tmp_path, name):
    interpreter, text = AT_EXIT[name]
    script = tmp_path / "script"
    text = textwrap.dedent(text).lstrip()
    script.write_text(text)
    line = [i for i, row in enumerate(text.splitlines(), 1) if "# here" in row][0]
    done = run([interpreter, str(script)], env={"PQPOOL_REPORT": "all"})
    report = read_report(done.stderr)
    assert report.leaked == {KEPT: 1} and report.head[1:] == (2, 2)
    assert [p.script for p in report.places] == ["%s:%d" % (script, line)]
    assert len(done.events("release", at_exit="yes")) == 1


IN_TIME = {
    "exit handler": """
        import atexit, psycopg2
        def report():
            psycopg2.connect("").close()
        atexit.register(report)
        psycopg2.connect("").close()
        """,
    "with": """
        import contextlib, psycopg2
        with contextlib.closing(psycopg2.connect("")) as conn:
            conn.cursor().execute("SELECT 1")
        """,
    "function": """
        import psycopg2
        def main():
            psycopg2.connect("").cursor().execute("SELECT 1")
        main()
        """,
}


@pytest.mark.parametrize("name", IN_TIME)
def test_scripts_that_finish_in_time(run, name):
    done = same(run, [PYTHON, "-c", textwrap.dedent(IN_TIME[name])])
    assert done.stderr == "" and not done.events("leak")
