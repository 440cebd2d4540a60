# SPDX-License-Identifier: PostgreSQL
"""`pqpool check`: each state caused for real, and who holds what."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import psycopg2
import pytest

import house
import pages
from conftest import built
from running import PYTHON
from server import Server, bare_environ, wait_until

OK, WARNING, CRITICAL, UNKNOWN = range(4)
USABLE = 17


@pytest.fixture(scope="module")
def small():
    """A server with few connections: 17 for ordinary users."""
    with Server({"max_connections": 20, "superuser_reserved_connections": 3,
                 "log_statement": "all", "max_wal_senders": 2,
                 "max_prepared_transactions": 2}) as server:
        server.sql("CREATE ROLE watcher LOGIN")
        server.sql("CREATE ROLE monitor LOGIN IN ROLE pg_monitor")
        yield server


@pytest.fixture
def connect(small):
    """connect(): an ordinary connection, closed with the test."""
    made = []

    def new(server=small, **options):
        made.append(psycopg2.connect(server.dsn(**options)))
        return made[-1]

    yield new
    for each in made:
        each.close()
    wait_until(lambda: not small.sessions())


@pytest.fixture
def check(build, small, memory):
    """check(*arguments, user=...): exit status and lines of output."""
    def run(*arguments, user="postgres", database="app", server=small, env=None, start=False):
        whole = {**bare_environ(), **server.env(user, database),
                 "XDG_RUNTIME_DIR": str(memory), **(env or {})}
        process = subprocess.Popen(
            [os.path.join(build, "pqpool"), "check", *arguments], env=whole, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return process if start else finished(process)

    return run


def finished(process):
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
    assert err == "" or process.returncode == UNKNOWN
    assert lines and lines[0].startswith("POOL "), (out, err)
    words = ["OK", "WARNING", "CRITICAL", "UNKNOWN"]
    assert lines[0].split()[1] == words[process.returncode], (out, err)
    return process.returncode, lines


def figures(line):
    """The figures behind the '|', label -> [value, warning, critical, ...]."""
    return {label: values.split(";") for label, values in
            (word.split("=") for word in line.split("|")[1].split())}


# -- how many connections ------------------------------------------------------------------


def test_counts(check, connect):
    for _ in range(3):
        connect(application_name="reader")
    busy = connect(application_name="writer")
    busy.cursor().execute("SELECT 1")
    connect(application_name="")
    state, lines = check("--idle-warning", "-1")
    assert state == OK
    assert lines[0].startswith("POOL OK - 5 of 17 connections in use, 1 idle in transaction")
    assert lines[1] == "max_connections 20, less 3 reserved: 17 for ordinary users, 12 left"
    seen = figures(lines[0])
    assert seen["connections"] == ["5", "13", "16", "0", "17"]
    assert seen["idle"][0] == "4" and seen["idle_in_transaction"][0] == "1"
    assert seen["longest_idle_in_transaction"][1:] == ["", "", "0"]
    assert "By state: 4 idle, 1 idle in transaction" in lines
    assert not any(line.startswith("Idle in transaction") for line in lines)
    rows = [line.split() for line in lines]
    assert ["5", "0", "4", "1", "app"] in rows and ["1", "0", "1", "0", "(none)"] in rows
    assert ["3", "0", "3", "0", "reader"] in rows and ["1", "0", "0", "1", "writer"] in rows
    for options, limits in {(): ["300.000", ""], ("--idle-critical", "20min"): [
            "300.000", "1200.000"]}.items():
        assert figures(check(*options)[1][0])["longest_idle_in_transaction"][1:3] == limits
    assert not any("pqpool check" in line for line in lines), "it counts itself"


@pytest.mark.parametrize("count, options, expected", [
    (13, [], OK), (14, [], WARNING), (16, [], WARNING), (17, [], CRITICAL),
    (3, ["-w", "3"], OK), (4, ["-w", "3"], WARNING), (4, ["-w", "3", "-c", "3"], CRITICAL),
    (4, ["-w", "20%", "-c", "50%"], WARNING), (0, ["-w", "0", "-c", "0"], OK),
])
def test_thresholds(check, connect, count, options, expected):
    for _ in range(count):
        connect()
    assert check(*options)[0] == expected


def test_full_server(check, connect):
    for _ in range(USABLE):
        connect()
    state, lines = check(user="app")
    assert state == CRITICAL and "no connection is left" in lines[0], lines
    assert "53300" not in lines[0] and "FATAL" in lines[0]


def test_many_users_and_applications(check, connect, server):
    for i in range(24):
        connect(server, application_name="app%02d" % (i % 12))
    assert any(re.fullmatch(r" +4  of 2 others", line) for line in check(server=server)[1])


# -- sustained -----------------------------------------------------------------------------


def test_every_sample_counts(check, connect, small):
    connection = connect()
    process = check("-w", "0", "--samples", "300", "--interval", "50ms", start=True)
    assert wait_until(lambda: small.sessions("application_name = 'pqpool check'"))
    assert process.poll() is None
    connection.close()
    begin = time.monotonic()
    state, lines = finished(process)
    assert state == OK and "0 of 17" in lines[0], lines
    assert time.monotonic() - begin < 10


def test_threshold_exceeded_all_the_time(check, connect, small):
    connect()
    marker = small.marker()
    assert check("-w", "0", "--samples", "4", "--interval", "10ms")[0] == WARNING
    assert len(re.findall("BEGIN TRANSACTION READ ONLY", small.log_text(marker))) == 4
    marker = small.marker()
    assert check("--samples", "4", "--interval", "10ms")[0] == OK
    assert len(re.findall("BEGIN TRANSACTION READ ONLY", small.log_text(marker))) == 1


@pytest.mark.parametrize("first, then", [
    (["-w", "0"], ["--idle-warning", "-1", "--idle-critical", "1ms"]),
    (["--idle-warning", "1ms"], ["-w", "1", "-c", "1"])])
def test_every_sample_counts_for_each_of_the_two(check, connect, small, first, then):
    """What is only a warning is so from the first sample on, what is critical is not."""
    connection = connect()
    if first == ["-w", "0"]:
        begin = lambda: connection.cursor().execute("SELECT 1")
    else:
        connection.cursor().execute("SELECT 1")
        begin = connect
    marker = small.marker()
    process = check(*first, *then, "--samples", "100", "--interval", "10ms", start=True)
    assert wait_until(lambda: "COMMIT" in small.log_text(marker))
    begin()
    assert finished(process)[0] == WARNING


# -- idle in transaction, locks ---------------------------------------------------------------


def test_idle_in_transaction(check, connect, small):
    connection = connect(application_name="forgetful")
    connection.cursor().execute("SELECT 1")
    pid = connection.info.backend_pid
    assert check()[0] == OK
    state, lines = wait_until(lambda: (lambda r: r if r[0] == WARNING else None)(
        check("--idle-warning", "200ms")))
    assert "Idle in transaction for longer than 200 ms:" in lines
    other = connect(tcp=True)
    with pytest.raises(psycopg2.Error):
        other.cursor().execute("SELECT 1/0")
    lines = check("--idle-warning", "0")[1]
    begin = lines.index("Idle in transaction for longer than 0 ms:")
    assert re.fullmatch(r"  backend %d for .*: app@app, forgetful" % pid, lines[begin + 1])
    assert re.fullmatch(r"  backend %d for .*: app@app, from 127.0.0.1" % other.info.backend_pid,
                        lines[begin + 2])
    assert figures(lines[0])["idle_in_transaction"][0] == "2"
    assert float(figures(lines[0])["longest_idle_in_transaction"][0].rstrip("s")) > 0.2
    for options in ([], ["--idle-warning", "-1"], ["-w", "0"]):
        state, lines = check("--idle-critical", "200ms", *options)
        assert state == CRITICAL and "Idle in transaction for longer than 200 ms:" in lines
    marker = small.marker()
    assert check("--idle-warning", "1ms", "--samples", "3", "--interval", "10ms")[0] == WARNING
    assert small.log_text(marker).count("BEGIN TRANSACTION READ ONLY") == 3
    assert check("--idle-warning", "-1")[0] == OK
    connection.rollback()
    other.rollback()
    assert check("--idle-warning", "200ms")[0] == OK


@contextlib.contextmanager
def waiter(server, key):
    """The pid of a backend that waits for that advisory lock, which somebody has."""
    with subprocess.Popen(
            [os.path.join(server.bindir, "psql"), "-Xqc", "SELECT pg_advisory_xact_lock(%d)" % key],
            env={**bare_environ(), **server.env()}, stdout=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: server.sessions("wait_event_type = 'Lock'"))
            yield server.sessions("wait_event_type = 'Lock'")[0]["pid"]
        finally:
            process.kill()


def test_who_waits_for_whom(check, connect, small):
    holder, _, _ = connect(), connect(), connect()
    holder.cursor().execute("SELECT pg_advisory_xact_lock(1)")
    with waiter(small, 1) as waiting:
        line = "  backend %s waits for backend %d (app@app)" % (waiting, holder.info.backend_pid)
        for user in ("postgres", "watcher"):
            lines = check(user=user)[1]
            assert line in lines and figures(lines[0])["waiting"][0] == "1"
        seen = figures(check()[1][0])
        assert (seen["active"][0], seen["idle"][0]) == ("1", "2")


def test_prepared_transactions_are_waited_for(check, small):
    for name in ("one", "two"):
        small.sql("BEGIN; SELECT pg_advisory_xact_lock_shared(2); PREPARE TRANSACTION '%s'" % name,
                  "app", "app")
    try:
        with waiter(small, 2) as waiting:
            line = "  backend %s waits for a prepared transaction" % waiting
            assert check()[1].count(line) == 1
    finally:
        for name in ("one", "two"):
            small.sql("ROLLBACK PREPARED '%s'" % name, "app", "app")


# -- who may see what ---------------------------------------------------------------------


def test_ordinary_user_and_monitor(check, connect):
    connect().cursor().execute("SELECT 1")
    state, lines = check("--idle-warning", "1ms", user="watcher")
    assert state == OK and "the state of 1 is not visible" in lines[0]
    assert "By state: 1 not visible" in lines
    assert "1 of 17" in lines[0]
    state, lines = check("--idle-warning", "1ms", user="monitor")
    assert state == WARNING and not any("visible" in line for line in lines)


def test_only_reads(check, small):
    marker = small.marker()
    check("--advice", user="app")
    statements = re.findall(r"(?:statement|execute <unnamed>): (\w+ ?\w*)", small.log_text(marker))
    assert statements
    assert all(re.match("SELECT|BEGIN TRANSACTION|COMMIT|WITH", s) for s in statements), statements
    begun = re.findall("BEGIN.*", small.log_text(marker))
    assert begun == ["BEGIN TRANSACTION READ ONLY"] * 2
    # Nothing stays in the session: behind a pooler it is somebody else's next.
    assert re.findall(r"set_config\('\w+', [^,]*, false", small.log_text(marker)) == []


def test_what_could_not_be_had(check, small):
    small.sql("REVOKE SELECT ON pg_constraint FROM PUBLIC", "app")
    try:
        state, lines = check("--advice", user="app")
        assert state == OK
        assert lines[-1] == "The rest could not be read: ERROR:  permission denied for table " \
                            "pg_constraint"
        assert any(line.startswith("Overdue") for line in lines)
    finally:
        small.sql("GRANT SELECT ON pg_constraint TO PUBLIC", "app")
    small.sql("REVOKE EXECUTE ON FUNCTION pg_blocking_pids FROM PUBLIC", "app")
    try:
        state, lines = check("--advice", user="app")
        assert state == OK
        assert lines[-1] == "The rest could not be read: ERROR:  permission denied for function " \
                            "pg_blocking_pids"
    finally:
        small.sql("GRANT EXECUTE ON FUNCTION pg_blocking_pids TO PUBLIC", "app")
    small.sql("REVOKE SELECT ON pg_locks FROM PUBLIC")
    try:
        assert check(user="watcher", database="postgres")[0] == UNKNOWN
    finally:
        small.sql("GRANT SELECT ON pg_locks TO PUBLIC")


def test_no_statement_takes_long(check, connect):
    connection = connect(user="postgres", database="app")
    connection.cursor().execute("LOCK TABLE pg_constraint")
    state, lines = check("--advice", "-t", "300ms")
    assert state == OK
    assert lines[-1] == "The rest could not be read: ERROR:  canceling statement due to " \
                        "statement timeout"


def test_notices_are_not_shown(check, small):
    small.sql("ALTER ROLE watcher SET default_tablespace = 'no_such'")
    try:
        assert check(user="watcher")[0] == OK
    finally:
        small.sql("ALTER ROLE watcher RESET default_tablespace")


def test_names_cannot_act(check, connect, small):
    name = "\xe9\x1b[31m|x=1\nPOOL OK"
    small.sql("CREATE ROLE \"%s\" LOGIN" % name)
    try:
        connect(user=name, database="app")
        out = "\n".join(check(env={"PGCLIENTENCODING": "LATIN1"})[1])
        assert "\x1b" not in out and out.count("|") == 1
        assert "\xe9" + r"\x1b[31m\x7cx=1\nPOOL OK" in out
    finally:
        small.terminate("usename LIKE '\xe9%'")
        wait_until(lambda: not small.sessions("usename LIKE '\xe9%'"))
        small.sql("DROP ROLE \"%s\"" % name)


def test_nothing_of_the_users_is_called(check, small):
    """Functions that fit better than the catalog's are not even looked for."""
    small.sql("CREATE FUNCTION public.count(bool) RETURNS int LANGUAGE sql AS 'SELECT 1/0';"
              "CREATE TABLE public.pg_stat_activity (i int);"
              "ALTER ROLE app SET search_path = public, pg_catalog", "app")
    try:
        assert check("--advice", user="app")[0] == OK
    finally:
        small.sql("ALTER ROLE app RESET search_path; DROP TABLE public.pg_stat_activity;"
                  "DROP FUNCTION public.count(bool)", "app")


