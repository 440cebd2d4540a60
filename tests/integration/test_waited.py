# SPDX-License-Identifier: PostgreSQL
"""What changes between the call of a connect and the moment its session is opened: what the
options say is said for good, and the rest keeps a session out of the pool."""
import os
import pwd
import socket
import threading

import pytest

from server import wait_until

ONE = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}

# Which the options of the session say: as they were when the program called.
OPTIONS = [
    ("PGUSER", "app", "postgres", "SELECT session_user"),
    ("PGAPPNAME", "one", "other", "SHOW application_name"),
    ("PGOPTIONS", "-c work_mem=111kB", "-c work_mem=222kB", "SHOW work_mem"),
    ("PGCLIENTENCODING", "UTF8", "LATIN1", "SHOW client_encoding"),
    ("PGDATABASE", "app", "postgres", "SELECT current_database()"),
]
# Which libpq sends beside them: as they are when it does.
SENT = [
    ("PGTZ", "Asia/Kathmandu", "Asia/Tehran", "SHOW TimeZone"),
    ("PGDATESTYLE", "German", "SQL", "SHOW DateStyle"),
    ("PGGEQO", "on", "off", "SHOW geqo"),
]


def setenv(s, name, value):
    s.do("setenv", "-", "%s\t%s" % (name, value))


@pytest.fixture
def waiting(script, server):
    """waiting(env): a program whose b waits for the session that a has, which is dead."""
    def start(env=None, **more):
        s = script(env={**ONE, **(env or {})}, **more)
        pid = s.connect("a")
        s.do("begin", "b")
        s.await_events("wait", 1)
        server.sql("SELECT pg_terminate_backend(%s)" % pid)
        assert wait_until(lambda: not server.sessions("pid = " + pid))
        return s

    return start


def asked(s, name, question):
    """Connects and asks; what it is."""
    s.connect(name)
    answer = s.exec(name, question)
    s.finish(name)
    return answer


@pytest.mark.parametrize("name, one, other, question", OPTIONS + SENT)
def test_variable(waiting, name, one, other, question):
    s = waiting({name: one})
    setenv(s, name, other)
    s.finish("a")
    assert s.join("b")[1].isdigit()
    opened = s.exec("b", question)
    pid = s.exec("b", "SELECT pg_backend_pid()")
    s.finish("b")
    setenv(s, name, one)
    first = asked(s, "c", question)
    setenv(s, name, other)
    second = asked(s, "d", question)
    assert first != second
    if (name, one, other, question) in OPTIONS:
        assert opened == first
    # Nobody else is lent one that was opened with another's.
    lent = [e for e in s.events("acquire") if e["backend"] == pid]
    assert len(lent) == (2 if opened == first else 1)
    assert bool(s.events("session_close", reason="outdated")) == (opened != first)


@pytest.mark.parametrize("name, one, other, question", SENT)
@pytest.mark.parametrize("full", [True, False])
def test_variable_in_steps(stepwise, name, one, other, question, full):
    """libpq itself reads these while it connects."""
    s = stepwise({**ONE, name: one})
    if full:
        s.connect("a")
    s.start("b")
    s.do("variable", "%s=%s" % (name, other))
    if full:
        assert s.step("b") == "READING"
        s.finish("a")
    assert s.do("drive", "b").strip() == "b OK"
    opened = s.do("exec", "b", question)
    s.finish("b")
    s.do("variable", "%s=%s" % (name, one))
    s.connect("c")
    first = s.do("exec", "c", question)
    s.finish("c")
    assert first != opened
    assert s.events("release", reason="outdated")


@pytest.mark.parametrize("name, one, other, question", SENT[:1])
def test_dead_session_in_steps(stepwise, server, name, one, other, question):
    """Opened anew under the PGconn of one that was found to be dead."""
    s = stepwise({**ONE, name: one})
    pid = s.connect("a")
    s.finish("a")
    server.sql("SELECT pg_terminate_backend(%s)" % pid)
    assert wait_until(lambda: not server.sessions("pid = " + pid))
    s.start("b")
    s.do("variable", "%s=%s" % (name, other))
    assert s.do("drive", "b").strip() == "b OK"
    opened = s.do("exec", "b", question)
    s.finish("b")
    s.do("variable", "%s=%s" % (name, one))
    s.connect("c")
    assert s.do("exec", "c", question) != opened
    s.finish("c")
    assert len(s.events("session_open")) == 3


