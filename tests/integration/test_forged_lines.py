# SPDX-License-Identifier: PostgreSQL
"""No name, statement or message makes a line of its own, or moves the cursor, in anything that is
written: log, report, table, figures, JSON, the keeper's log and what it shows."""
import json
import os
import re
import socket
import struct
import subprocess
import threading

import pytest

from keeper import Keeper
from running import PYTHON, read_log
from server import wait_until
from tables import SAMPLE

# The beginnings of a line of the log, of the report, of the metrics and of what the keeper shows;
# pairs; quotes and backslashes that end a value; what a terminal obeys. SHORT fits in a name.
SHORT = '\nevent=forged\x1b[2J" event=forged \\'
EVIL = ("\ntime=2001-01-01T00:00:00.000000Z level=error pid=1 tid=1 program=forged event=forged\n"
        "==1== pqpool: forged\npqpool_forged 1\nkind=forged\n\x1b[2J\x9b2J\r" + SHORT)
SEEN = "event=forged"  # in some form it must be there, or the test tries nothing
LINE = re.compile(r"(time=2001|event=forged|==1==|pqpool_forged|kind=forged)")

PROGRAM = """
import ctypes, sys, psycopg2
evil, statement = sys.argv[1:3]
sys.setrecursionlimit(1000)
ctypes.CDLL(None).prctl(15, evil[-15:].encode())
scope = {'psycopg2': psycopg2, 'held': []}
exec(compile('def take():\\n  held.append(psycopg2.connect(""))\\n', '/srv' + evil, 'exec'), scope)
scope['take'].__code__ = scope['take'].__code__.replace(co_name='take' + evil)
for i in range(2):
    try:
        scope['take']()
        scope['held'][-1].cursor().execute(statement)
    except psycopg2.Error as e:
        pass
print('ready', flush=True)
while sys.stdin.readline():
    try:
        psycopg2.connect('').close()
    except psycopg2.Error as e:
        pass
    print('ready', flush=True)
"""


def clean(text):
    """None of these lines is forged, and all of it can be printed."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        assert not LINE.match(line), text
        assert all(c >= " " and not "\x7f" <= c <= "\x9f" for c in line), repr(line)
    return text


def clean_log(events):
    for event in events:
        assert "forged" not in (event["event"], event["program"], event.get("kind")), event


class Everywhere:
    """All that is written of one program."""

    def __init__(self, run, server, tool, tmp_path):
        self.run, self.server, self.tool = run, server, tool
        self.folder, self.path = tmp_path, str(tmp_path / "log")
        self.written = {}

    def __call__(self, env=None, name="program", statement="SELECT 1", argv=None, stderr=None):
        whole = self.run._environ(True, {
            **self.server.env(), "PQPOOL_LOG": self.path, "PQPOOL_LOG_LEVEL": "debug",
            "PQPOOL_SIZE": "2", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "0", **(env or {})},
            False)
        code = ["-c", PROGRAM, EVIL, statement]
        with subprocess.Popen([name, *(argv or code)], executable=PYTHON, env=whole,
                              cwd=self.folder,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=stderr or subprocess.PIPE) as program:
            assert program.stdout.readline() == b"ready\n", program.communicate()
            program.stdin.write(b"\n")  # one more, for which there is no room
            program.stdin.flush()
            assert program.stdout.readline() == b"ready\n"
            self._look(program.pid)
            self.written["report"] = program.communicate()[1] or b""
        self._read_log()
        for text in self.written.values():
            clean(text)
        return self.written

    def _look(self, pid):
        for words in (["top", "-1"], ["top", pid], ["metrics"], ["leaks", pid], ["leaks", "--json", pid],
                      ["wait", "--timeout", "0"]):
            done = self.tool(*words, errors="surrogateescape")
            assert done.returncode in ((0, 1, 125) if words[0] == "leaks" else (0, 1)), done
            self.written["%s %d" % (words[0], len(self.written))] = done.stdout + done.stderr
            if words[0] == "metrics":
                assert all(line.startswith("#") or SAMPLE.fullmatch(line)
                           for line in done.stdout.splitlines())
            if "--json" in words and done.stdout:
                json.loads(done.stdout)

    def _read_log(self):
        if os.path.exists(self.path):
            clean_log(read_log(self.path))
            with open(self.path, "rb") as f:
                self.written["log"] = f.read()
            for words in (["leaks", self.path], ["leaks", "--json", self.path]):
                done = self.tool(*words, errors="surrogateescape")
                self.written["of log %d" % len(words)] = done.stdout + done.stderr
            json.loads(done.stdout)

    def shown_in(self, *outputs):
        for name in outputs:
            found = [text for key, text in self.written.items() if key.startswith(name)]
            assert any(SEEN in (t if isinstance(t, str) else t.decode("utf-8", "replace"))
                       for t in found), (name, found)


@pytest.fixture
def everywhere(run, server, tool, tmp_path):
    return Everywhere(run, server, tool, tmp_path)


@pytest.fixture(scope="module")
def evil_names(server):
    quoted = '"%s"' % SHORT.replace('"', '""')
    server.sql("CREATE ROLE %s LOGIN" % quoted)
    server.sql("CREATE DATABASE %s" % quoted)
    yield
    server.sql("DROP DATABASE %s" % quoted)
    server.sql("DROP ROLE %s" % quoted)


def test_of_user_and_database(everywhere, evil_names):
    everywhere({"PGUSER": SHORT, "PGDATABASE": SHORT, "PGAPPNAME": SHORT})
    everywhere.shown_in("log", "report", "top", "metrics", "leaks", "of log")


def test_of_the_program_its_script_and_thread(everywhere):
    everywhere(name="/bin/x" + SHORT)
    everywhere.shown_in("log", "report", "top", "metrics", "leaks", "of log")


@pytest.mark.parametrize("statement", [
    'SELECT x AS "%s" FROM (SELECT 1 AS x) AS y' % EVIL.replace('"', '""').replace("\0", ""),
    "SELECT/*%s*/1" % EVIL, "SELECT%s" % EVIL, EVIL], ids=["name", "comment", "garbage", "all"])
def test_of_a_statement(everywhere, statement):
    everywhere(statement=statement.replace("\x9b", ""))
    assert "SELECT" in clean(everywhere.written["report"]) or statement == EVIL


@pytest.mark.parametrize("variable", ["PGUSER", "PGDATABASE", "PGHOST", "PGSERVICE", "PGPORT",
                                      "PGSSLCERT", "PGPASSFILE", "PGOPTIONS"])
def test_of_what_the_server_refuses(everywhere, variable):
    """Its message has the name; so has libpq's."""
    everywhere({variable: EVIL + "/nobody", "PGTZ": "UTC"})


