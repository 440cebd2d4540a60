# SPDX-License-Identifier: PostgreSQL
"""A program does not notice the pool: it prints the same and exits the same as without."""
import re
import subprocess

import pytest

from running import PYTHON, in_pipeline, same

# What happened to the sessions, where it is known; three rounds each.
SESSIONS = {
    "exec": 1,
    "prepared": 1,
    "copy": None,  # given up half-way: dropped
    "single_rows": 1,
    "pipeline": 1,
    "large_object": 1,
    "notices": 1,
    "connect_in_notice": 2,
    "notify": 2,
    "errors": 1,
    "async": None,
    "ping": 0,
    "reset": None,
    "cancel": 1,
}


@pytest.mark.parametrize("mode", in_pipeline(
    SESSIONS, lambda mode: mode in ("exec", "errors", "pipeline")))
@pytest.mark.parametrize("way", in_pipeline(["unix", "tcp", "tls"], lambda way: way == "tls"))
def test_calls(run, program, tls_server, mode, way):
    pooled = same(run, [program("calls"), mode], status=7, server=tls_server,
                  env=tls_server.ways()[way])
    if SESSIONS[mode] is not None:
        assert len(pooled.events("session_open")) == SESSIONS[mode]


@pytest.mark.parametrize("mode", ["cycles", "handover"])
def test_threads(run, program, mode):
    pooled = same(run, [program("threads"), mode])
    assert len(pooled.events("session_open")) <= 6
    assert len(pooled.events("acquire")) >= 20


def test_threads_that_wait(run, program):
    env = {"PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0}
    pooled = same(run, [program("threads"), "cycles"], env=env)
    assert len(pooled.events("session_open")) == 2


# ---- failed connects ---------------------------------------------------------------


FAILING = {
    "unknown host": "host=no-such-host.invalid",
    "refused port": "host=127.0.0.1 port=1",
    "no socket": "host=/nonexistent",
    "two hosts": "host=127.0.0.1,/nonexistent port=1,2",
    "wrong database": "dbname=no_such_database",
    "wrong user": "user=no_such_user",
    "wrong password": "host=127.0.0.1 password=wrong",
    "unknown keyword": "colour=blue",
    "bad value": "sslmode=perhaps",
    "not conninfo": "host",
    "no service": "service=no_such_service",
    "bad URI": "postgresql://[::1",
    "bad port": "port=70000",
    "bad timeout": "connect_timeout=soon",
}


@pytest.mark.parametrize("kind", FAILING)
def test_failed_connects(run, program, kind):
    pooled = same(run, [program("connect"), FAILING[kind]])
    assert pooled.stdout.count("status 1 ") == 6
    assert not pooled.events("acquire")


def test_connects_that_succeed(run, program, server):
    same(run, [program("connect"), "", server.dsn(), server.dsn(tcp=True),
               "application_name=other"])


def test_connects_without_an_environment(run, program, server):
    """Not an empty one: environ is NULL then."""
    same(run, [program("connect"), "--clearenv", "host=/nonexistent",
               server.dsn() + " sslmode=disable"])


# ---- libpq in unusual places -------------------------------------------------------

MODULE = """
#include <libpq-fe.h>

int work(void)
{
	PGconn *conn = PQconnectdb("");
	int pid = PQstatus(conn) == CONNECTION_OK ? PQbackendPID(conn) : -1;

	PQfinish(conn);
	return pid;
}
"""
OPENS_MODULE = """
import ctypes, _ctypes, sys
pids = set()
for i in range(4):
    module = ctypes.CDLL(sys.argv[1])  # dlopen with RTLD_LOCAL
    pids.update({module.work(), module.work()})
    _ctypes.dlclose(module._handle)
assert -1 not in pids
print(len(pids))
"""


@pytest.fixture
def module(tmp_path):
    """A shared object linked to libpq, as an interpreter's extension is."""
    source, made = tmp_path / "module.c", tmp_path / "module.so"
    source.write_text(MODULE)
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    subprocess.run(["gcc", "-shared", "-fPIC", "-I" + include, "-o", made, source, "-lpq"],
                   check=True)
    return str(made)


def test_module_loaded_and_unloaded(run, module):
    argv = [PYTHON, "-c", OPENS_MODULE, module]
    assert run(argv, pooled=False).stdout == "8\n"
    pooled = run(argv)
    assert (pooled.stdout, pooled.stderr, pooled.returncode) == ("1\n", "", 0)


@pytest.mark.parametrize("how, lost", [("each", False), ("at once", True)])
def test_all_descriptors_closed(run, program, tmp_path, how, lost):
    """To close(2) the numbers of idle sessions are closed already."""
    files = [tmp_path / str(i) for i in range(12)]
    for each in files:
        each.write_text("precious " * 1000)
    pooled = same(run, [program("closeall"), how] + [str(f) for f in files])
    assert [f.read_text() for f in files] == ["precious " * 1000] * 12
    assert bool(pooled.events("session_close", reason="descriptor")) == lost


# ---- programs that have nothing to do with libpq --------------------------------------

STRANGERS = {
    "bash": ["/bin/bash", "-c", "echo $((6 * 7)); /bin/true; (exit 3); echo $?"],
    "ls": ["/bin/ls", "/"],
    "false": ["/bin/false"],
    "git": ["git", "--version"],
    "python": [PYTHON, "-c", ""],
    "python exit": [PYTHON, "-c", "import os; os._exit(5)"],
    "perl": ["/usr/bin/perl", "-e", "exit 4"],
}
SYSCALLS = "open,openat,creat,socket,clone,clone3,fork,vfork,exit_group,write"


def traced(run, argv, preload, tmp_path):
    """How it ends, and the calls by which it opens, starts and writes something: sorted,
    without the loader's look at `preload`, without numbers that differ from run to run."""
    trace = str(tmp_path / "trace")
    options = ["-f", "-qq", "-e", "signal=none", "-e", "trace=" + SYSCALLS, "-o", trace]
    if preload:  # for the program, not for strace itself
        options += ["-E", "LD_PRELOAD=" + preload]
    result = run(["strace"] + options + argv, pooled=False, server=False)
    with open(trace, encoding="utf-8") as f:
        # What another process interrupts is cut there: so all are, before their results.
        calls = [re.sub(r"^\d+ +|, child_tidptr=.*|0x[0-9a-f]+|\)? += -?\d.*| +<unfinished.*",
                        "", line.strip())
                 for line in f if "libpqpool.so" not in line and " resumed>" not in line]
    return (result.stdout, result.stderr, result.returncode), sorted(calls)


@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_is_left_alone(run, shim, tmp_path, name):
    ended, calls = traced(run, STRANGERS[name], None, tmp_path)
    assert any("exit_group" in c for c in calls)
    assert traced(run, STRANGERS[name], shim, tmp_path) == (ended, calls)


def mapped(text):
    """The files mapped into a process, by the text of its /proc/self/maps."""
    return {line.split()[-1] for line in text.splitlines() if "/" in line}


@pytest.mark.parametrize("argv", [
    ["cat", "/proc/self/maps"],
    [PYTHON, "-c", "print(open('/proc/self/maps').read())"],
], ids=["cat", "python"])
def test_stranger_gets_no_library_but_ours(run, shim, argv):
    bare = mapped(run(argv, pooled=False, server=False).stdout)
    pooled = mapped(run(argv, server=False, check_leases=False).stdout)
    assert pooled - bare == {shim}
    assert not any(re.search(r"libpq\.|libssl|libcrypto", name) for name in pooled - bare)