def test_user(waiting, server):
    """Another's effective user by then: the server asks the kernel, and the pool is that of
    the one who called."""
    if os.geteuid() != 0:
        pytest.skip("takes root")
    s = waiting({"PGSSLMODE": "disable", "KRB5CCNAME": "MEMORY:"}, tcp=True)
    assert s.do("seteuid", "-", pwd.getpwnam("nobody").pw_uid) == "0"
    s.finish("a")
    pid = s.join("b")[1]
    assert pid.isdigit()
    s.finish("b")
    assert s.do("seteuid", "-", 0) == "0"
    assert s.lease() != pid
    assert len(s.events("session_close", reason="outdated")) == 1


def test_password_file(waiting, server, tmp_path):
    path = tmp_path / "passwords"
    path.write_text("*:*:*:*:%s\n" % server.password)
    path.chmod(0o600)
    s = waiting({"PGPASSFILE": str(path), "PGPASSWORD": None}, tcp=True)
    path.write_text("*:*:*:*:%s\n# and more\n" % server.password)
    s.finish("a")
    pid = s.join("b")[1]
    assert pid.isdigit()
    s.finish("b")
    assert s.lease() != pid
    assert s.events("session_close", reason="outdated")


def test_folder(waiting, server, tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "passwords"
        path.write_text("*:*:*:*:%s\n" % server.password)
        path.chmod(0o600)
    s = waiting({"PGPASSFILE": "passwords", "PGPASSWORD": None}, tcp=True,
                before=["env", "-C", str(tmp_path / "here")])
    assert s.do("chdir", "-", tmp_path / "there") == "0"
    s.finish("a")
    pid = s.join("b")[1]
    s.finish("b")
    assert s.do("chdir", "-", tmp_path / "here") == "0"
    assert s.lease() != pid
    assert s.events("session_close", reason="outdated")


@pytest.mark.parametrize("name, one, other, question", OPTIONS[:2] + SENT[:1])
def test_refused_and_reset(script, name, one, other, question):
    """PQreset of one that was refused: with the options of its own call."""
    s = script(env={**ONE, "PQPOOL_TIMEOUT": "300ms", name: one})
    first = s.connect("a")
    value = s.exec("a", question)
    s.do("begin", "b")
    assert s.join("b")[1].startswith("BAD ")
    setenv(s, name, other)
    s.finish("a")
    s.do("reset", "b")
    opened = s.exec("b", question)
    s.finish("b")
    setenv(s, name, one)
    assert asked(s, "c", question) == value
    assert first and (opened == value) == ((name, one, other, question) in OPTIONS)


class Gate:
    """A way to the server by TCP that lets nobody through until it is opened. Who comes asks for
    TLS first and has to wait for the answer."""

    def __init__(self, server):
        self.address = os.path.join(server.env()["PGHOST"], ".s.PGSQL.%s" % server.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": self.listener.getsockname()[1],
                    "PGSSLMODE": "prefer", "PGGSSENCMODE": "disable"}
        self.asked = 0
        self.is_open = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def join(self, client):
        question = client.recv(8, socket.MSG_WAITALL)
        self.asked += 1
        self.is_open.wait()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.address)
        server.sendall(question)
        threading.Thread(target=self.copy, args=(server, client), daemon=True).start()
        self.copy(client, server)

    @staticmethod
    def copy(source, sink):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name, one, other, question", SENT)
def test_prewarmed_meanwhile(script, server, name, one, other, question):
    """The sessions that wait for their server when it changes are lent to nobody."""
    gate = Gate(server)
    s = script(env={"PQPOOL_SIZE": "3", "PQPOOL_PREWARM": "3", **gate.env, name: one})
    s.do("begin", "a")
    assert wait_until(lambda: gate.asked == 3)
    setenv(s, name, other)
    gate.is_open.set()
    assert s.join("a")[1].isdigit()
    opened = s.exec("a", question)
    s.finish("a")
    setenv(s, name, one)
    for each in "bcd":
        s.connect(each)
    assert opened not in {s.exec(each, question) for each in "bcd"}
    s.finish(*"bcd")
    assert len(s.events("session_close", reason="outdated")) == 4
    s.end()


def test_prewarmed(script, server):
    """As many as are opened at once, each is as it was asked for."""
    s = script(env={"PQPOOL_SIZE": "3", "PQPOOL_PREWARM": "3", "PGAPPNAME": "one"})
    s.connect("a")
    assert wait_until(lambda: len(server.sessions("application_name = 'one'")) == 3)
    setenv(s, "PGAPPNAME", "other")
    s.connect("b")
    assert s.exec("b", "SHOW application_name") == "other"
    s.finish("a", "b")
