# SPDX-License-Identifier: PostgreSQL
"""What every test can ask for.

server      a private server for the whole run
new_server  makes further ones, for tests that break theirs
build       the build folder (PQPOOL_BUILD, default: build)
shim        path of libpqpool.so
program     program("name"): path of the built tests/programs/name.c
run         run(argv, pooled=True, env={...}, ...): runs a program against the server

After each test that ran a pooled program, two things must hold: every acquire in
its log has its release or its leak line, and no session is left on the server that
was not there before.
"""
import glob
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

import pytest

import cmocka
import logfmt
from server import Server, bare_environ, wait_until

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.join(ROOT, os.environ.get("PQPOOL_BUILD", "build"))
LIMIT_SECONDS = 120

# The stress programs are built for the sanitizers only: make asan, make tsan.
collect_ignore_glob = [] if os.environ.get("PQPOOL_SANITIZED") else ["stress/*"]


# -- running programs ---------------------------------------------------------


@dataclass
class Result:
    """How a program ended and what it said."""

    argv: list
    pooled: bool
    returncode: int  # -N: ended by signal N
    stdout: str
    stderr: str
    seconds: float
    log: list = field(default_factory=list)  # the shim's log, a dict a line

    def events(self, name, **pairs):
        """The log's lines of one event, with these values where given."""
        return [e for e in self.log
                if e["event"] == name and all(e.get(k) == v for k, v in pairs.items())]

    def __str__(self):
        return "%s: status %d\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(self.argv), self.returncode, self.stdout, self.stderr)


class Runner:
    """The `run` fixture; also remembers what is to be checked after the test."""

    def __init__(self, request, folder):
        self.request = request
        self.folder = folder
        self.before = {}  # server -> pids of its sessions before the first run
        self.checked = []
        self.count = 0

    def __call__(self, argv, pooled=True, env=None, timeout=60, server=None, check_leases=True,
                 stdin="", cwd=None):
        """Runs argv to its end and returns a Result.

        pooled        with the shim preloaded, its log going to a file of ours unless
                      env says otherwise
        env           variables to add; None as a value takes one out
        timeout       seconds; a program that needs more is killed and the test fails
        server        another server than the common one; False for none
        check_leases  False where leases may stay open in the log: the program
                      kills itself, or replaces itself by exec
        """
        if server is None:
            server = self.request.getfixturevalue("server")
        if server and server not in self.before:
            self.before[server] = session_pids(server)
        whole = self._environ(pooled, env or {}, server)
        begin = time.monotonic()
        done = run_to_end(argv, whole, timeout, stdin, cwd)
        result = Result(list(argv), pooled, *done, time.monotonic() - begin)
        if pooled:
            result.log = read_log(whole.get("PQPOOL_LOG", ""))
            if check_leases and result.returncode >= 0:
                self.checked.append(result)
        return result

    def _environ(self, pooled, env, server):
        whole = bare_environ()
        if server:
            whole.update(server.env())
        if pooled:
            self.count += 1
            whole["LD_PRELOAD"] = self.request.getfixturevalue("shim")
            whole["PQPOOL_LOG"] = os.path.join(self.folder, "pqpool-%d.log" % self.count)
        whole.update(env)
        return {k: str(v) for k, v in whole.items() if v is not None}

    def check(self):
        """What must hold after every test."""
        for result in self.checked:
            unended = logfmt.unended(result.log)
            if unended:
                pytest.fail("acquired, but neither released nor reported: %s\n%s"
                            % (unended, result), pytrace=False)
        for server, before in self.before.items():
            if not server.process:
                continue  # the test has stopped it
            if not wait_until(lambda s=server, b=before: session_pids(s) <= b):
                left = [s for s in server.sessions() if s["pid"] not in before]
                pytest.fail("sessions left on the server: %s" % left, pytrace=False)


def run_to_end(argv, env, timeout, stdin, cwd):
    """Status, stdout and stderr of a program that gets its own process group."""
    late = ""
    with subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="surrogateescape",
                          start_new_session=True) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
            out, err = process.communicate()
            late = "%s: it, or a child with its output, still ran after %s s" % (argv, timeout)
        finally:
            kill_group(process)
    if late:
        pytest.fail("%s\n--- stdout\n%s\n--- stderr\n%s" % (late, out, err), pytrace=False)
    return process.returncode, out, err


def kill_group(process):
    """Ends the program, and whatever it left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def read_log(name):
    """The log files that PQPOOL_LOG's pattern led to, parsed, one after another."""
    if name in ("", "stderr", "syslog"):
        return []
    for wildcard in ("%p", "%n", "%h"):
        name = name.replace(wildcard, "*")
    events = []
    for path in sorted(glob.glob(name.replace("%%", "%"))):
        with open(path, "rb") as f:
            events += logfmt.parse(f.read())
    return events


def session_pids(server):
    return {s["pid"] for s in server.sessions()}


# -- fixtures -----------------------------------------------------------------


@pytest.fixture(scope="session")
def server():
    with Server() as common:
        yield common


@pytest.fixture
def new_server():
    """new_server(settings={...}, hba=...): a further server, ended with the test."""
    made = []

    def make(**options):
        made.append(Server(**options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture(scope="session")
def build():
    return BUILD


def built(path):
    """The path below the build folder, which `make` must have made."""
    whole = os.path.join(BUILD, path)
    if not os.path.exists(whole):
        pytest.fail("%s is not built: run make check" % os.path.relpath(whole, ROOT),
                    pytrace=False)
    return whole


@pytest.fixture(scope="session")
def shim():
    return built("libpqpool.so")


@pytest.fixture(scope="session")
def program():
    return lambda name: built(os.path.join("tests/programs", name))


@pytest.fixture(autouse=True)
def _runner(request, tmp_path_factory):
    # Autouse, and so the first made and the last undone: the check comes after
    # every connection that the test's other fixtures hold is closed.
    if "run" not in request.fixturenames:
        yield None
        return
    runner = Runner(request, str(tmp_path_factory.mktemp("run")))
    yield runner
    runner.check()


@pytest.fixture
def run(_runner):
    return _runner


# -- hooks --------------------------------------------------------------------


def pytest_collect_file(file_path, parent):
    """Unit tests are C files; their cases become items."""
    if file_path.parent.name == "unit" and file_path.match("test_*.c"):
        return cmocka.UnitFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(items):
    """The quick ones first."""
    order = {"unit": 0, "lint": 1}
    items.sort(key=lambda item: order.get(item.path.parent.name, 2))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """No test may hang the run."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT_SECONDS

    def expire(_signum, _frame):
        pytest.fail("took longer than %s s" % seconds)

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
