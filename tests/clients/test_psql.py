# SPDX-License-Identifier: PostgreSQL
"""psql, and Debian's wrapper around it: the same output with the pool as without."""
import glob
import os
import re
import signal
import threading

import pytest

from server import wait_until

WRAPPER = "/usr/bin/psql"  # Debian's, in Perl, which replaces itself by the real one

ONE_LINERS = {
    "select": ["-c", "SELECT 1 AS one, 'two' AS two"],
    "describe": ["-c", r"\d fruit", "-c", r"\df plus"],
    "error": ["-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0"],
    "notice": ["-c", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"],
    "copy": ["-c", r"\copy (SELECT * FROM fruit) TO STDOUT"],
    "copy in": ["-c", "CREATE TEMP TABLE t (a int)", "-c", r"\copy t FROM PROGRAM 'seq 5'",
                "-c", "SELECT sum(a) FROM t"],
    "list": ["-l"],
    "wrong database": ["-d", "no_such_database", "-c", "SELECT 1"],
    "wrong option": ["--no-such-option"],
    "version": ["--version"],
}
SCRIPT = r"""
\set VERBOSITY verbose
SELECT count(*) FROM apples;
SELECT 1/0;
BEGIN;
INSERT INTO fruit VALUES (100, 'pear');
SELECT * FROM no_such_table;
SELECT 1;
ROLLBACK;
PREPARE p AS SELECT $1::int * 2;
EXECUTE p(21);
\c
EXECUTE p(21);
\c postgres
SELECT current_database();
\c app app
SELECT current_database(), current_user;
\c no_such_database
SELECT current_database();
LISTEN here;
NOTIFY here;
SELECT 1 \gdesc
\lo_import /dev/null
\lo_unlink :LASTOID
"""


@pytest.mark.parametrize("name", ONE_LINERS)
@pytest.mark.parametrize("path", ["real", "wrapper"])
def test_psql(same, tool, name, path):
    argv = [tool("psql") if path == "real" else WRAPPER, "-X"] + ONE_LINERS[name]
    same(argv, check_leases=False)


def without_numbers(text):
    """Without backend pids and object numbers, which differ anyway."""
    text = re.sub(r"(lo_import|lo_unlink|PID) \d+", r"\1 N", text)
    return re.sub(r"LOCATION:.*", "", text)


def test_psql_script(same, tool, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text(SCRIPT)
    argv = [tool("psql"), "-X", "-f", str(script)]
    bare, _ = same(argv, tidy=without_numbers)
    assert "current_database" in bare.stdout and "22012" in bare.stderr


def test_psql_reconnects(same, tool):
    r"""\c spells out, from PQconninfo, what the first connect left to defaults (the database,
    the file of passwords), and means the same. Its new connection is made before the old
    one is finished, so that takes two sessions in turn."""
    script = r"SELECT 'mine' AS x; SET work_mem TO '8MB'; SELECT 1 \gset" "\n\\c\nSHOW work_mem;\n"
    bare, _ = same([tool("psql"), "-X", "-At"], at_most=2, stdin=script * 30,
                   env={"PGDATABASE": None})
    assert bare.stdout.count("4MB") == 30


def test_psql_reads_stdin(same, tool):
    bare, _ = same([tool("psql"), "-X", "-At"], stdin="SELECT 1;\n\\q\nSELECT 2;\n")
    assert bare.stdout == "1\n"


def interrupt(server, word):
    """Waits until psql's query with `word` runs, and sends its psql SIGINT."""
    def client():
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    arguments = f.read().split(b"\0")
            except OSError:
                continue  # has ended
            if arguments[0].endswith(b"/psql") and any(word.encode() in a for a in arguments):
                return int(path.split("/")[2])
        return None

    if wait_until(lambda: server.sessions("state = 'active' AND query LIKE '%%%s%%'" % word)):
        os.kill(client(), signal.SIGINT)


@pytest.mark.parametrize("path", ["real", "wrapper"])
def test_psql_interrupted(run, server, tool, path):
    word = "interrupted %s %d" % (path, os.getpid())
    argv = [tool("psql") if path == "real" else WRAPPER, "-X", "-c",
            "SELECT '%s', pg_sleep(100)" % word, "-c", "SELECT 2"]
    seen = []
    for pooled in (False, True):
        helper = threading.Thread(target=interrupt, args=(server, word))
        helper.start()
        result = run(argv, pooled=pooled)
        helper.join()
        seen.append((result.stdout, result.stderr, result.returncode))
    assert seen[0] == seen[1]
    assert "canceling statement due to user request" in seen[0][1]


def test_wrapper_stays_quiet(run, shim):
    """Perl loads no libpq: nothing is logged for it, only for the psql it becomes."""
    done = run([WRAPPER, "-X", "-c", "SELECT 1"], check_leases=False,
               env={"PQPOOL_LOG_LEVEL": "debug"})
    assert {e["program"] for e in done.log} == {"psql"}
    assert done.stderr == ""
