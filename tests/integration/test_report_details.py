# SPDX-License-Identifier: PostgreSQL
"""What the report says of each lease, of the process as a whole, and what it leaves out."""
import os
import textwrap

import pytest

from reports import BY_EXIT, LEAKED, read_report
from running import PYTHON

# ---- statements and transactions -----------------------------------------------------------


@pytest.fixture
def leak(script):
    """leak([(command, words...), ...]): what the report and the log say of one lease on which
    this was done; the report's words first."""
    def run_and_leak(steps):
        program = script(env={"PQPOOL_REPORT": "all"})
        program.connect("a")
        for command, *words in steps:
            program.do(command, "a", *words)
        done = program.end()
        report = read_report(done.stderr)
        line, = done.events("kept")
        shown, = report.leases
        assert line.get("statement") == shown["statement"]
        return shown, line, done

    return run_and_leak


STATES = {
    "idle": ([("exec", "SELECT 1")], "idle", "idle"),
    "open": ([("exec", "BEGIN"), ("exec", "SELECT 1")], "idle in transaction", "in_transaction"),
    "failed": ([("exec", "BEGIN"), ("exec", "SELECT nonsense")],
               "idle in transaction (aborted)", "failed"),
    "active": ([("send", "SELECT pg_sleep(0.01)")], "active", "active"),
    "read to its end": ([("send", "BEGIN"), ("drain",)], "idle in transaction", "in_transaction"),
    "copy": ([("exec", "COPY (SELECT 1) TO STDOUT")], "active", "active"),
    "reset": ([("exec", "BEGIN"), ("reset",)], "idle", "idle"),
    "nothing done": ([], "idle", "idle"),
    "killed": ([("exec", "SELECT pg_terminate_backend(pg_backend_pid())")], None, "unknown"),
}


@pytest.mark.parametrize("name", STATES)
def test_transaction(leak, name):
    steps, state, word = STATES[name]
    shown, line, _ = leak(steps)
    assert (shown["state"], line["transaction"]) == (state, word)


STATEMENTS = {
    "names": (["SELECT relname FROM pg_class LIMIT x"], "SELECT relname FROM pg_class LIMIT x"),
    "number": (["SELECT 4711 AS secret"], "SELECT ..."),
    "string": (["SELECT  a\t, 's3cret' FROM t"], "SELECT a , ..."),
    "escape string": (["SELECT E's3cret'"], "SELECT ..."),
    "dollar quote": (["DO $$ s3cret $$"], "DO ..."),
    "password": (["ALTER ROLE nobody PASSWORD 's3cret'"], "ALTER ROLE nobody PASSWORD ..."),
    "setting": (["SET app.key = s3cret"], "SET app.key =..."),
    "setting to": (["SET app.key TO s3cret"], "SET app.key TO..."),
    "comment": (["/* s3cret */ SELECT a -- s3cret"], "SELECT a"),
    "the last one": (["SELECT a", "SELECT b"], "SELECT b"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement(leak, name):
    statements, wanted = STATEMENTS[name]
    shown, _, done = leak([("exec", text) for text in statements])
    assert shown["statement"] == wanted
    assert "s3cret" not in done.stderr and "s3cret" not in str(done.log)


def test_statement_of_a_prepared_one(leak):
    assert leak([("prepare", "SELECT a FROM b")])[0]["statement"] == "SELECT a FROM b"


PREPARED = """
import ctypes, sys
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQprepare.restype = pq.PQexecPrepared.restype = ctypes.c_void_p
conn = ctypes.c_void_p(pq.PQconnectdb(b""))
for name, text in ((b"first", b"SELECT 1 + $1::int"), (b"second", b"SELECT $1::text")):
    pq.PQprepare(conn, name, text, 0, None)
values = (ctypes.c_char_p * 1)(b"4711")
for name in sys.argv[1:]:
    if name == "other":
        pq.PQexec(conn, b"SELECT 2")
    else:
        pq.PQexecPrepared(conn, name.encode(), 1, values, None, None, 0)
"""


@pytest.mark.parametrize("names, wanted", [
    (["second"], "SELECT $1::text"), (["first"], "EXECUTE first"),
    (["first", "second"], "EXECUTE second"), (["second", "other", "second"], "EXECUTE second")])
def test_execution_of_a_prepared_one(run, names, wanted):
    """By its text as long as that is the last one known, else by its name."""
    done = run([PYTHON, "-c", PREPARED, *names], env={"PQPOOL_REPORT": "all"})
    assert [x["statement"] for x in read_report(done.stderr).leases] == [wanted]
    assert "4711" not in done.stderr.replace("==4711==", "")


def test_next_lease_begins_with_nothing(script):
    program = script()
    first = program.connect("a")
    program.exec("a", "SELECT a FROM (SELECT 1 AS a) b")
    program.finish("a")
    assert program.connect("b") == first
    lease, = read_report(program.end().stderr).leases
    assert (lease["backend"], lease["state"], lease["statement"]) == (first, "idle", None)


# ---- totals --------------------------------------------------------------------------------


def test_totals(script):
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 1, "PQPOOL_TIMEOUT": "300ms"})
    program.connect("a")
    program.connect("b")
    program.do("begin", "c")
    program.await_events("wait", 1)
    program.finish("a")
    program.join("c")
    program.do("begin", "d")
    assert program.join("d")[1].startswith("BAD ")
    program.finish("b", "d")
    done = program.end()
    report = read_report(done.stderr)
    totals = report.totals
    assert report.leaked == {LEAKED: 1}
    assert (totals["peak"], totals["limit"]) == ("2", "2")
    assert (totals["waits"], totals["timeouts"]) == ("2", "1")
    assert totals["longest"].startswith("3") and totals["longest"].endswith(" ms")
    assert int(totals["opened"]) == len(done.events("session_open"))
    assert int(totals["closed"]) == len(done.events("session_close"))
    reasons = dict(r.rsplit(" ", 1) for r in (totals["reasons"] or "").split(", ") if r)
    for reason, count in reasons.items():
        assert int(count) == len(done.events("session_close", reason=reason))
    assert sum(map(int, reasons.values())) == int(totals["closed"])
    told, = done.events("totals")
    for key in ("opened", "closed", "reasons", "peak", "limit", "waits", "timeouts"):
        assert told.get(key) == totals[key]
    assert (told["acquired"], told["released"]) == tuple(map(str, report.head[1:]))
    assert 300_000 <= int(told["longest_us"]) <= int(told["waited_us"])


