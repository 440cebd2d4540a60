# SPDX-License-Identifier: PostgreSQL
"""`pqpool doctor --live`: what it says of a process is what happens in it."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from running import PYTHON, kill_group
from server import bare_environ

POOLING, NOT_POOLING, FAILED, GONE = 0, 1, 125, 127
AS_OTHERS = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
WAITS = 'printf("up\\n"); fflush(stdout); pause();'
WAITING = "#include <stdio.h>\n#include <unistd.h>\nint main(void) { %s return 0; }\n" % WAITS


@pytest.fixture
def live(tool):
    """live(pid): status, and lines without their indentation."""
    def ask(pid, **options):
        done = tool("doctor", "--live", pid, **options)
        assert not done.stderr, done.stderr
        return done.returncode, [line.strip() for line in done.stdout.splitlines()]

    return ask


@pytest.fixture
def start():
    """start(argv, env={...}): a process that said "up", and waits."""
    started = []

    def make(argv, env=None):
        started.append(subprocess.Popen(
            list(map(str, argv)), env={**bare_environ(), **(env or {})}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True))
        assert started[-1].stdout.readline() == "up\n"
        return started[-1].pid

    yield make
    for each in started:
        kill_group(each)


def verdict(pid, answer, why):
    """It is not pooling, for that reason."""
    status, lines = answer
    assert status == NOT_POOLING
    assert lines[-1].startswith("Verdict: %d is not pooling: " % pid) and why in lines[-1], lines
    return lines


def test_pooling(script, live, shim):
    program = script(env={"PQPOOL_SIZE": "4", "PQPOOL_PING_QUERY": "SELECT 1"})
    program.connect("a")
    program.connect("b")
    program.finish("b")
    status, lines = live(program.process.pid)
    assert status == POOLING
    assert re.match(r"Verdict: %d is pooling since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$" % program.process.pid,
                    lines[-1])
    assert "ok: %s is loaded" % shim in lines
    libpq, = [line for line in lines if "/libpq" in line and line.startswith("ok: ") and "pqpool" not in line]
    assert re.match(r"ok: \S+/libpq\S*\.so\.5\.(\d+) is loaded, of PostgreSQL \1$", libpq)
    assert any(re.match(r"ok: since .*: 2 leases, 1 given back$", line) for line in lines)
    assert any(re.match(r"ok: app@\S+: 1 in use, 1 idle, 0 waiting, at most 24$", line) for line in lines)
    told = lines[lines.index("Settings, by the status page"):]
    assert "size=4" in told and 'ping_query="SELECT 1"' in told


def test_nothing_pooled(script, live):
    program = script()
    program.connect("a", "replication=database user=postgres")
    verdict(program.process.pid, live(program.process.pid), "passed through to libpq")


def test_no_connect_yet(script, live):
    program = script(env={"PQPOOL_SIZE": "7"})
    program.do("state")
    lines = verdict(program.process.pid, live(program.process.pid), "it has not connected since it started")
    assert lines[lines.index("Settings, of its environment when it started") + 1:-1].count("PQPOOL_SIZE=7") == 1


@pytest.mark.parametrize("name, value, why", [
    ("PQPOOL_DISABLE", "on", "PQPOOL_DISABLE was on"), ("PQPOOL_SIZE", "ten", 'PQPOOL_SIZE="ten": must be'),
    ("PQPOOL_SKIP", "scr*", "PQPOOL_ONLY or PQPOOL_SKIP leaves script out"),
])
def test_settings_that_do_not_pool(script, live, name, value, why):
    program = script(env={name: value})
    program.connect("a")
    verdict(program.process.pid, live(program.process.pid), why)
    program.finish("a")


def test_not_preloaded(script, live):
    program = script(pooled=False)
    program.connect("a")
    verdict(program.process.pid, live(program.process.pid), "it was started without LD_PRELOAD")


def test_preload_that_was_not_there(start, compiled, live):
    pid = start([compiled(WAITING)], {"LD_PRELOAD": "/nowhere/libpqpool.so"})
    lines = verdict(pid, live(pid), "it was started with LD_PRELOAD=/nowhere/libpqpool.so, but")
    assert any(line.startswith("note: none is loaded") for line in lines)


def test_static(start, compiled, live, shim):
    pid = start([compiled(WAITING, "-static")], {"LD_PRELOAD": shim})
    verdict(pid, live(pid), "it is statically linked")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a setuid program")
def test_raised_privileges(start, compiled, live, shim):
    program = compiled(WAITING)
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    pid = start([program], {"LD_PRELOAD": shim})
    verdict(pid, live(pid), "raised privileges")


def test_replaced(script, live, shim, tmp_path):
    copy = tmp_path / "libpqpool.so"
    shutil.copy(shim, copy)
    program = script(env={"LD_PRELOAD": str(copy)})
    program.connect("a")
    pid = program.process.pid
    assert not any("was replaced" in line for line in live(pid)[1])
    shutil.copy(shim, tmp_path / "new")
    os.replace(tmp_path / "new", copy)
    status, lines = live(pid)
    assert status == POOLING
    assert any(line.startswith("note: %s was replaced or removed since: " % copy) for line in lines)


LOADS = """
import ctypes, sys
for name in sys.argv[1:]:
    ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
print("up", flush=True)
sys.stdin.read()
"""


def test_loaded_after_libpq(start, live, shim):
    pid = start([PYTHON, "-c", LOADS, "libpq.so.5", shim])
    verdict(pid, live(pid), "libpqpool.so was loaded after ")
    pid = start([PYTHON, "-c", LOADS, "libpq.so.5"], {"LD_PRELOAD": shim})
    verdict(pid, live(pid), "it has not connected")


FORKS = """
import ctypes, os, signal, sys
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = ctypes.c_void_p
conn = pq.PQconnectdb(b"")
child = os.fork()
if child == 0:
    signal.pause()
print("up\\n%d" % child, flush=True)
sys.stdin.read()
"""


def test_forked(run, server, live, shim):
    parent = subprocess.Popen([PYTHON, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                              env={**bare_environ(), **server.env(), "LD_PRELOAD": shim,
                                   "XDG_RUNTIME_DIR": run.folder})
    try:
        assert parent.stdout.readline() == "up\n"
        child = int(parent.stdout.readline())
        assert live(parent.pid)[0] == POOLING
        verdict(child, live(child), "or since its parent (%d) forked it" % parent.pid)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_users(start, compiled, tool):
    pid = start([compiled(WAITING)])
    done = tool("doctor", "--live", pid, before=AS_OTHERS)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr == "pqpool: doctor: process %d may not be looked at: it is another user's, or runs " \
                          "with raised privileges; ask as root\n" % pid


@pytest.mark.parametrize("pid, status", [("4194305", GONE), ("0", 2), ("-1", 2), ("12x", 2), ("", 2),
                                         ("99999999999", 2)])
def test_no_process(tool, pid, status):
    done = tool("doctor", "--live", "--", pid)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