def test_of_host_names(everywhere, server):
    everywhere({"PGHOST": server.env()["PGHOST"] + "," + EVIL, "PGPORT": ""})
    everywhere({"PGHOST": EVIL + "," + server.env()["PGHOST"],
                "PGHOSTADDR": "127.0.0.1," , "PGCONNECT_TIMEOUT": "2"})


@pytest.mark.parametrize("variable", ["PING_QUERY", "ONLY", "SKIP", "ROUTE", "LOG", "SUPPRESS", "SHARE",
                                      "PROFILE", "SIZE", "LOG_LEVEL", "REPORT", "SIZ", "SIZE\nforged\x1b"])
def test_of_settings(everywhere, variable):
    everywhere({"PQPOOL_" + variable: EVIL})


def test_of_a_file_of_patterns(everywhere, tmp_path):
    path = tmp_path / "patterns"
    path.write_text("nonsense\x1b[2J event=forged\rtime=2001\nmodule\n", encoding="utf-8")
    everywhere({"PQPOOL_SUPPRESS": str(path)})


def test_of_modules_and_functions(run, program, tool, tmp_path, server):
    """A folder, a file and a symbol of such names."""
    folder = tmp_path / SHORT
    folder.mkdir()
    library = folder / ("lib%s.so" % SHORT)
    source = ('#include <libpq-fe.h>\nPGconn *get_it(void) { return PQconnectdb(""); }\n')
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    subprocess.run(["gcc", "-x", "c", "-", "-shared", "-fPIC", "-g", "-O0", "-I" + include, "-o", library,
                    "-lpq"], input=source, text=True, check=True)
    done = subprocess.run(["objcopy", "--redefine-sym", "get_it=get%s" % SHORT, library],
                          capture_output=True, check=False)
    assert done.returncode == 0, done
    code = ("import ctypes, sys; library = ctypes.CDLL(sys.argv[1])\n"
            "for name in sys.argv[2:]:\n"
            "    try: call = library[name]\n"
            "    except AttributeError: continue\n"
            "    call.restype = ctypes.c_void_p; call(); call()\n")
    result = run([PYTHON, "-c", code, str(library), "get_it", "get" + SHORT])
    assert len(result.events("leak")) == 2
    clean_log(result.log)
    assert SEEN in clean(result.stderr)
    log = os.path.join(run.folder, "pqpool-1.log")
    for words in (["leaks", log], ["leaks", "--json", log]):
        told = tool(*words, errors="surrogateescape")
        assert SEEN in clean(told.stdout + told.stderr)