@pytest.mark.parametrize("way", ["return", "_exit", "quick_exit"])
@pytest.mark.parametrize("report", ["on", "off"])
def test_totals_are_logged_if_nothing_leaked(run, program, way, report):
    done = run([program("exits"), way, "0", "idle"], env={"PQPOOL_REPORT": report})
    told, = done.events("totals")
    assert (told["acquired"], told["released"], told["opened"]) == ("2", "2", "2")
    assert (told["closed"], told["reasons"]) == ("2", "exit 2") and done.stderr == ""


def test_totals_of_a_process_that_could_not_connect(script):
    program = script()
    program.refused("a", "dbname=nowhere")
    told, = program.end().events("totals")
    assert (told["opened"], told["open_failed"], told["acquired"]) == ("0", "1", "0")


def test_totals_of_children_that_did_something(run, program):
    done = run([program("leaks"), "forked"])
    assert len({e["pid"] for e in done.events("totals")}) == len(done.events("totals")) == 1
    done = run([program("leaks"), "in_child"])
    assert [e["acquired"] for e in done.events("totals")] == ["4", "1"]


def test_drops_by_reason(script):
    program = script()
    program.connect("kept")
    for _ in range(2):
        program.connect("a")
        program.exec("a", "SELECT setseed(0.5)")
        program.finish("a")
    totals = read_report(program.end().stderr).totals
    assert (totals["opened"], totals["closed"], totals["reasons"]) == ("3", "2", "seeded 2")


# ---- suppressions --------------------------------------------------------------------------

EXITCODE = {"PQPOOL_LEAK_EXITCODE": 77}


@pytest.fixture
def suppress(run, program, tmp_path):
    """suppress(text): what leaky says with a file of these patterns."""
    def start(text, argv=None, **options):
        (tmp_path / "known").write_text(text)
        return run(argv or [program("leaky")],
                   env={"PQPOOL_SUPPRESS": tmp_path / "known", **EXITCODE}, **options)

    return start


@pytest.mark.parametrize("text, left", [
    ("function:bill_customer\n", 1), ("bill_*", 1), ("  function: print_report  \n", 2),
    ("# a comment\n\nfunction:prin?_report", 2), ("module:bill_customer", 3), ("bill", 3),
    ("script:*", 3), ("", 3), ("module:*/nowhere\nfunction:*_here\n", 3),
    ("print_report\r\nfunction:nobody", 2)])
