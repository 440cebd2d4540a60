# SPDX-License-Identifier: PostgreSQL
"""pqpool metrics: what Prometheus makes of it."""
import os
import shutil
import stat
import subprocess

import pytest

import pages
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
    program.exec("c", "SELECT pg_sleep(0.01)")  # the second hold within a millisecond is told later
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
    for name, old in (("wait", "wait"), ("hold", "lease")):
        name = "pqpool_%s_duration_seconds" % name
        assert found[name + "_sum", None] == found["pqpool_%s_seconds_total" % old, None]
        assert found[name + "_count", None] == found[name + "_bucket", "+Inf"]
    assert found["pqpool_wait_duration_seconds_count", None] == 1
    assert found["pqpool_hold_duration_seconds_count", None] == 2
    opened = found["pqpool_sessions_opened_total", None]
    closed = sum(v for (name, _), v in found.items() if name == "pqpool_sessions_closed_total")
    assert opened - closed == found["pqpool_sessions_in_use", None] + found[
        "pqpool_sessions_idle", None]


def test_histograms_count_by_how_long_it_took(script, tool):
    program = script(env={"PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0})
    for name in "ab":
        program.connect(name)
        program.exec(name, "SELECT pg_sleep(0.3)")  # more than 256 ms
    program.do("begin", "c")
    wait_until(lambda: program.events("wait"))
    program.exec("a", "SELECT pg_sleep(0.3)")
    program.finish("a")
    program.join("c")
    program.exec("c", "SELECT pg_sleep(0.3)")
    program.finish("b", "c")
    found = samples(tool("metrics").stdout)[str(program.process.pid)]
    for name, count in (("wait", 1), ("hold", 3)):
        name = "pqpool_%s_duration_seconds" % name
        assert found[name + "_bucket", "+Inf"] == found[name + "_count", None] == count
    assert found["pqpool_wait_duration_seconds_bucket", "0.256"] == 0
    assert found["pqpool_hold_duration_seconds_bucket", "0.256"] == 0


def test_pages_of_earlier_versions_have_no_histograms(run, tool):
    """What lies there is the end of a long label."""
    label = "u@h:1/" + "d" * 500
    folder = os.path.join(run.folder, "pqpool")
    os.makedirs(folder, mode=0o700)
    path = os.path.join(folder, "%d-1.page" % os.getpid())
    with open(path, "wb") as f:
        f.write(pages.made_page(os.getpid(), [pages.made_old_pool(label)], version=3))
    with pages.living(path):
        done = tool("metrics")
    checked(done.stdout)
    assert label in done.stdout and "_bucket" not in done.stdout


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