# ---- a server that says such things -----------------------------------------------------------


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def error(kind=b"E", text=EVIL):
    text = text.encode("latin-1") + b"\0"
    return message(kind, b"SERROR\0VERROR\0C57P01\0M" + text + b"D" + text + b"H" + text +
                   b"c" + text + b"\0")


class HostileServer:
    """Lets everybody in who it does not refuse, and answers each query with an error."""

    def __init__(self, refuses=False, notices=False):
        self.refuses, self.notices = refuses, notices
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.queries = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, client.makefile("rb") as stream:
            while True:
                head = stream.read(4)
                if len(head) < 4:
                    return
                body = stream.read(struct.unpack("!I", head)[0] - 4)
                if body[:4] == struct.pack("!I", 196608):
                    break
                client.sendall(b"N")
            evil = EVIL.encode("latin-1") + b"\0"
            if self.refuses:
                client.sendall(error())
                return
            client.sendall(
                message(b"R", struct.pack("!I", 0)) +
                message(b"S", b"server_version\0" + b"15.1" + evil) +
                message(b"S", b"session_authorization\0" + evil) + message(b"S", evil + evil) +
                message(b"S", b"client_encoding\0SQL_ASCII\0") +
                (error(b"N") if self.notices else b"") +
                message(b"K", struct.pack("!II", 1, 2)) + message(b"Z", b"I"))
            while kind := stream.read(1):
                body = stream.read(struct.unpack("!I", stream.read(4))[0] - 4)
                self.queries.append((kind, body))
                if kind in b"QS":
                    client.sendall(error() + message(b"Z", b"I"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.mark.parametrize("how", [{}, {"refuses": True}, {"notices": True}], ids=str)
@pytest.mark.parametrize("settings", [{}, {"PQPOOL_PING_QUERY": "SELECT 1"}], ids=str)
def test_of_the_server(everywhere, how, settings):
    with HostileServer(**how) as hostile:
        code = ("import ctypes; pq = ctypes.CDLL('libpq.so.5'); pq.PQconnectdb.restype = ctypes.c_void_p\n"
                "pq.PQexec.restype = ctypes.c_void_p\n"
                "for i in range(4):\n"
                "    c = ctypes.c_void_p(pq.PQconnectdb(b'sslmode=disable'))\n"
                "    pq.PQexec(c, b'SELECT 1'); pq.PQfinish(c)\n"
                "c = ctypes.c_void_p(pq.PQconnectdb(b'sslmode=disable')); pq.PQexec(c, b'SELECT 2')\n"
                "print('ready', flush=True); input(); print('ready', flush=True)\n"
                "import sys; sys.stdin.read()\n")
        everywhere({"PGHOST": "127.0.0.1", "PGPORT": str(hostile.port), **settings}, argv=["-c", code],
                   stderr=subprocess.DEVNULL if how.get("notices") else None)  # libpq prints them
        assert how.get("refuses") or hostile.queries
        if how:
            everywhere.shown_in("log")


# ---- the keeper ----------------------------------------------------------------------------------


def test_of_the_keeper(everywhere, evil_names, keep, tool):
    keeper = keep()
    everywhere({"PGUSER": SHORT, "PGDATABASE": SHORT, "PQPOOL_SHARE": keeper.path,
                "PQPOOL_LOG": "stderr"}, name="/bin/x" + EVIL)
    with open(keeper.log, "rb") as f:
        log = f.read()
    clean_log(read_log(keeper.log))
    for text in (log.decode(), keeper.say("show").stdout):
        assert SEEN in clean(text)
    assert all(line.startswith("kind=") for line in keeper.say("show").stdout.splitlines())
    for words in (["drain", SHORT + "@"], ["set", SHORT], [SHORT], ["set", "size=" + EVIL]):
        done = keeper.say(*words, check=False)
        clean(done.stdout + done.stderr)
    clean_log(read_log(keeper.log))