def test_suppressed(suppress, text, left, tmp_path):
    done = suppress(text)
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: left} and done.returncode == 77
    assert report.suppressed == ((3 - left, str(tmp_path / "known")) if left < 3 else None)
    assert len(done.events("leak")) == 3
    assert len(done.events("leak", suppressed="yes")) == 3 - left


@pytest.mark.parametrize("text", ["module:leaky", "module:*/leaky", "open_database", "*", "main\n",
                                  "bill_customer\nprint_report"])
def test_all_suppressed(suppress, text):
    done = suppress(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.events("leak", suppressed="yes")) == 3


def test_of_the_second_kind(suppress, program):
    argv = [program("exits"), "cxx_destructor", "0", "leased"]
    report = read_report(suppress("by_cxx_destructor", argv).stderr)
    assert report.leaked == {LEAKED: 1} and report.suppressed[0] == 2
    report = read_report(suppress("make_leased", argv).stderr)
    assert report.leaked == {BY_EXIT: 2} and report.suppressed[0] == 1


SCRIPT = textwrap.dedent("""
    import psycopg2
    kept = []
    def first():
        kept.append((psycopg2.connect("").close(), psycopg2.connect("")))
    def second():
        kept.append((psycopg2.connect("").close(), psycopg2.connect("")))
    first(); second()
    """).lstrip()


@pytest.mark.parametrize("pattern, left", [
    ("script:forgetful.py:4", [6]), ("script:*/forgetful.py:6", [4]), ("forgetful.py:6", [4]),
    ("function:first", [6]), ("script:first", [4, 6]), ("script:forgetful.py", []),
    ("module:_psycopg*", [])])
def test_by_script(suppress, tmp_path, pattern, left):
    path = tmp_path / "forgetful.py"
    path.write_text(SCRIPT)
    done = suppress(pattern, [PYTHON, str(path)])
    if left:
        report = read_report(done.stderr)
        assert {p.script for p in report.places} == {"%s:%d" % (path, n) for n in left}
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("pattern", ["script:*/my (old) scripts/forget me.py:4", "forget me.py:4",
                                     "script:forget me.py"])
def test_by_script_with_blanks_in_its_path(suppress, tmp_path, pattern):
    path = tmp_path / "my (old) scripts" / "forget me.py"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    left = {"%s:6" % path} if ":4" in pattern else set()
    done = suppress(pattern, [PYTHON, str(path)])
    assert len(done.events("leak", suppressed="yes")) == 2 - len(left)
    assert {p.script for p in read_report(done.stderr).places} == left if left else not done.stderr


def test_file_is_read_at_the_start(run, tmp_path):
    (tmp_path / "known").write_text("module:_psycopg*")
    program = ("import os, psycopg2; kept = psycopg2.connect(''); os.remove('known'); "
               "os.chdir('/')")
    done = run([PYTHON, "-c", program], env={"PQPOOL_SUPPRESS": "known"}, cwd=tmp_path)
    assert done.stderr == "" and len(done.events("leak", suppressed="yes")) == 1


MUST = ("must be function:PATTERN, module:PATTERN, script:PATTERN, or a PATTERN for any of them; "
        "all leaks are reported")


@pytest.mark.parametrize("text", ["bill_*\nfunc:bill_customer\n", "bill_*\nmodule:\n",
                                  "bill_*\n Function:x"])
def test_a_bad_line(suppress, tmp_path, text):
    done = suppress(text)
    first, rest = done.stderr.split("\n", 1)
    assert first == 'pqpool: PQPOOL_SUPPRESS="%s", line 2: %s' % (tmp_path / "known", MUST)
    assert read_report(rest).leaked == {LEAKED: 3} and done.returncode == 77


@pytest.mark.parametrize("name, what", [
    ("nowhere", "No such file or directory"), ("", "must be a file of at most 1 MB"),
    ("fifo", "must be a file of at most 1 MB"), ("large", "must be a file of at most 1 MB")])
def test_a_bad_file(run, program, tmp_path, name, what):
    path = tmp_path / name
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "large", "wb") as f:
        f.truncate(2 << 20)
    done = run([program("leaky")], env={"PQPOOL_SUPPRESS": path})
    first, rest = done.stderr.split("\n", 1)
    assert first == 'pqpool: PQPOOL_SUPPRESS="%s": %s; all leaks are reported' % (path, what)
    assert read_report(rest).leaked == {LEAKED: 3}
    assert done.returncode == 0
