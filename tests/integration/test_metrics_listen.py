# SPDX-License-Identifier: PostgreSQL
"""pqpool metrics --listen: what a monitoring system gets over HTTP, and what all others do."""
import http.client
import os
import re
import signal
import socket
import subprocess

import pytest

import pages
from conftest import built
from openmetrics import families
from server import bare_environ, wait_until
from tables import samples

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
# As Prometheus 2.42 asks.
PROMETHEUS = OPENMETRICS + (",application/openmetrics-text;version=0.0.1;q=0.75,"
                            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


class Listening:
    """A running pqpool metrics --listen."""

    def __init__(self, folder, address):
        self.process = subprocess.Popen(
            [built("pqpool"), "metrics", "--listen", address], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**bare_environ(), "XDG_RUNTIME_DIR": folder})
        self.url = self.process.stdout.readline().strip()
        host, port = re.fullmatch(r"http://(.*):(\d+)/metrics", self.url).groups()
        self.address = host.strip("[]"), int(port)

    def connect(self):
        return socket.create_connection(self.address, timeout=30)

    def ask(self, method="GET", path="/metrics", **headers):
        """(the response, its body)"""
        client = http.client.HTTPConnection(*self.address, timeout=30)
        client.request(method, path, headers=headers)
        response = client.getresponse()
        return response, response.read().decode()

    def say(self, *pieces):
        """The answer to raw bytes, whole."""
        with self.connect() as s:
            for piece in pieces:
                s.sendall(piece)
            return b"".join(iter(lambda: s.recv(65536), b""))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture
def listening(run):
    started = []

    def start(address="127.0.0.1:0"):
        started.append(Listening(run.folder, address))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            assert each.end() == (0, "")