# -- no answer -----------------------------------------------------------------------------


def test_no_server(check):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        state, lines = check("host=127.0.0.1 port=%d" % port)
    assert state == UNKNOWN and "failed" in lines[0]


def test_silent_server(check):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        state, lines = check("-t", "300ms", "host=127.0.0.1 port=%d" % silent.getsockname()[1])
    assert state == UNKNOWN and "no answer from the server within 0.3 s" in lines[0]
    assert time.monotonic() - begin < 20


def test_stopped_server(new_server, check):
    """One that takes connections, and then no longer answers."""
    server = new_server()
    held = psycopg2.connect(server.dsn())
    process = check("-w", "0", "--samples", "1000", "--interval", "20ms", "-t", "500ms",
                    server=server, start=True)
    assert wait_until(lambda: server.sessions("application_name = 'pqpool check'"))
    backend = int(server.sessions("application_name = 'pqpool check'")[0]["pid"])
    os.kill(backend, signal.SIGSTOP)
    try:
        state, lines = finished(process)
    finally:
        os.kill(backend, signal.SIGCONT)
        held.close()
    assert state == UNKNOWN and "no answer" in lines[0]


@pytest.mark.parametrize("arguments", [
    ["-w", "x"], ["-w", "101%"], ["-c", "-1"], ["--samples", "0"], ["--interval", "soon"],
    ["--nothing"], ["a", "b"], ["nonsense=1"], ["--idle-warning", "-2"],
    ["-w", "18446744073709551616"],
])
def test_bad_usage(check, arguments):
    assert check(*arguments)[0] == UNKNOWN


