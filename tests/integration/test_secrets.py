# SPDX-License-Identifier: PostgreSQL
"""No password and no literal of a statement is in anything that is written or shown, whatever a
program does and however it ends; nor in memory that is the library's alone."""
import contextlib
import os
import stat
import struct
import subprocess
import tempfile

import pytest

from running import PYTHON, kill_group
from server import Server, wait_until

# Marked, as no other text would have it; each time another one.
SECRET = "planted%sword" % os.urandom(6).hex()
NUMBER = str(10**17 + int.from_bytes(os.urandom(6), "big"))  # a literal without quotes
PLANTED = (SECRET, NUMBER)

# Whatever is said of what the program does is written: the log at debug, the whole report, holders,
# long holds.
LOUD = {"PQPOOL_LOG_LEVEL": "debug", "PQPOOL_REPORT": "all", "PQPOOL_LONG_HOLD": "1ms",
        "PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "1", "PQPOOL_TIMEOUT": "0"}


class Told:
    """All that there is to be read of a program, while it runs and after it."""

    def __init__(self, folder, tool):
        self.folder, self.tool = folder, tool
        self.texts = {}

    def look(self, pid):
        for words in (["top", "-1"], ["metrics"], ["leaks", pid], ["leaks", "--json", pid],
                      ["wait", "--timeout", "0"]):
            done = self.tool(*words)
            self.texts[" ".join(map(str, words))] = (done.stdout + done.stderr).encode()
        self.files()

    def files(self):
        for where, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(where, name)
                if stat.S_ISREG(os.stat(path).st_mode):
                    with open(path, "rb") as f:
                        self.texts[path] = f.read()

    def holds_none(self, said=b""):
        self.files()
        for name, text in {**self.texts, "stderr": said}.items():
            for secret in PLANTED:
                assert secret.encode() not in text, (name, text[:20000])

    def holds(self, text):
        return any(text in told for told in self.texts.values())


@pytest.fixture
def told(run, tool):
    return Told(run.folder, tool)


# ---- passwords ---------------------------------------------------------------------------------


@pytest.fixture
def password(server):
    """It is the one of app for the length of a test."""
    server.sql("ALTER ROLE app PASSWORD '%s'" % SECRET)
    yield
    server.sql("ALTER ROLE app PASSWORD '%s'" % server.password)


def private(path, text):
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    return str(path)


def ways(server, tmp_path):
    """How a password is given: the environment, the connection string."""
    port = server.port
    return {
        "conninfo": ({}, "password=" + SECRET),
        "PGPASSWORD": ({"PGPASSWORD": SECRET}, ""),
        "passfile": ({"PGPASSFILE": private(tmp_path / "pgpass", "*:*:*:*:%s\n" % SECRET)}, ""),
        "service": ({"PGSERVICEFILE": private(tmp_path / "services",
                                              "[planted]\npassword=%s\n" % SECRET)}, "service=planted"),
        "uri": ({}, "postgresql://app:%s@127.0.0.1:%d/app" % (SECRET, port)),
        "uri's options": ({}, "postgresql://127.0.0.1:%d/app?user=app&password=%s" % (port, SECRET)),
        "sslpassword": ({"PGPASSWORD": SECRET}, "sslpassword=%s sslmode=disable" % SECRET),
        # Which libpq or the server refuses, with the text in its message.
        "wrong": ({}, "password=x%s" % SECRET),
        "no option": ({}, "passwort=" + SECRET),
        "no equals sign": ({}, "password " + SECRET),
        "no end": ({}, "password='" + SECRET),
        "no uri": ({}, "postgresql://app:%s@[127.0.0.1/app" % SECRET),
        "no escape": ({}, "postgresql://app:%%zz%s@127.0.0.1/app" % SECRET),
        "no port": ({}, "postgresql://app:%s@127.0.0.1:x/app" % SECRET),
        "a service without": ({"PGSERVICEFILE": private(tmp_path / "broken",
                                                        "[planted]\npassword %s\n" % SECRET)},
                              "service=planted"),
        "nowhere": ({"PGPASSWORD": SECRET}, "host=127.0.0.1 port=1"),
        "as a database": ({"PGPASSWORD": SECRET}, "dbname=postgresql://app:%s@x/app" % SECRET),
    }


WAYS = ["conninfo", "PGPASSWORD", "passfile", "service", "uri", "uri's options", "sslpassword", "wrong",
        "no option", "no equals sign", "no end", "no uri", "no escape", "no port", "a service without",
        "nowhere", "as a database"]


def own_ranges(pid):
    """Where the process's memory is the library's alone: its variables, and the status page."""
    with open("/proc/%d/maps" % pid, encoding="ascii") as maps:
        behind = 0  # the end of what is the library's file
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            of_file = "libpqpool.so" in line or ".page" in line
            if of_file or (begin == behind and len(line.split()) == 5):
                behind = end
                if "w" in line.split()[1]:
                    yield begin, end


def own_memory(pid):
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for begin, end in own_ranges(pid):
            mem.seek(begin)
            yield mem.read(end - begin)


@pytest.mark.parametrize("way", WAYS)
def test_password(script, told, password, server, tmp_path, way):
    env, conninfo = ways(server, tmp_path)[way]
    s = script(tcp=True, env={"PGPASSWORD": None, **LOUD, **env})
    good = s.do("connect", "a", conninfo).isdigit()
    assert good is (WAYS.index(way) <= WAYS.index("sslpassword"))
    for name in ("b", "c"):  # the second one is refused for want of room
        s.do("connect", name, conninfo)
    told.look(s.process.pid)
    s.do("finish", "b")
    s.do("connect", "b", conninfo)
    own = list(own_memory(s.process.pid))
    assert len(own) >= 2 and any(b"PQconnectdb" in piece or b"script" in piece for piece in own)
    assert not any(SECRET.encode() in piece for piece in own)
    said = s.end()
    told.holds_none(said.stderr.encode())
    assert not good or told.holds(b"app@127.0.0.1")


def core_of(pid, folder):
    """A core with all memory, also what a kernel leaves out by default: the status page."""
    with open("/proc/%d/coredump_filter" % pid, "w", encoding="ascii") as which:
        which.write("0x7f")
    subprocess.run(["gcore", "-o", folder / "core", str(pid)], capture_output=True, check=True)
    return (folder / ("core.%d" % pid)).read_bytes()


def core_pieces(core, ranges):
    """What a core has of ranges of memory."""
    at, = struct.unpack_from("<Q", core, 32)
    size, count = struct.unpack_from("<HH", core, 54)
    for i in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", core, at + i * size)
        for begin, end in ranges:
            low, high = max(begin, address), min(end, address + length)
            if kind == 1 and low < high:  # PT_LOAD
                yield core[offset + low - address:offset + high - address]


@pytest.mark.parametrize("way", ["conninfo", "PGPASSWORD", "passfile", "uri"])
def test_core(script, password, server, tmp_path, way):
    """Of the library's own there is nothing in it. In the heap, libpq has both, and so has pqpool: the
    parameters of the pool, and while a lease lasts the beginning of its last statement."""
    env, conninfo = ways(server, tmp_path)[way]
    statement = "SELECT '%s'" % SECRET
    cores, finished = {}, {}
    for pooled in (False, True):
        s = script(tcp=True, pooled=pooled, env={"PGPASSWORD": None, **(LOUD if pooled else {}), **env})
        s.connect("a", conninfo)
        s.exec("a", statement)
        cores[pooled] = core_of(s.process.pid, tmp_path)
        ranges = list(own_ranges(s.process.pid))
        s.finish("a")
        finished[pooled] = core_of(s.process.pid, tmp_path).count(statement.encode())
        s.end()
    own = list(core_pieces(cores[True], ranges))
    assert sum(map(len, own)) == sum(end - begin for begin, end in ranges)
    assert any(b"SELECT ..." in piece for piece in own)  # the page's row
    assert not any(SECRET.encode() in piece for piece in own)
    there = {pooled: core.count(statement.encode()) for pooled, core in cores.items()}
    assert 0 < there[False] and there[True] <= there[False] + 1
    assert finished[True] <= finished[False], finished


@pytest.mark.parametrize("end", ["kill", "abort"])
@pytest.mark.parametrize("way", ["conninfo", "PGPASSWORD", "uri"])
def test_password_of_one_that_dies(script, told, password, server, tmp_path, way, end):
    env, conninfo = ways(server, tmp_path)[way]
    s = script(tcp=True, env={"PGPASSWORD": None, **LOUD, **env})
    s.connect("a", conninfo)
    s.exec("a", "SELECT '%s', %s" % PLANTED)
    s.process.send_signal(9 if end == "kill" else 6)
    s.process.wait()
    told.look(s.process.pid)
    assert told.holds(b"SELECT ...")
    told.holds_none(s.process.stderr.read().encode())
    kill_group(s.process)


# ---- literals -----------------------------------------------------------------------------------

STATEMENTS = [
    "SELECT '{s}', {n}", "SELECT E'{s}\\n'", "SELECT $${s}$$", "SELECT $t${s}$t$", "SELECT U&'{s}'",
    "SELECT/*{s}*/1", "SELECT 1 -- {s}", "SELECT n'{s}'", "SELECT x'{s}'", "SELECT -{n}", "SELECT .{n}",
    "SELECT 1 WHERE 1={n}", "SELECT 'a''{s}'", "SELECT '{s}", "SELECT $${s}", "SELECT /*{s}",
    "SELECT E'\\'{s}'", "SELECT'{s}'", "'{s}'", "{n}",
    "ALTER ROLE app PASSWORD '{s}'", "CREATE ROLE planted PASSWORD'{s}'", "ALTER USER app WITH PASSWORD $${s}$$",
    "CREATE USER MAPPING FOR app SERVER nowhere OPTIONS (password '{s}')",
    "CREATE SUBSCRIPTION planted CONNECTION 'password={s}' PUBLICATION p WITH (connect = false)",
    "SET application_name TO {s}", "SET application_name = {s}", "SET LOCAL application_name = '{s}'",
    "SET app.token={s}", "SET SESSION app.token TO {s}",
    "SET app.token TO 'x', {s}", "ALTER ROLE app SET app.token TO {s}",
    "ALTER DATABASE app SET app.token = {s}", "ALTER SYSTEM SET application_name = {s}",
    "SELECT set_config('app.token', '{s}', false)", "DO $$ BEGIN PERFORM '{s}'; END $$",
    "PREPARE planted AS SELECT '{s}'", "EXECUTE planted({n})", "DECLARE c CURSOR FOR SELECT '{s}'",
    "NOTIFY planted, '{s}'", "COMMENT ON ROLE app IS '{s}'", "SECURITY LABEL ON ROLE app IS '{s}'",
    "PREPARE TRANSACTION '{s}'", "COMMIT PREPARED '{s}'", "COPY (SELECT '{s}') TO STDOUT",
    "COPY t FROM PROGRAM 'x {s}'", "INSERT INTO t VALUES ('{s}')", "UPDATE t SET a = '{s}'",
    "SELECT 1; SELECT '{s}'", "SELECT JSON '{s}'", "SELECT interval '1' day + interval '{s}'",
    "SELECT b'1'::text || '{s}'", "BEGIN; SET app.token = {s}", "begin;set local x.y={s}",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS '{s}'", "EXPLAIN SELECT '{s}'",
    "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (password '{s}')",
    "ALTER SERVER s OPTIONS (SET password '{s}')", "SELECT dblink_connect('password={s}')",
]


@pytest.fixture(scope="module")
def changed_server():
    """Some of the statements change what a session begins with."""
    with Server() as server:
        yield server


@pytest.mark.parametrize("how", ["exec", "extended", "prepare"])
def test_literals(script, told, changed_server, how):
    """In every kind of statement, also those that the server refuses."""
    s = script(env=LOUD, server=changed_server)
    for statement in STATEMENTS:
        s.connect("a")
        s.connect("b")
        text = statement.format(s=SECRET, n=NUMBER)
        s.do(how, "a", *(["p"] if how == "prepare" else []), text)
        s.do("connect", "c")  # for which there is no room
        told.files()  # the page, too
        s.finish("a")
        told.holds_none()
        s.finish("b")
    for name in "ab":
        s.connect(name)
        s.do("exec", name, "SELECT '%s'" % SECRET)
    told.look(s.process.pid)
    told.holds_none(s.end().stderr.encode())
    assert told.holds(b"holder") and told.holds(b"leak")


PROGRAM = """
import ctypes, io, psycopg2, sys
secret = sys.argv[1]
held = psycopg2.connect("")
cursor = held.cursor()
cursor.execute("CREATE TEMPORARY TABLE t (a text)")
cursor.copy_expert("COPY t FROM STDIN", io.StringIO((secret + "\\n") * 3))
cursor.execute("SELECT %s", (secret,))
pq = ctypes.CDLL("libpq.so.5")
for name in ("PQconnectdb", "PQexecParams", "PQexec"):
    getattr(pq, name).restype = ctypes.c_void_p
conn = ctypes.c_void_p(pq.PQconnectdb(b""))
values = (ctypes.c_char_p * 1)(secret.encode())
for statement in (b"SELECT $1", b"SELECT $1 FROM nowhere", b"SELECT $1::int"):
    pq.PQexecParams(conn, statement, 1, None, values, None, None, 0)
pq.PQprepare.restype = pq.PQexecPrepared.restype = ctypes.c_void_p
pq.PQprepare(conn, b"p", b"SELECT $1::text", 0, None)
pq.PQexecPrepared(conn, b"p", 1, values, None, None, 0)
pq.PQexec(conn, b"COPY (SELECT 1) TO STDOUT")
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2] == "raise":
    raise SystemExit(1)
"""


@pytest.mark.parametrize("end", ["exit", "raise", "kill"])
def test_parameters_and_copied_data(run, told, server, end):
    env = run._environ(True, {**server.env(), **LOUD, "PQPOOL_LOG": run.folder + "/log"}, False)
    with subprocess.Popen([PYTHON, "-c", PROGRAM, SECRET, end], env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout.readline() == b"ready\n"
        told.look(program.pid)
        if end == "kill":
            program.kill()
        said = program.communicate(b"\n" if end != "kill" else None)[1]
    told.look(program.pid)
    told.holds_none(said)


def test_literals_and_the_keeper(script, told, keep, tmp_path):
    """What a program that shares says of itself to all, and what a core of the keeper would tell."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    s = script(env={**LOUD, "PQPOOL_SHARE": keeper.path})
    s.connect("a")
    s.exec("a", "SELECT '%s', %s" % PLANTED)
    s.do("connect", "b")
    for words in (["show"], ["drain", "all"]):
        told.texts["keep " + words[0]] = keeper.say(*words).stdout.encode()
    with open(keeper.log, "rb") as f:
        told.texts["keeper's log"] = f.read()
    told.texts["keeper's core"] = core_of(keeper.process.pid, tmp_path)
    told.look(s.process.pid)
    assert told.holds(b"kind=session") and b"app@" in told.texts["keeper's core"]
    told.holds_none(s.end().stderr.encode())


# ---- files: whose, and who may read them ----------------------------------------------------------


def test_files_are_the_users_alone(script, tool, tmp_path, memory):
    """Also with a umask that would open them to everybody."""
    open_to_all = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    log = tmp_path / "log"
    os.chmod(memory, 0o755)
    s = script(before=open_to_all,
               env={"PQPOOL_LOG": str(log), "PQPOOL_LOG_LEVEL": "debug", "PQPOOL_LOG_MAX_SIZE": "4kB",
                    "XDG_RUNTIME_DIR": str(memory)})
    for _ in range(40):
        s.lease()
    files = [*tmp_path.iterdir(), *(memory / "pqpool").iterdir()]
    assert {path.suffix for path in files} >= {"", ".1", ".page"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((memory / "pqpool").stat().st_mode) == 0o700


def test_keepers_files_are_the_users_alone(script, tool, memory):
    memory.chmod(0o700)
    path = str(memory / "keeper.socket")
    done = tool("run", "--share", path, "--", "true", before=["sh", "-c", 'umask 0; exec "$@"', "sh"],
                env={"PQPOOL_LOG": str(memory / "log"), "PQPOOL_LOG_LEVEL": "debug"})
    assert done.returncode == 0, done
    s = script(env={"PQPOOL_SHARE": path})
    s.lease()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in memory.iterdir() if p.is_file()}
    assert "log" in modes and len(modes) >= 2 and set(modes.values()) == {0o600}
    s.end()
    assert wait_until(lambda: tool("keep", "-s", path, "drain", "all").returncode == 0)
    pid = int(tool("keep", "-s", path, "show").stdout.split("pid=")[1].split()[0])
    os.kill(pid, 15)
    assert wait_until(lambda: not os.path.exists(path))


# ---- secure execution -------------------------------------------------------------------------------

LINKED = """
#include <libpq-fe.h>
#include <stdio.h>
int main(void)
{
    for (int i = 0; i < 3; i++) {
        PGconn *conn = PQconnectdb("");
        printf("%d ", PQstatus(conn));
        if (i < 2)
            PQfinish(conn);
    }
    return 0;
}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a setuid program")
@pytest.mark.parametrize("mode", [0o755, 0o4755, 0o2755])
def test_secure_execution(compiled, server, shim, mode):
    """A library that is part of a setuid program, so that the loader does not keep it out: it does
    nothing, and whoever starts the program has it write nowhere."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    with tempfile.TemporaryDirectory(prefix="pqpool-secure-", dir="/tmp") as folder:
        os.chmod(folder, 0o1777)
        program = os.path.join(folder, "program")
        compiled(LINKED, "-I" + include, "-Wl,--no-as-needed", shim, "-lpq",
                 "-Wl,-rpath," + os.path.dirname(os.path.abspath(shim)), name=program)
        os.chown(program, 1, 1)
        os.chmod(program, mode)
        log = os.path.join(folder, "log")
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program],
            env={**server.env(tcp=True), "PQPOOL_LOG": log, "PQPOOL_LOG_LEVEL": "debug",
                 "PQPOOL_LEAK_EXITCODE": "9", "XDG_RUNTIME_DIR": folder},
            capture_output=True, text=True, check=False)
        assert done.stdout == "0 0 0 ", done
        if mode == 0o755:
            assert done.returncode == 9 and os.path.exists(log) and "leaked" in done.stderr
        else:
            assert (done.returncode, done.stderr) == (0, "") and os.listdir(folder) == ["program"]
    with contextlib.suppress(OSError):
        os.rmdir("/dev/shm/pqpool-65534")
