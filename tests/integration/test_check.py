# SPDX-License-Identifier: PostgreSQL
"""`pqpool check`: each state caused for real, and who holds what."""
import os
import re
import signal
import socket
import struct
import subprocess
import time

import psycopg2
import pytest

import house
from running import PYTHON
from server import Server, bare_environ, wait_until

OK, WARNING, CRITICAL, UNKNOWN = range(4)
USABLE = 17


@pytest.fixture(scope="module")
def small():
    """A server with few connections: 17 for ordinary users."""
    with Server({"max_connections": 20, "superuser_reserved_connections": 3,
                 "log_statement": "all", "max_wal_senders": 2}) as server:
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
def check(build, small, tmp_path):
    """check(*arguments, user=...): exit status and lines of output."""
    (tmp_path / "run").mkdir(mode=0o700)

    def run(*arguments, user="postgres", database="app", server=small, env=None, start=False):
        whole = {**bare_environ(), **server.env(user, database),
                 "XDG_RUNTIME_DIR": str(tmp_path / "run"), **(env or {})}
        process = subprocess.Popen(
            [os.path.join(build, "pqpool"), "check", *arguments], env=whole, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return process if start else finished(process)

    return run


def finished(process):
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
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
    state, lines = check("--idle-warning", "-1")
    assert state == OK
    assert lines[0].startswith("POOL OK - 4 of 17 connections in use, 1 idle in transaction")
    seen = figures(lines[0])
    assert seen["connections"] == ["4", "13", "16", "0", "17"]
    assert seen["idle"][0] == "3" and seen["idle_in_transaction"][0] == "1"
    assert "By state: 3 idle, 1 idle in transaction" in lines
    rows = [line.split() for line in lines]
    assert ["4", "0", "3", "1", "app"] in rows
    assert ["3", "0", "3", "0", "reader"] in rows and ["1", "0", "0", "1", "writer"] in rows
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


def test_many_users_and_applications(check, connect):
    for i in range(12):
        connect(application_name="app%02d" % i)
    assert any(re.fullmatch(r" +2  of 2 others", line) for line in check()[1])


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


# -- idle in transaction, locks ---------------------------------------------------------------


def test_idle_in_transaction(check, connect):
    connection = connect(application_name="forgetful")
    connection.cursor().execute("SELECT 1")
    pid = connection.info.backend_pid
    assert check()[0] == OK
    state, lines = wait_until(lambda: (lambda r: r if r[0] == WARNING else None)(
        check("--idle-warning", "200ms")))
    assert "Idle in transaction for longer than 200 ms:" in lines
    assert any(re.search(r"backend %d for .*: app@app, forgetful" % pid, line) for line in lines)
    assert check("--idle-critical", "200ms")[0] == CRITICAL
    assert check("--idle-warning", "-1")[0] == OK
    connection.rollback()
    assert check("--idle-warning", "200ms")[0] == OK


def test_who_waits_for_whom(check, connect, small):
    holder, waiter = connect(), connect()
    holder.cursor().execute("SELECT pg_advisory_xact_lock(1)")
    pids = holder.info.backend_pid, waiter.info.backend_pid
    process = subprocess.Popen(
        [os.path.join(small.bindir, "psql"), "-Xqc", "SELECT pg_advisory_xact_lock(1)"],
        env={**bare_environ(), **small.env()}, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: small.sessions("wait_event_type = 'Lock'"))
        waiting = small.sessions("wait_event_type = 'Lock'")[0]["pid"]
        line = "  backend %s waits for backend %d (app@app)" % (waiting, pids[0])
        for user in ("postgres", "watcher"):
            lines = check(user=user)[1]
            assert line in lines and figures(lines[0])["waiting"][0] == "1"
    finally:
        process.kill()
        process.wait()


# -- who may see what ---------------------------------------------------------------------


def test_ordinary_user_and_monitor(check, connect):
    connect().cursor().execute("SELECT 1")
    state, lines = check("--idle-warning", "1ms", user="watcher")
    assert state == OK and "what 1 do is not visible" in lines[0]
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
        assert lines[-1] == "The rest could not be had: ERROR:  permission denied for table " \
                            "pg_constraint"
        assert any(line.startswith("Overdue") for line in lines)
    finally:
        small.sql("GRANT SELECT ON pg_constraint TO PUBLIC", "app")
    small.sql("REVOKE SELECT ON pg_locks FROM PUBLIC")
    try:
        assert check(user="watcher", database="postgres")[0] == UNKNOWN
    finally:
        small.sql("GRANT SELECT ON pg_locks TO PUBLIC")


def test_names_cannot_act(check, connect, small):
    name = "e\x1b[31m|x=1\nPOOL OK"
    small.sql("CREATE ROLE \"%s\" LOGIN" % name)
    try:
        connect(user=name, database="app")
        out = "\n".join(check()[1])
        assert "\x1b" not in out and out.count("|") == 1
        assert r"e\x1b[31m\x7cx=1\nPOOL OK" in out
    finally:
        small.terminate("usename LIKE 'e%'")
        wait_until(lambda: not small.sessions("usename LIKE 'e%'"))
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
])
def test_bad_usage(check, arguments):
    assert check(*arguments)[0] == UNKNOWN