def test_spans(compiled):
    program = compiled("""
        #include "common/terminal_text.h"
        #include <stdlib.h>
        int main(int n, char **ms) {
            for (int i = 1; i < n; i++) { terminal_text_put_span(stdout, atoll(ms[i])); puts(""); }
            return 0;
        }""", "-I" + house.path("tools"), *(
            built("tools/common/%s.tool.o" % name)
            for name in ("terminal_text", "xalloc")))
    spans = {0: "0 ms", 999: "999 ms", 1000: "1 s", 59999: "59 s", 60000: "1 min 0 s",
             3599999: "59 min 59 s", 3600000 + 61000: "1 h 1 min", 86400000 * 3 - 1: "2 d 23 h"}
    out = subprocess.run([program, *map(str, spans)], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == list(spans.values())


def test_help(build):
    done = subprocess.run([os.path.join(build, "pqpool"), "check", "--help"], text=True,
                          capture_output=True, check=True)
    assert done.stdout.startswith("Usage: pqpool check") and done.stderr == ""


# -- joined with the status pages ------------------------------------------------------------


def held(lines):
    """backend -> the line about it."""
    begin = lines.index("Held through pqpool:") if "Held through pqpool:" in lines else len(lines)
    found = {}
    for line in lines[begin + 1:]:
        match = re.match(r"  backend (\d+) ", line)
        if not match:
            break
        found[match.group(1)] = line
    return found


@pytest.fixture
def pooled(script, server, memory):
    """A program with a pool, whose status page is where `check` looks."""
    return lambda **more: script(env={"XDG_RUNTIME_DIR": str(memory)}, **more)


def test_program_lease_and_line(check, pooled, server):
    program = pooled()
    pid = program.connect("a")
    program.exec("a", "BEGIN", "SELECT pg_advisory_xact_lock(7)")
    idle = program.connect("b")
    lines = check(server=server)[1]
    found = held(lines)
    assert set(found) == {pid, idle}
    line = found[pid]
    assert "script[%d], lease 1, held for " % program.process.pid in line
    assert "idle in transaction for" in line
    assert re.search(r"taken at \w+ at \S*script\.c:\d+", line), line
    with open("/proc/%d/comm" % program.process.pid, encoding="ascii") as comm:
        assert comm.read().strip() == "script"
    program.finish("a", "b")
    assert held(check(server=server)[1]) == {}


def test_line_of_a_script(check, shim, server, tmp_path, memory):
    script = tmp_path / "own app.py"
    script.write_text("import psycopg2\n\nheld = psycopg2.connect('')\nprint()\ninput()\n")
    process = subprocess.Popen(
        [PYTHON, "-u", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={
            **bare_environ(), **server.env(), "LD_PRELOAD": shim,
            "XDG_RUNTIME_DIR": str(memory)})
    with process:
        process.stdout.readline()
        lines = list(held(check(server=server)[1]).values())
        process.communicate(b"\n")
    assert len(lines) == 1 and lines[0].endswith(", taken at %s:3" % script)


def test_whom_it_keeps_waiting(check, pooled, server):
    program = pooled()
    pid = program.connect("a")
    program.exec("a", "BEGIN", "SELECT pg_advisory_xact_lock(8)")
    other = program.connect("b")
    with waiter(server, 8) as waiting:
        lines = held(check(server=server)[1])
        assert lines[pid].endswith("; blocks: backend " + waiting)
        assert "blocks: " not in lines[other]
    program.finish("a", "b")


def test_other_spellings_of_the_server(check, pooled, server):
    program = pooled(tcp=True)
    pid = program.connect("a")
    assert set(held(check(server=server)[1])) == {pid}
    program.finish("a")


HERE = ["app@{dir}:{port}/app", "app@local:{port}/app", "app@localhost:{port}/app",
        "app@127.0.0.9:{port}/app", "app@::1:{port}/app", "app@db.a,{dir}:1,{port}/app",
        "app@{dir},db.a:{port}/app", "app@{dir}:{port}/app service=shop"]
ELSEWHERE = ["app@/elsewhere:{port}/app", "app@db.a:{port}/app", "app@db.a,db.b:{port}/app",
             "app@{dir}:1/app", "app@{dir}:{port}0/app", "app@{dir}:{most_of_port}/app",
             "app@{dir}:1,2/app", "ap@{dir}:{port}/app", "fox@{dir}:{port}/app",
             "app@{dir}:{port}/apple", "app@{dir}:{port}/bapp", "app@{dir}:{port}/fox"]
BY_TCP = ["host=127.0.0.1"]


@pytest.mark.parametrize("label, arguments, here", [
    *((label, [], True) for label in HERE), *((label, [], False) for label in ELSEWHERE),
    ("app@{dir}:{port}/app", BY_TCP, True), ("apple@localhost:{port}/app", BY_TCP, False),
    ("app@db.a:{port}/app", BY_TCP, False)])
def test_by_the_name_of_the_pool(check, connect, small, memory, label, arguments, here):
    """User, host, port and database must be the server's, in whatever words."""
    backend = connect().info.backend_pid
    pool = pages.made_pool(label.format(dir=small.folder.path, port=small.port,
                                        most_of_port=str(small.port)[:-1]))
    with page(memory, pool, pages.made_session(backend=backend)):
        found = held(check(*arguments, user="app", env={"PGPASSWORD": small.password})[1])
    assert set(found) == ({str(backend)} if here else set())


@pytest.mark.parametrize("alive, options", [
    (True, {"state": pages.IDLE}), (True, {"pool": pages.NO_POOL}), (False, {})])
def test_what_is_no_lease_of_a_pool(check, connect, small, memory, alive, options):
    """Idle; not pooled, which may lead anywhere; of a process that has ended."""
    session = pages.made_session(backend=connect().info.backend_pid, **options)
    pool = pages.made_pool("app@%s:%d/app" % (small.folder.path, small.port))
    before = [line for line in check()[1] if line.startswith("Held")]  # by whoever else there is
    with page(memory, pool, session, alive):
        assert [line for line in check()[1] if line.startswith("Held")] == before


@contextlib.contextmanager
def page(memory, pool, session, alive=True):
    """The page of a process that lives, or does no more, where `check` looks."""
    path = memory / "pqpool" / "made.page"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(pages.made_page(2**31 - 9, [pool], [session]))
    with pages.living(path) if alive else contextlib.nullcontext():
        yield
    path.unlink()


def test_backend_that_ended(check, pooled, small):
    """Behind the program's back: the lease stays on the page."""
    program = pooled(server=small)
    pid = program.connect("a")
    assert set(held(check()[1])) == {pid}
    small.terminate("pid = %s" % pid)
    assert held(check()[1]) == {}
    program.finish("a")


def test_younger_backend_is_another(check, connect, small, memory):
    """A number is used again: the backend cannot have been lent before it began."""
    backend = connect().info.backend_pid
    pool = pages.made_pool(HERE[0].format(dir=small.folder.path, port=small.port))
    for age, found in ((0, {str(backend)}), (15, set())):
        with page(memory, pool, pages.made_session(age, backend=backend)):
            assert set(held(check()[1])) == found


def test_nothing_is_claimed_without_rights(check, pooled, server):
    server.sql("CREATE ROLE stranger LOGIN")
    program = pooled()
    pid = program.connect("a")
    try:
        lines = check(user="stranger", server=server)[1]
        assert held(lines) == {}
        assert any(line.startswith("Not verified without the rights of pg_monitor: 1 lease")
                   for line in lines)
        assert set(held(check(user="app", server=server)[1])) == {pid}
    finally:
        program.finish("a")
        server.sql("DROP ROLE stranger")


def test_check_is_not_pooled(check, shim, tmp_path):
    log = tmp_path / "log"
    state, _ = check(env={"LD_PRELOAD": shim, "PQPOOL_LOG": str(log), "PQPOOL_LOG_LEVEL": "debug"})
    assert state == OK
    assert not log.exists() or "event=acquire" not in log.read_text(encoding="utf-8")
