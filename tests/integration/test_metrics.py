# SPDX-License-Identifier: PostgreSQL
"""pqpool metrics: what Prometheus makes of it."""
import os
import shutil
import stat
import subprocess

import pytest

from conftest import BUILD
from server import wait_until
from tables import samples

def checked(text):
    """Has promtool, which knows names, types and the format, look at it."""
    promtool = shutil.which("promtool") or os.path.join(BUILD, "tests/prometheus/promtool")
    if not os.path.exists(promtool):
        pytest.skip("no promtool; see build/tests/prometheus/log")
    done = subprocess.run([promtool, "check", "metrics"], input=text, text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_can_refuse():
    with pytest.raises(AssertionError):
        checked("# TYPE pqpool_leases counter\npqpool_leases 1\n")


def test_no_pools(tool):
    done = tool("metrics")
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.endswith("# EOF\n")
    checked(done.stdout)


def test_numbers(script, tool):
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 1, "PQPOOL_TIMEOUT": 20})
    program.connect("a")
    program.connect("b")
    program.do("begin", "c")
    pid = str(program.process.pid)

    def waiting():
        return samples(tool("metrics").stdout)[pid]["pqpool_waiting", None] == 1

    assert wait_until(waiting)
    program.finish("b")
    program.join("c")
    program.finish("c")
    done = tool("metrics")
    checked(done.stdout)
    found = samples(done.stdout)[str(program.process.pid)]
    for name, value in {"sessions_in_use": 1, "sessions_limit": 2, "sessions_in_use_peak": 2,
                        "waiting": 0, "leases_total": 3, "leases_ended_total": 2,
                        "waits_total": 1, "timeouts_total": 0}.items():
        assert found["pqpool_" + name, None] == value, name
    assert 0 < found["pqpool_wait_seconds_total", None] < 60
    assert found["pqpool_wait_seconds_total", None] == found["pqpool_wait_longest_seconds", None]
    assert 0 < found["pqpool_oldest_lease_seconds", None] < 60
    assert 0 < found["pqpool_lease_seconds_total", None] < 60
    opened = found["pqpool_sessions_opened_total", None]
    closed = sum(v for (name, _), v in found.items() if name == "pqpool_sessions_closed_total")
    assert opened - closed == found["pqpool_sessions_in_use", None] + found[
        "pqpool_sessions_idle", None]


def test_odd_names(script, program, tool, tmp_path):
    odd = tmp_path / 'a"b\\c\nd\033'
    shutil.copy(program("script"), odd)
    script(name=odd).connect("a")
    done = tool("metrics")
    checked(done.stdout)
    assert r'program="a\"b\\c\\nd\\x1b"' in done.stdout


def test_pools_of_one_name_are_added_up(script, tool):
    program = script()
    program.connect("a", "application_name=one")
    program.connect("b", "application_name=two")  # another pool, called the same
    done = tool("metrics")
    checked(done.stdout)
    found = samples(done.stdout)[str(program.process.pid)]
    assert found["pqpool_sessions_in_use", None] == 2


def test_written_in_one_moment(script, tool, tmp_path):
    program = script()
    program.connect("a")
    target = tmp_path / "pqpool.prom"
    target.write_text("of yesterday")
    with open(target, encoding="ascii") as reader:
        done = tool("metrics", "-o", target)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert reader.read() == "of yesterday"  # whoever reads it keeps what he has
    assert os.listdir(tmp_path) == ["pqpool.prom"]
    assert stat.S_IMODE(target.stat().st_mode) & 0o400
    checked(target.read_text())
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_all_of_it_or_nothing(script, tool, tmp_path):
    script().connect("a")
    target = tmp_path / "pqpool.prom"
    target.write_text("of yesterday")
    done = tool("metrics", "-o", target, before=[
        "sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
    assert done.returncode == 125 and "File too large" in done.stderr
    assert target.read_text() == "of yesterday" and os.listdir(tmp_path) == ["pqpool.prom"]


def test_where_it_cannot_write(tool, tmp_path):
    done = tool("metrics", "-o", tmp_path / "none" / "pqpool.prom")
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1 and "No such file" in done.stderr


@pytest.mark.parametrize("arguments", [["--colour"], ["more"], ["-o"]])
def test_bad_arguments(tool, arguments):
    done = tool("metrics", *arguments)
    assert done.returncode == 2 and "metrics" in done.stderr and not done.stdout
