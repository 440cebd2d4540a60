# SPDX-License-Identifier: PostgreSQL
"""Real clients: the same output with the pool as without, and fewer server sessions."""
import glob
import os
import re
import signal
import threading

import pytest

from server import wait_until

PYTHON, PERL = "/usr/bin/python3", "/usr/bin/perl"
WRAPPER = "/usr/bin/psql"  # Debian's, in Perl, which replaces itself by the real one
SETUP = """
CREATE TABLE fruit (id int PRIMARY KEY, name text);
INSERT INTO fruit SELECT i, 'apple ' || i FROM generate_series(1, 20) i;
CREATE VIEW apples AS SELECT * FROM fruit WHERE name LIKE 'apple%';
CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b';
"""


@pytest.fixture(scope="module", autouse=True)
def fruit(server):
    """Something to look at; of user app, so that app can dump it."""
    server.sql(SETUP, database="app", user="app")
    yield
    server.sql("DROP FUNCTION plus; DROP VIEW apples; DROP TABLE fruit", database="app")


@pytest.fixture
def tool(server):
    return lambda name: os.path.join(server.bindir, name)


def same(run, server, argv, at_most=None, tidy=lambda text: text, **options):
    """Runs it bare and pooled: same output, same status. Returns (bare, pooled)."""
    results, begun = [], []
    for pooled in (False, True):
        marker = server.marker()
        results.append(run(argv, pooled=pooled, **options))
        begun.append(server.connections_since(marker))
    bare, pooled = results
    assert tidy(pooled.stdout) == tidy(bare.stdout)
    assert tidy(pooled.stderr) == tidy(bare.stderr)
    assert pooled.returncode == bare.returncode
    if at_most is not None:
        assert begun[1] <= at_most < begun[0], "server sessions, bare and pooled: %s" % begun
    return bare, pooled


# ---- psql --------------------------------------------------------------------------

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
def test_psql(run, server, tool, name, path):
    argv = [tool("psql") if path == "real" else WRAPPER, "-X"] + ONE_LINERS[name]
    same(run, server, argv, check_leases=False)


def without_numbers(text):
    """Without backend pids and object numbers, which differ anyway."""
    text = re.sub(r"(lo_import|lo_unlink|PID) \d+", r"\1 N", text)
    return re.sub(r"LOCATION:.*", "", text)


