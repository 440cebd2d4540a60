# SPDX-License-Identifier: PostgreSQL
"""Running programs, bare and pooled, and what must hold afterwards."""
import contextlib
import glob
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field

import pytest

import logfmt
from server import bare_environ, wait_until

# The one that Debian's packages belong to, whatever else is on PATH.
PYTHON = "/usr/bin/python3"
# Runs a command that may mount what nobody else sees.
SPAWN_NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


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

    deadline = 10  # seconds for sessions to go away

    def __init__(self, request, folder):
        self.request = request
        self.folder = folder
        self.keeper = None  # through which pooled programs share
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
        # Where status pages go: what a killed program leaves is gone with the test.
        whole["XDG_RUNTIME_DIR"] = self.folder
        if pooled:
            self.count += 1
            whole["LD_PRELOAD"] = self.request.getfixturevalue("shim")
            whole["PQPOOL_LOG"] = os.path.join(self.folder, "pqpool-%d.log" % self.count)
            if self.keeper:
                whole["PQPOOL_SHARE"] = self.keeper.path
        whole.update(env)
        return {k: str(v) for k, v in whole.items() if v is not None}

    def common_keeper(self):
        """The keeper of a run with --share, else None."""
        return (self.request.getfixturevalue("common_keeper")
                if self.request.config.getoption("--share") else None)

    @contextlib.contextmanager
    def sharing(self, keeper):
        """What is run here pooled shares; nothing that is idle then stays with the keeper."""
        self.keeper = keeper
        try:
            yield
        finally:
            self.keeper = None
            keeper.drain()

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
            if not wait_until(lambda s=server, b=before: session_pids(s) <= b, self.deadline):
                left = [s for s in server.sessions() if s["pid"] not in before]
                pytest.fail("sessions left on the server: %s" % left, pytrace=False)


def in_pipeline(values, needs):
    """Parameters; those for which needs(value) want a libpq that can pipeline (14 or newer):
    with an older one a session in a transaction is closed, and a ping has no other answer.
    Nor does such a one tell at once where it looks for certificates, so that a process's first
    session over TLS is not kept."""
    return [pytest.param(value, marks=pytest.mark.libpq(14)) if needs(value) else value
            for value in values]


# From 17 on a session is asked for login event triggers, whatever the pings are set to.
NOT_ASKED = pytest.mark.server(before=17)


def find_library(name):
    """The path of a library that the linker knows."""
    lines = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True,
                           check=True).stdout
    return re.search(r"^\s*%s .*=> (\S+)$" % re.escape(name), lines, re.M).group(1)


def same(run, argv, status=0, **options):
    """Runs it bare and pooled; returns the pooled result. With --share it is run again, twice, as
    one that shares: what the first one opened is lent to the second one."""
    bare = run(argv, pooled=False, **options)
    pooled = run(argv, **options)
    assert bare.returncode == status, bare
    assert_same(pooled, bare)
    if keeper := run.common_keeper():
        with run.sharing(keeper):
            for _ in range(2):
                assert_same(run(argv, **options), bare)
    return pooled


def assert_same(done, bare, tidy=lambda text: text):
    """Nobody can tell them apart, once `tidy` has taken out what differs between any two runs."""
    assert tidy(done.stdout) == tidy(bare.stdout), "%s\n%s" % (done, bare)
    assert tidy(done.stderr) == tidy(bare.stderr), "%s\n%s" % (done, bare)
    assert done.returncode == bare.returncode, "%s\n%s" % (done, bare)


def run_to_end(argv, env, timeout, stdin="", cwd=None, stderr=subprocess.PIPE):
    """Status, stdout and stderr of a program that gets its own process group; the
    test fails if it, or a child that has its output, needs longer than `timeout`."""
    late = ""
    with subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=stderr, text=True, errors="surrogateescape",
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
    names = set(glob.glob(name.replace("%%", "%")))
    # Not log.1 for itself where there is log.
    names = {path for path in names if re.sub(r"\.\d+$", "", path) not in names - {path}}
    return [event for path in sorted(names) for event in logfmt.read(path)]


def session_pids(server):
    return {s["pid"] for s in server.sessions()}


def process_state(pid):
    with open("/proc/%s/stat" % pid, encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@contextlib.contextmanager
def stopped(pid):
    """A backend that is there, and says nothing."""
    os.kill(int(pid), signal.SIGSTOP)
    try:
        assert wait_until(lambda: process_state(pid) == "T"), "the fault did not happen"
        yield
    finally:
        os.kill(int(pid), signal.SIGCONT)