def test_a_scrape(script, listening):
    program = script()
    program.lease("application_name=one")
    program.connect("a", "application_name=one")
    response, body = listening().ask(Accept=PROMETHEUS)
    assert response.status == 200
    assert response.headers["Content-Type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert int(response.headers["Content-Length"]) == len(body.encode())
    found = families(body)

    def own(family):
        return [s for s in found[family].samples if s.labels["pid"] == str(program.process.pid)]

    leases = found["pqpool_leases"]
    assert (leases.type, leases.unit) == ("counter", "")
    assert [(s.name, s.value) for s in own("pqpool_leases")] == [("pqpool_leases_total", 2)]
    assert found["pqpool_lease_seconds"].unit == "seconds"
    holds = found["pqpool_hold_duration_seconds"]
    assert holds.type == "histogram"
    buckets = [(float(s.labels["le"]), s.value) for s in own(holds.name) if s.name.endswith("_bucket")]
    assert len(buckets) == 12 and buckets[-1] == (float("inf"), 1)
    assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
    assert buckets[2][0] == 0.001 and buckets[7][0] == 1.024


@pytest.mark.parametrize("accept, is_open", [
    (None, False), (PROMETHEUS, True), (OPENMETRICS, True), ("*/*", False), ("text/plain", False),
    (OPENMETRICS + ";q=0.4,text/plain;q=0.5", False), (OPENMETRICS + ";q=0,*/*;q=0.1", False),
    ("application/openmetrics-text", True), ("application/openmetrics-text;version=2.0.0", False),
    ('text/html, Application/OpenMetrics-Text ; Version="1.0.0" ; q=0.9', True)])
def test_the_format_is_chosen(listening, accept, is_open):
    headers = {"Accept": accept} if accept else {}
    response, body = listening().ask(**headers)
    assert response.headers["Content-Type"].startswith(
        "application/openmetrics-text" if is_open else "text/plain; version=0.0.4")
    assert ("# TYPE pqpool_leases counter\n" in body) == is_open
    assert ("# TYPE pqpool_leases_total counter\n" in body) != is_open


def test_the_same_as_without(script, listening, tool):
    program = script()
    program.lease()

    def own(text):
        return samples(text)[str(program.process.pid)]

    assert own(listening().ask()[1]) == own(tool("metrics").stdout)


def test_nothing_but_the_metrics(listening):
    one = listening()
    head, body = one.ask("HEAD")
    assert head.status == 200 and not body and int(head.headers["Content-Length"]) > 100
    assert one.ask(path="/metrics?a=b")[0].status == 200
    for path in ("/", "/metrics/", "/Metrics", "//metrics", "/metrics/../metrics", "*"):
        assert one.ask(path=path)[0].status == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        response, _ = one.ask(method)
        assert response.status == 405 and response.headers["Allow"] == "GET, HEAD"


HOST = b"Host: a\r\n"


@pytest.mark.parametrize("status, request_bytes", [
    (200, b"GET /metrics HTTP/1.0\r\n\r\n"),
    (200, b"GET http://elsewhere/metrics HTTP/1.1\r\n" + HOST + b"\r\n"),
    (200, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\nGET /metrics HTTP/1.1\r\n\r\n"),
    (400, b"\r\n\r\n"), (400, b"GET /metrics\r\n\r\n"), (400, b"GET  /metrics HTTP/1.1\r\n\r\n"),
    (400, b"GET /metrics HTTP/1.1\n" + HOST + b"\r\n"), (400, b"GET /metrics HTTP/1.1\r\n\r\n"),
    (400, b"GET /metrics HTTP/1.1\r\n" + 2 * HOST + b"\r\n"),
    (400, b"GET /metrics HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n"),
    (400, b"GET /metrics HTTP/1.1\r\n" + HOST + b"a\x00: b\r\n\r\n"),
    (400, b"GET /metrics HTTP/1.1\r\n" + HOST + b"a: b\rc\r\n\r\n"),
    (400, b"GET /metrics HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"),
    (400, b"GET /metrics HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (431, b"GET /metrics HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 3000),
    (505, b"GET /metrics HTTP/2.0\r\n" + HOST + b"\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n")])
def test_requests_by_the_byte(listening, status, request_bytes):
    answer = listening().say(request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1 and b"\r\nConnection: close\r\n" in answer


def test_a_request_that_comes_in_pieces(listening):
    whole = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = listening().say(*(whole[i:i + 1] for i in range(len(whole))))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_who_says_nothing_holds_up_nobody(listening):
    """Fifteen of sixteen places: they have five seconds, and all others go on meanwhile."""
    one = listening()
    silent = [one.connect() for _ in range(15)]
    silent[0].sendall(b"GET /metrics")
    for _ in range(20):
        assert one.ask()[0].status == 200
    for s in silent:
        assert s.recv(1) == b""  # its time is up
        s.close()
    assert one.ask()[0].status == 200


def test_more_than_are_served_at_once_wait(listening):
    one = listening()
    waiting = [one.connect() for _ in range(40)]
    for s in reversed(waiting):
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    for s in waiting:
        assert b"".join(iter(lambda s=s: s.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")
        s.close()


def test_who_goes_away(listening):
    one = listening()
    for _ in range(50):
        with one.connect() as s:
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert one.ask()[0].status == 200


def test_no_descriptor_left(listening):
    """What is left to do waits until there is one again."""
    one = listening()
    before = len(os.listdir("/proc/%d/fd" % one.process.pid))
    subprocess.run(["prlimit", "--pid", str(one.process.pid), "--nofile=18:"], check=True)
    silent = [one.connect() for _ in range(18 - before)]
    assert wait_until(lambda: len(os.listdir("/proc/%d/fd" % one.process.pid)) == 18)
    with one.connect() as s:
        s.sendall(b"GET /none HTTP/1.0\r\n\r\n")
        for other in silent:
            other.close()
        assert s.recv(12) == b"HTTP/1.1 404"
    assert one.ask()[0].status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(listening, number):
    one = listening()
    with one.connect():
        assert one.end(number) == (0, "")
    # The place is free at once.
    assert listening("127.0.0.1:%d" % one.address[1]).ask()[0].status == 200


def local_addresses(port):
    """The addresses on which something listens at this port."""
    told = subprocess.run(["ss", "-Htln", "sport = :%d" % port], capture_output=True, text=True,
                          check=True)
    return [line.split()[3] for line in told.stdout.splitlines()]


def test_it_listens_at_what_is_named_alone(listening):
    one = listening("0")
    assert local_addresses(one.address[1]) == ["127.0.0.1:%d" % one.address[1]]
    one = listening("[::]:0")
    assert local_addresses(one.address[1]) == ["[::]:%d" % one.address[1]]
    assert listening("[::1]:0").ask()[0].status == 200
    one = listening("0.0.0.0:0")
    assert local_addresses(one.address[1]) == ["0.0.0.0:%d" % one.address[1]]


@pytest.mark.parametrize("address", [
    "", ":", ":1", "localhost:9719", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1",
    "::1:9719", "[::1]", "[::1:9719", "1.2.3:x", "127.0.0.1:+1", "127.0.0.1: 1"])
def test_no_address(tool, address):
    done = tool("metrics", "--listen", address)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("\n") == 1 and "expected ADDRESS:PORT" in done.stderr


def test_where_it_cannot_listen(tool, listening):
    done = tool("metrics", "--listen", "127.0.0.1:%d" % listening().address[1])
    assert done.returncode == 125 and done.stderr.endswith(": Address already in use\n")


def test_a_file_or_an_address(tool, tmp_path):
    done = tool("metrics", "--listen", "0", "-o", tmp_path / "a")
    assert done.returncode == 2 and not os.listdir(tmp_path)


def test_a_bad_page_is_named_once(listening, run):
    folder = os.path.join(run.folder, "pqpool")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "0x1.page")
    with open(path, "w", encoding="ascii") as f:
        f.write("no page")
    one = listening()
    with pages.living(path):
        for _ in range(3):
            assert one.ask()[0].status == 200
    status, err = one.end()
    assert status == 0 and err.count("is not a status page") == 1


def test_pools_that_come_and_go(script, listening):
    one = listening()
    program = script()
    program.connect("a")
    pid = str(program.process.pid)

    def pids():
        return {s.labels["pid"] for s in families(one.ask(Accept=OPENMETRICS)[1])["pqpool_waiting"].samples}

    assert pid in pids()
    program.finish("a")
    program.end()
    assert wait_until(lambda: pid not in pids())
