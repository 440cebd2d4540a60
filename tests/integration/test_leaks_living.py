# SPDX-License-Identifier: PostgreSQL
"""pqpool leaks of programs that live, or have become another one."""
import contextlib
import os
import subprocess

import pytest

from running import read_log
from server import bare_environ, wait_until


@pytest.fixture
def alive(shim, server, memory):
    """alive(argv): starts a pooled program that ends with its input; the process, and its
    log."""
    with contextlib.ExitStack() as stack:
        def start(argv):
            env = {**bare_environ(), **server.env(), "LD_PRELOAD": shim,
                   "PQPOOL_LOG": str(memory / "log"), "XDG_RUNTIME_DIR": str(memory)}
            process = stack.enter_context(subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True))
            stack.callback(process.stdin.close)
            return process, env["PQPOOL_LOG"]

        yield start


def await_events(log, name, count):
    assert wait_until(lambda: len([e for e in read_log(log) if e["event"] == name]) == count)


@pytest.fixture
def living(alive, program):
    """A holds that waits, its log; ended with the test."""
    process, log = alive([program("holds"), "wait"])
    await_events(log, "release", 3)
    return process, log


@pytest.mark.parametrize("source", ["log", "page"])
def test_what_a_running_process_holds_is_no_leak(living, leaks, source):
    process, log = living
    own = {"XDG_RUNTIME_DIR": os.path.dirname(log)}
    said = leaks(log if source == "log" else process.pid, env=own)
    assert said.returncode == 0, said.stderr
    assert (said.document["leaked"], said.document["held"]) == (0, 7)
    assert {p["kind"] for p in said.places} == {"held"}
    assert said.document["processes"][0]["running"]
    ordinary = leaks(log, as_json=False).stdout.decode()
    assert "pqpool: 7 connections held by a running process, taken at 3 places" in ordinary
    process.kill()
    process.wait()
    assert leaks(log if source == "log" else process.pid, env=own).document["leaked"] == 7


@pytest.mark.parametrize("name, leaked, held", [("cat", 2, 0), ("holds", 2, 7), ("no", 0, 2)])
def test_what_was_open_at_exec_is_lost(alive, program, leaks, tmp_path, name, leaked, held):
    """Whether the program it became uses libpq or not; but not if it could not become it."""
    no_program = tmp_path / "no"
    no_program.write_bytes(b"\x7fELF")
    no_program.chmod(0o755)
    become = {"cat": ["/bin/cat"], "holds": [program("holds"), "wait"], "no": [str(no_program)]}
    process, log = alive([program("execs"), "execv", "leaking", *become[name]])
    await_events(log, "exec", 1)
    await_events(log, "exec_failed", 1 if name == "no" else 0)
    await_events(log, "acquire", {"cat": 6, "holds": 16, "no": 6}[name])
    if name == "cat":
        assert wait_until(lambda: os.readlink("/proc/%d/exe" % process.pid).endswith("cat"))
    said = leaks(log)
    assert (said.document["leaked"], said.document["held"]) == (leaked, held)
    assert said.returncode == (1 if leaked else 0)
