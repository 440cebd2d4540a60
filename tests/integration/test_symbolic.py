# SPDX-License-Identifier: PostgreSQL
"""A libpq that was linked with -Bsymbolic, or -Bsymbolic-functions as some distributions do:
it calls its own functions past us."""
import os
import socket
import struct
import threading

import pytest

from server import wait_until

DT_NULL, DT_SYMBOLIC, DT_FLAGS, DF_SYMBOLIC = 0, 16, 30, 2
DT_RELACOUNT = 0x6ffffff9
PT_DYNAMIC = 2


def dynamic_entries(image):
    """Where each entry of an ELF file's dynamic section is, its tag and its value."""
    table, size, count = struct.unpack_from("<Q", image, 32)[0], *struct.unpack_from(
        "<HH", image, 54)
    for i in range(count):
        kind, _, offset = struct.unpack_from("<IIQ", image, table + i * size)
        while kind == PT_DYNAMIC:
            tag, value = struct.unpack_from("<QQ", image, offset)
            if tag == DT_NULL:
                return
            yield offset, tag, value
            offset += 16


def make_symbolic(libpq, folder):
    """A copy of it; False if that cannot be."""
    with open(libpq, "rb") as file:
        image = bytearray(file.read())
    entries = {tag: (at, value) for at, tag, value in dynamic_entries(image)}
    if DT_FLAGS in entries:
        at, value = entries[DT_FLAGS]
        struct.pack_into("<QQ", image, at, DT_FLAGS, value | DF_SYMBOLIC)
    elif DT_RELACOUNT in entries:
        # Which the loader can do without.
        struct.pack_into("<QQ", image, entries[DT_RELACOUNT][0], DT_SYMBOLIC, 0)
    else:
        return False
    folder.mkdir()
    with open(folder / "libpq.so.5", "wb") as file:
        file.write(image)
    return True


@pytest.fixture
def symbolic(libpq, tmp_path):
    """The environment for a program that is to have such a libpq."""
    if not make_symbolic(libpq, tmp_path / "symbolic"):
        pytest.skip("this libpq has no flags to set")
    return {"LD_LIBRARY_PATH": str(tmp_path / "symbolic")}


class Slow:
    """Takes a second to let a connection through to the server."""

    def __init__(self, server):
        self.address = os.path.join(server.env()["PGHOST"], ".s.PGSQL.%s" % server.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Timer(1, self.join, [client]).start()

    def join(self, client):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.address)
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture
def settled(script, symbolic):
    """settled(env): a script whose libpq is known for what it is, after one connect."""
    def start(env=None, **options):
        s = script(env={**(env or {}), **symbolic}, **options)
        s.lease()
        with open("/proc/%d/maps" % s.process.pid) as maps:
            assert os.path.join(symbolic["LD_LIBRARY_PATH"], "libpq.so.5") in maps.read()
        return s

    return start


def test_silent_host_by_libpq_17(script, libpq_of, tmp_path):
    """For which a second is a second."""
    if not make_symbolic(os.path.join(libpq_of("17"), "libpq.so.5"), tmp_path / "symbolic"):
        pytest.skip("this libpq has no flags to set")
    env = {"LD_LIBRARY_PATH": "%s:%s" % (tmp_path / "symbolic", libpq_of("17"))}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        conninfo = "host=127.0.0.1 port=%d connect_timeout=1" % silent.getsockname()[1]
        bare, pooled = script(pooled=False, env=env), script(env=env)
        pooled.lease()
        assert pooled.events("release", reason="connect_unseen")
        bare, pooled = seconds(bare, conninfo), seconds(pooled, conninfo)
    assert pooled[1] == bare[1] and "timeout expired" in bare[1]
    assert bare[0] < 2 and pooled[0] < bare[0] + 1


def test_sessions_are_kept(settled):
    s = settled()
    assert s.events("release", reason="connect_unseen"), "it is like any other libpq"
    assert s.lease() == s.lease() == s.lease()


def test_notice_at_connect(settled, server):
    server.sql("CREATE ROLE loud LOGIN; ALTER ROLE loud SET default_tablespace = 'no_such'")
    s = settled(user="loud", database="app")
    assert s.lease() != s.lease()
    assert len(s.events("release", reason="connect_notice")) == 2
    assert s.end().stderr.count("WARNING") == 3
    assert wait_until(lambda: not server.sessions("usename = 'loud'"))
    server.sql("DROP ROLE loud")


@pytest.mark.parametrize("conninfo", ["dbname=no_such", "host=/nowhere", "port=x",
                                      "host=/nowhere,/elsewhere"])
def test_failed_connect(settled, script, conninfo):
    assert settled().refused("a", conninfo) == script(pooled=False).refused("a", conninfo)


def seconds(s, conninfo):
    """How long a connect takes, and what comes of it."""
    s.do("begin", "a", conninfo)
    return s.join("a")


@pytest.mark.parametrize("timeout", [1, 2])
def test_silent_host_is_given_up(settled, script, timeout):
    """As soon as by libpq itself, and in its words."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        conninfo = "host=127.0.0.1 port=%d connect_timeout=%d" % (
            silent.getsockname()[1], timeout)
        bare, pooled = (seconds(s, conninfo) for s in (script(pooled=False), settled()))
    assert pooled[1] == bare[1] and "timeout expired" in bare[1]
    # libpq up to 16 counts whole seconds of the clock on the wall.
    assert pooled[0] < bare[0] + 1.5


def test_silent_host_and_another(settled, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = server.env()
        conninfo = "host=127.0.0.1,%s port=%d,%s connect_timeout=2" % (
            env["PGHOST"], silent.getsockname()[1], env["PGPORT"])
        s = settled()
        s.connect("a", conninfo)
        s.finish("a")


def test_slow_host(settled, server):
    """One that answers late is seen from its beginning to its end, too."""
    server.sql("CREATE ROLE slow LOGIN")
    with Slow(server) as slow:
        s = settled(user="slow", database="app")
        conninfo = "host=127.0.0.1 port=%d sslmode=disable gssencmode=disable" % slow.port
        first = s.lease(conninfo)
        assert s.lease(conninfo) == first
        s.end()
    assert wait_until(lambda: not server.sessions("usename = 'slow'"))
    server.sql("DROP ROLE slow")


@pytest.mark.parametrize("reset", ["discard", "auto"])
def test_client_encoding(settled, reset):
    s = settled({"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": reset})
    pid = s.connect("a")
    before = s.exec("a", "SHOW client_encoding")
    s.finish("a")
    assert s.connect("a") == pid
    assert s.do("encoding", "a", "LATIN1") == "0"
    s.finish("a")
    assert s.connect("a") == pid
    assert s.exec("a", "SHOW client_encoding") == before
    s.finish("a")