def test_help(build):
    done = subprocess.run([os.path.join(build, "pqpool"), "check", "--help"], text=True,
                          capture_output=True, check=True)
    assert done.stdout.startswith("Usage: pqpool check") and done.stderr == ""


# -- joined with the status pages ------------------------------------------------------------


# Of struct status_session.
BACKEND, BEGAN_US, ROW = 20, 32, 256


def read_at(file, at, size):
    file.seek(at)
    return file.read(size)


def write_at(file, at, data):
    file.seek(at)
    file.write(data)
    file.flush()


def page_row(file, backend):
    """Where the row with that backend is in a status page."""
    first = 4096 + 1024 * int(re.search(r"STATUS_POOLS_MAX +(\d+)", house.read(
        "shim/trace/status_format.h")).group(1))
    for row in range(first, first + 100 * ROW, ROW):
        if read_at(file, row + BACKEND, 4) == struct.pack("i", backend):
            return row
    raise AssertionError("no row with backend %d" % backend)


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
def pooled(script, server, tmp_path):
    """A program with a pool, whose status page is where `check` looks."""
    return lambda **more: script(env={"XDG_RUNTIME_DIR": str(tmp_path / "run")}, **more)


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


def test_line_of_a_script(check, shim, server, tmp_path):
    script = tmp_path / "own app.py"
    script.write_text("import psycopg2\n\nheld = psycopg2.connect('')\nprint()\ninput()\n")
    process = subprocess.Popen(
        [PYTHON, "-u", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={
            **bare_environ(), **server.env(), "LD_PRELOAD": shim,
            "XDG_RUNTIME_DIR": str(tmp_path / "run")})
    with process:
        process.stdout.readline()
        lines = list(held(check(server=server)[1]).values())
        process.communicate(b"\n")
    assert len(lines) == 1 and lines[0].endswith(", taken at %s:3" % script)


def test_whom_it_keeps_waiting(check, pooled, server):
    program = pooled()
    pid = program.connect("a")
    program.exec("a", "BEGIN", "SELECT pg_advisory_xact_lock(8)")
    waiter = subprocess.Popen(
        [os.path.join(server.bindir, "psql"), "-Xqc", "SELECT pg_advisory_xact_lock(8)"],
        env={**bare_environ(), **server.env()}, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: server.sessions("wait_event_type = 'Lock'"))
        waiting = server.sessions("wait_event_type = 'Lock'")[0]["pid"]
        line = held(check(server=server)[1])[pid]
        assert line.endswith("; keeps waiting: backend " + waiting)
    finally:
        waiter.kill()
        waiter.wait()
    program.finish("a")


def test_other_spellings_of_the_server(check, pooled, server):
    program = pooled(tcp=True)
    pid = program.connect("a")
    assert set(held(check(server=server)[1])) == {pid}
    program.finish("a")


@pytest.mark.parametrize("tcp", [False, True])
def test_other_server(check, pooled, connect, tmp_path, tcp):
    """Where by chance a backend of the same user and database has the same number: the
    directory of the socket tells them apart, or the port."""
    namesake = connect().info.backend_pid
    program = pooled(tcp=tcp)
    pid = int(program.connect("a"))
    page, = (tmp_path / "run" / "pqpool").glob("*.page")
    with open(page, "r+b") as file:
        row = page_row(file, pid)
        write_at(file, row + BACKEND, struct.pack("i", namesake))
        lines = check()[1]
        write_at(file, row + BACKEND, struct.pack("i", pid))
    assert held(lines) == {}
    assert any(re.match("Held through pqpool, but not here: [1-9]", line) for line in lines)
    program.finish("a")


def test_backend_that_ended(check, pooled, small):
    """Behind the program's back: the lease stays on the page."""
    program = pooled(server=small)
    pid = program.connect("a")
    assert set(held(check()[1])) == {pid}
    small.terminate("pid = %s" % pid)
    assert held(check()[1]) == {}
    program.finish("a")


def test_younger_backend_is_another(check, pooled, small, tmp_path):
    """A number is used again: the backend cannot have been lent before it began."""
    program = pooled(server=small)
    pid = program.connect("a")
    assert set(held(check()[1])) == {pid}
    page, = (tmp_path / "run" / "pqpool").glob("*.page")
    with open(page, "r+b") as file:
        row = page_row(file, int(pid))
        began_us, = struct.unpack("Q", read_at(file, row + BEGAN_US, 8))
        write_at(file, row + BEGAN_US, struct.pack("Q", began_us - 5 * 10**6))
        assert held(check()[1]) == {}
        write_at(file, row + BEGAN_US, struct.pack("Q", began_us))
    assert set(held(check()[1])) == {pid}
    program.finish("a")


def test_nothing_is_claimed_without_rights(check, pooled, server):
    server.sql("CREATE ROLE stranger LOGIN")
    program = pooled()
    pid = program.connect("a")
    try:
        lines = check(user="stranger", server=server)[1]
        assert held(lines) == {}
        assert any(line.startswith("Not claimed without the rights of pg_monitor: 1 lease")
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
