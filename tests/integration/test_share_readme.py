# SPDX-License-Identifier: PostgreSQL
"""What README.md shows of sharing does what it says."""
import os
import re
import signal
import subprocess

import house
from conftest import built
from server import bare_environ, wait_until

SECTION = re.search(r"### Sharing sessions between programs\n(.*?)\n##", house.read("README.md"),
                    re.S)[1]
EXAMPLES = re.findall(r"^    (.+)$", SECTION, re.M)


def environment(memory, server):
    memory.chmod(0o700)
    return {**bare_environ(), **server.env(), "XDG_RUNTIME_DIR": str(memory), "PGAPPNAME": "psql"}


def test_examples(memory, server, tmp_path):
    """The first ones, in a shell, as they stand."""
    commands = [line for line in EXAMPLES if "build/pqpool" in line]
    assert [c.split()[1] for c in commands if not c.startswith("PQ")] == ["keep", "keep"]
    (tmp_path / "build").symlink_to(os.path.dirname(built("pqpool")))
    env = environment(memory, server)
    done = subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=tmp_path, env=env, text=True,
                          capture_output=True, timeout=60, check=False)
    pid = re.search(r"kind=keeper pid=(\d+)", done.stdout)
    assert done.returncode == 0 and pid, done
    os.kill(int(pid[1]), signal.SIGTERM)
    first, second = re.findall(r"^ +(\d+)$", done.stdout, re.M)
    assert first == second
    assert wait_until(lambda: not os.path.exists(memory / "pqpool" / "keeper.socket"))


def test_run_starts_one(memory, server, tmp_path):
    example, = re.findall(r"`build/(pqpool run --share on) PROGRAM`", SECTION)
    env = environment(memory, server)
    seen = set()
    for _ in range(3):
        done = subprocess.run([built("pqpool"), *example.split()[1:], "psql", "-XAtqc",
                               "SELECT pg_backend_pid()"], env=env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
        seen.add(done.stdout)
    shown = subprocess.run([built("pqpool"), "keep", "show"], env=env, text=True,
                           capture_output=True, check=True).stdout
    os.kill(int(re.search(r"kind=keeper pid=(\d+)", shown)[1]), signal.SIGTERM)
    assert len(seen) == 1


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
