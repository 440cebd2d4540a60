# SPDX-License-Identifier: PostgreSQL
"""What README.md shows of sharing does what it says."""
import os
import re
import signal
import subprocess

import pytest

import house
from conftest import built
from server import bare_environ, wait_until

SECTION = re.search(r"## Share sessions between programs\n(.*?)\n##", house.read("README.md"),
                    re.S)[1]
EXAMPLES = re.findall(r"^    (.+)$", SECTION, re.M)


@pytest.fixture(name="shell")
def a_shell(memory, server, tmp_path):
    """shell("command"): what it prints, in a folder that has a build/."""
    memory.chmod(0o700)
    (tmp_path / "build").symlink_to(os.path.dirname(built("pqpool")))
    env = {**bare_environ(), **server.env(), "XDG_RUNTIME_DIR": str(memory)}

    def run(command):
        done = subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    yield run
    keeper = re.search(r"kind=keeper pid=(\d+)", run("build/pqpool keep show"))
    os.kill(int(keeper[1]), signal.SIGTERM)
    assert wait_until(lambda: not os.path.exists(memory / "pqpool" / "keeper.socket"))


def shares(shell, command):
    """True once it prints the same twice in turn. A keeper that is late is no keeper."""
    seen = [shell(command)]
    return wait_until(lambda: seen.append(shell(command)) or seen[-1] == seen[-2], deadline=60)


def test_examples(shell):
    """The first ones, as they stand."""
    keep, psql, again, show = [line for line in EXAMPLES if "build/pqpool" in line]
    assert again.split("    ")[0] == psql
    assert shell(keep) == ""
    assert shares(shell, psql)
    assert "kind=session" in shell(show)


def test_run_starts_one(shell):
    example, = re.findall(r"`(build/pqpool run --share on) PROGRAM`", SECTION)
    assert shares(shell, example + " psql -XAtqc 'SELECT pg_backend_pid()'")


def test_units(tmp_path):
    """Those that the examples name are there, and systemd finds nothing to say of them."""
    named = {re.sub(r"@[\w-]+$", "@.service", name)
             for line in EXAMPLES for name in re.findall(r"--now (\S+)", line)}
    units = os.listdir(house.path("tools/systemd"))
    assert named and named <= set(units)
    for unit in units:
        (tmp_path / unit).write_text(house.read("tools/systemd/" + unit).replace(
            "@BINDIR@/pqpool", built("pqpool")))
    for kind, unit in (("--user", "pqpool-keep.socket"), ("--user", "pqpool-keep.service"),
                       ("--system", "pqpool-keep@.service")):
        if "@" in unit:
            os.rename(tmp_path / unit, tmp_path / (unit := unit.replace("@", "@www-data")))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", kind, tmp_path / unit],
                              env={**bare_environ(), "XDG_RUNTIME_DIR": str(tmp_path)}, text=True,
                              capture_output=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), done
    place = re.search(r"PQPOOL_SHARE=(/run/\S+)", SECTION)[1]
    system = house.read("tools/systemd/pqpool-keep@.service")
    assert place == re.search(r"--socket (\S+)", system)[1].replace("%t", "/run").replace(
        "%i", "www-data")
