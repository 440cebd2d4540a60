# SPDX-License-Identifier: PostgreSQL
"""TLS that ends in the middle of a handshake, and in the middle of a record."""
import socket
import threading

import pytest

from server import wait_until

PID = "SELECT pg_backend_pid()"
LONG = "SELECT length(repeat('x', 10)), repeat('y', 5000)"


class Cutter(threading.Thread):
    """A way to a server that passes `budget` bytes of what it says on each new connection, and
    then closes both ends; all, if it is None. cut_next: the same for those that are open."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.budget, self.cuts, self.left = target, None, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.target))
            left = [self.budget]
            self.left.append(left)
            threading.Thread(target=self.pass_on, args=(client, there), daemon=True).start()
            threading.Thread(target=self.pass_back, args=(there, client, left),
                             daemon=True).start()

    @staticmethod
    def shut(*ends):
        for each in ends:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pass_on(self, client, there):
        try:
            while data := client.recv(65536):
                there.sendall(data)
        except OSError:
            pass
        self.shut(client, there)

    def pass_back(self, there, client, left):
        try:
            while data := there.recv(65536):
                if left[0] is not None:
                    data = data[:left[0]]
                    left[0] -= len(data)
                client.sendall(data)
                if left[0] == 0:
                    self.cuts += 1
                    break
        except OSError:
            pass
        self.shut(client, there)

    def cut_open(self, after):
        """Those that are open now end after so many more bytes."""
        for left in self.left:
            left[0] = after


@pytest.fixture
def cutter(tls_server):
    made = Cutter(tls_server.port)
    yield made
    Cutter.shut(made.listener)
    made.listener.close()


def pair(script, tls_server, cutter):
    env = {**tls_server.ways()["tls"], "PGPORT": cutter.port}
    return [script(server=tls_server, pooled=pooled, env=env) for pooled in (False, True)]


# The first byte agrees to TLS; then a record's head, a part of the handshake, nearly all of it.
@pytest.mark.parametrize("budget", [1, 4, 100, 600])
def test_in_a_handshake(script, tls_server, cutter, budget):
    programs = pair(script, tls_server, cutter)
    held = [s.connect("held") for s in programs]
    cutter.budget = budget
    reasons = [s.refused("new") for s in programs]
    assert wait_until(lambda: cutter.cuts >= 2), "the fault did not happen"
    assert reasons[0] == reasons[1]
    cutter.budget = None
    for s, pid in zip(programs, held):
        assert s.exec("held", PID) == pid
        s.finish("held", "new")
        pid = s.connect("new")
        assert s.exec("new", PID) == pid
        s.finish("new")
        assert s.end().stderr == ""


@pytest.mark.parametrize("after", [1, 7, 2000])
def test_in_a_record(script, tls_server, cutter, after):
    """Of an answer to a lease."""
    programs = pair(script, tls_server, cutter)
    before = [s.connect("a") for s in programs]
    cutter.cut_open(after)
    seen = []
    for s in programs:
        seen.append((s.do("exec", "a", LONG), s.state("a")["status"]))
    assert cutter.cuts == 2, "the fault did not happen"
    assert seen[0] == seen[1] and seen[0][1] == "1"
    for s, old in zip(programs, before):
        s.finish("a")
        pid = s.connect("a")
        assert pid != old and s.exec("a", PID) == pid
        s.finish("a")
        assert s.end().stderr == ""


@pytest.mark.parametrize("after", [1, 7])
def test_in_a_record_of_the_check(script, tls_server, cutter, after):
    """Of what an idle session is asked before it is lent."""
    _, s = pair(script, tls_server, cutter)
    s.lease()
    before = s.lease()
    cuts = cutter.cuts
    cutter.cut_open(after)
    pid = s.connect("a")
    assert cutter.cuts > cuts, "the fault did not happen"
    assert pid != before and s.exec("a", PID) == pid
    s.finish("a")
    assert s.lease() == pid and s.end().stderr == ""