def test_psql_script(run, server, tool, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text(SCRIPT)
    argv = [tool("psql"), "-X", "-f", str(script)]
    bare, _ = same(run, server, argv, tidy=without_numbers)
    assert "current_database" in bare.stdout and "22012" in bare.stderr


def test_psql_reads_stdin(run, server, tool):
    bare, _ = same(run, server, [tool("psql"), "-X", "-At"], stdin="SELECT 1;\n\\q\nSELECT 2;\n")
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


# ---- psycopg2 ------------------------------------------------------------------------

CYCLES = """
import psycopg2
for i in range(30):
    conn = psycopg2.connect("")
    cursor = conn.cursor()
    cursor.execute("SELECT %s::int * 2, count(*) FROM fruit", (i,))
    print(cursor.fetchone())
    conn.commit()
    conn.close()
"""
CONTEXTS = """
import psycopg2
for i in range(30):
    try:
        with psycopg2.connect("application_name=contexts") as conn:
            with conn.cursor() as cursor:
                cursor.execute("CREATE TEMP TABLE mine (a int)")
                cursor.execute("INSERT INTO mine VALUES (%s) RETURNING a", (i,))
                print(cursor.fetchone())
                if i % 3 == 0:
                    cursor.execute("SELECT 1/0")
    except psycopg2.Error as error:
        print(type(error).__name__, error)
    finally:
        conn.close()
"""
GARBAGE = """
import psycopg2
def use(i):
    conn = psycopg2.connect("")
    conn.set_session(autocommit=True, isolation_level="SERIALIZABLE")
    conn.cursor().execute("SET application_name TO 'x%s'" % i)
    # and out of scope, not closed
for i in range(30):
    use(i)
conn = psycopg2.connect("")
cursor = conn.cursor()
cursor.execute("SELECT current_setting('application_name'),"
               " current_setting('default_transaction_isolation')")
print(cursor.fetchone())
conn.close()
"""
MANY_USES = """
import io, psycopg2, psycopg2.extensions as ext
for i in range(5):
    conn = psycopg2.connect("")
    conn.set_isolation_level(ext.ISOLATION_LEVEL_AUTOCOMMIT)
    cursor = conn.cursor()
    cursor.execute("LISTEN here")
    other = psycopg2.connect("")
    other.autocommit = True
    other.cursor().execute("NOTIFY here, 'hello %d'" % i)
    other.close()
    cursor.execute("SELECT 1")
    conn.poll()
    print([(n.channel, n.payload) for n in conn.notifies])
    cursor.execute("CREATE TEMP TABLE t (a int, b text)")
    cursor.copy_from(io.StringIO("1\\tone\\n2\\ttwo\\n"), "t")
    out = io.StringIO()
    cursor.copy_expert("COPY t TO STDOUT CSV HEADER", out)
    print(repr(out.getvalue()))
    cursor.execute("DO $$ BEGIN RAISE NOTICE 'note'; END $$")
    print(conn.notices, conn.status, conn.get_transaction_status(), conn.encoding)
    conn.set_client_encoding("LATIN1")
    try:
        cursor.execute("SELEC")
    except psycopg2.Error as error:
        print(error.pgcode, error)
    conn.cancel()
    conn.close()
    try:
        conn.cancel()
    except psycopg2.Error as error:
        print(error)
    try:
        psycopg2.connect("dbname=no_such_database")
    except psycopg2.OperationalError as error:
        print(error)
"""
THREADS = """
import psycopg2, threading
answers = []
def work(n):
    for i in range(15):
        conn = psycopg2.connect("")
        cursor = conn.cursor()
        cursor.execute("SELECT %s * 100 + %s", (n, i))
        answers.append(cursor.fetchone()[0])
        conn.close()
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(answers))
"""
ASYNC = """
import psycopg2, psycopg2.extensions as ext, select
def wait(conn):
    while True:
        state = conn.poll()
        if state == ext.POLL_OK:
            return
        sets = ([conn], [], []) if state == ext.POLL_READ else ([], [conn], [])
        select.select(*sets)
for i in range(5):
    conn = psycopg2.connect("", async_=True)
    wait(conn)
    cursor = conn.cursor()
    cursor.execute("SELECT %s", (i,))
    wait(conn)
    print(cursor.fetchall())
    conn.close()
"""
POOL = """
import psycopg2.pool
pool = psycopg2.pool.ThreadedConnectionPool(1, 5, "")
for i in range(10):
    a, b = pool.getconn(), pool.getconn()
    a.cursor().execute("SELECT 1")
    pool.putconn(a, close=True)
    pool.putconn(b)
print(len(pool._pool))
pool.closeall()
"""
# program -> most server sessions that it may need
PSYCOPG2 = {"cycles": (CYCLES, 2), "contexts": (CONTEXTS, 2), "garbage": (GARBAGE, 2),
            "many uses": (MANY_USES, 7), "threads": (THREADS, 8), "async": (ASYNC, 2),
            "its own pool": (POOL, 4)}


@pytest.mark.parametrize("name", PSYCOPG2)
def test_psycopg2(run, server, name):
    script, at_most = PSYCOPG2[name]
    bare, _ = same(run, server, [PYTHON, "-c", script], at_most=at_most)
    assert bare.returncode == 0, bare


FORKING = """
import multiprocessing, psycopg2
def work(n):
    total = 0
    for i in range(10):
        conn = psycopg2.connect("")
        cursor = conn.cursor()
        cursor.execute("SELECT %s + %s", (n, i))
        total += cursor.fetchone()[0]
        conn.close()
    return total
work(0)
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(pool.map(work, range(6)))
    pool.close()
    pool.join()
"""


def test_multiprocessing(run, server):
    same(run, server, [PYTHON, "-c", FORKING], at_most=10)


# ---- Perl ------------------------------------------------------------------------------

DBI = r"""
use strict; use DBI; $| = 1;
for my $i (1 .. 20) {
    my $dbh = DBI->connect("dbi:Pg:", undef, undef, {RaiseError => 0, PrintError => 0});
    print join(",", $dbh->selectrow_array("SELECT ?::int + 1", undef, $i)), "\n";
    my $sth = $dbh->prepare("SELECT name FROM fruit WHERE id = ?");
    $sth->execute($i);
    print $sth->fetchrow_array, "\n";
    $sth->finish;
    $dbh->do("SELEC") or print $dbh->errstr, "\n";
    $dbh->begin_work;
    $dbh->do("CREATE TEMP TABLE t (a int)");
    $i % 2 ? $dbh->commit : $dbh->rollback;
    $dbh->do("COPY fruit TO STDOUT");
    my ($row, $rows);
    $rows++ while $dbh->pg_getcopydata($row) >= 0;
    print "$rows rows\n";
    $dbh->disconnect;
}
my $dbh = DBI->connect("dbi:Pg:dbname=no_such_database", undef, undef, {PrintError => 0});
print DBI->errstr, "\n";
"""


def test_dbd_pg(run, server):
    bare, _ = same(run, server, [PERL, "-e", DBI], at_most=2)
    assert bare.returncode == 0, bare


# ---- pgbench and pg_dump ---------------------------------------------------------------


def without_times(text):
    return re.sub(r"(?m)^(latency|tps|initial connection|average connection).*", "", text)


def test_pgbench(run, server, tool, tmp_path):
    script = tmp_path / "script"
    script.write_text("SELECT name FROM fruit WHERE id = 3;\n")
    argv = [tool("pgbench"), "-n", "-C", "-c", "3", "-j", "2", "-t", "20", "-f", str(script)]
    bare, pooled = same(run, server, argv, at_most=6, tidy=without_times)
    assert "60/60" in bare.stdout
    assert len(pooled.events("acquire")) >= 60


@pytest.fixture
def dump(tool):
    """pg_dump, with the same key in its output each time."""
    return [tool("pg_dump"), "--restrict-key=key"]


def test_pg_dump(run, server, dump):
    bare, _ = same(run, server, dump)
    assert bare.returncode == 0 and "CREATE VIEW public.apples" in bare.stdout


def test_pg_dump_in_parallel(run, server, dump, tool, tmp_path):
    folders = {pooled: str(tmp_path / str(pooled)) for pooled in (False, True)}
    dumps = []
    for pooled, folder in folders.items():
        done = run(dump[:1] + ["-j2", "-Fd", "-f", folder], pooled=pooled)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        restored = run([tool("pg_restore"), "--restrict-key=key", "-f", "-", folder],
                       pooled=False).stdout
        dumps.append(re.sub(r"(?m)^-- Started on.*|^-- Completed on.*", "", restored))
    assert dumps[0] == dumps[1] and "apple 7" in dumps[0]


def test_pg_isready(run, server, tool):
    same(run, server, [tool("pg_isready")])
    same(run, server, [tool("pg_isready"), "-p", "1"])
