# SPDX-License-Identifier: PostgreSQL
"""Programs of another libc than the library's, musl: what tools/recipes/containers.md says of them."""
import re
import subprocess

import pytest

import house
from diagnoses import NOT_POOLED, one_reason
from server import bare_environ

WAITING = """
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) { puts("up"); fflush(stdout); if (argc > 1) pause(); return 0; }
"""
REASON = "runs with musl"


@pytest.fixture
def program(tmp_path):
    """It says "up", and waits if it has an argument."""
    path = tmp_path / "program"
    subprocess.run(["musl-gcc", "-x", "c", "-", "-o", path], input=WAITING, text=True, check=True)
    return str(path)


def run(*command, **env):
    return subprocess.run(command, env={**bare_environ(), **env}, text=True, capture_output=True, check=False)


def missing(done, shim):
    """The functions that its linker names, and nothing else is said."""
    *lines, rest = re.split(r"Error relocating %s: (\w+): symbol not found\n" % re.escape(shim), done.stderr)
    assert not "".join(lines[::2]) + rest
    return set(lines[1::2])


def test_it_does_not_start(program, shim):
    """Not of itself, and not from a program that has the library."""
    page = " ".join(house.read("tools/recipes/containers.md").split())
    status, = re.findall("`, and others\\), and ends it with status (\\d+)", page)
    named, = re.findall(r"`Error relocating \S+/libpqpool\.so: (\w+): symbol not found`", page)
    assert run(program).stdout == "up\n"
    done = run(program, LD_PRELOAD=shim)
    assert (done.returncode, done.stdout) == (int(status), "")
    assert named in missing(done, shim)
    done = run("sh", "-c", '"$1"; echo $?', "sh", program, LD_PRELOAD=shim)
    assert done.stdout == status + "\n" and named in missing(done, shim)


def test_the_commands_say_so(program, tool, doctor):
    done = tool("run", program)
    assert done.returncode == 125 and REASON + ": libpqpool.so needs glibc" in done.stderr
    status, lines = doctor(program)
    assert status == NOT_POOLED and REASON in one_reason(lines)


def test_live(program, tool):
    with subprocess.Popen([program, "wait"], env=bare_environ(), stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout.readline() == "up\n"
        done = tool("doctor", "--live", waiting.pid)
        waiting.kill()
    assert done.returncode == NOT_POOLED
    assert done.stdout.splitlines()[-1].startswith(
        "Verdict: %d is not pooling: it %s" % (waiting.pid, REASON)), done.stdout
