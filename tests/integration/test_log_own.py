# SPDX-License-Identifier: PostgreSQL
"""The log is a file of this user's own: nothing that somebody else has put under its name."""
import os
import subprocess
import time

import pytest

OTHER = 65534  # nobody
PRECIOUS = "event=precious\n"


@pytest.fixture
def open_folder(tmp_path):
    """As /tmp is."""
    tmp_path.chmod(0o1777)
    return tmp_path


def precious(path):
    path.write_text(PRECIOUS)
    path.chmod(0o666)
    return path


def link(log):
    log.symlink_to(precious(log.parent / "target"))
    return log.parent / "target", "it is a symbolic link"


def link_to_nothing(log):
    log.symlink_to(log.parent / "target")
    return log.parent / "target", "it is a symbolic link"


def refused(kind):
    """By the kernel already, in a folder as /tmp, where its fs.protected_* are set."""
    with open("/proc/sys/fs/protected_" + kind, encoding="ascii") as f:
        return "it is not this user's own" if f.read() == "0\n" else "Permission denied"


def of_another(log):
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    os.chown(precious(log), OTHER, OTHER)
    return log, refused("regular")


def fifo_of_another(log):
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    os.mkfifo(log, 0o666)
    os.chown(log, OTHER, OTHER)
    return os.open(log, os.O_RDONLY | os.O_NONBLOCK), refused("fifos")


@pytest.fixture
def cycle(run, program):
    """cycle(log): a program with its log there, which is not read by anybody else."""
    def start(log, before=()):
        return run([*before, "env", "PQPOOL_LOG=%s" % log, program("cycle")],
                   env={"PQPOOL_LOG": "stderr"}, check_leases=False)

    return start


def content(what):
    if isinstance(what, int):
        return os.read(what, 100).decode()
    return what.read_text() if what.exists() else None


@pytest.mark.parametrize("plant", [link, link_to_nothing, of_another, fifo_of_another])
def test_planted_before_the_start(cycle, open_folder, plant):
    log = open_folder / "app.log"
    what, why = plant(log)
    before = content(what)
    done = cycle(log)
    assert content(what) == before
    assert done.returncode == 0
    assert done.stderr == 'pqpool: cannot open the log "%s": %s; warnings go to stderr instead\n' \
        % (log, why)


@pytest.mark.parametrize("plant", [link, of_another])
def test_planted_later(script, open_folder, plant):
    """The file was moved away, as by logrotate, and another stands in its place."""
    log = open_folder / "app.log"
    s = script(env={"PQPOOL_LOG": log})
    s.lease()
    moved = log.rename(open_folder / "moved.log")
    what, _ = plant(log)
    end = time.monotonic() + 0.5  # the name is looked at ten times a second
    leases = 1
    while time.monotonic() < end:
        s.lease()
        leases += 1
    s.end()
    assert content(what) == PRECIOUS
    assert moved.read_text().count("event=acquire ") == leases


@pytest.mark.parametrize("name", ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"])
@pytest.mark.parametrize("to", ["pipe", "file"])
def test_descriptor_of_the_program(cycle, tmp_path, name, to):
    into_file = ["sh", "-c", 'exec "$@" 2>"$0"', str(tmp_path / "stderr")]
    done = cycle(name, into_file if to == "file" else ())
    said = done.stderr if to == "pipe" else (tmp_path / "stderr").read_text()
    assert done.returncode == 0 and "event=acquire " in said and "cannot open" not in said


def test_device(cycle):
    done = cycle("/dev/null")
    assert (done.returncode, done.stderr) == (0, "")


def test_fifo_of_ones_own(cycle, tmp_path):
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    done = cycle(tmp_path / "log")
    assert done.stderr == "" and b"event=acquire " in os.read(reader, 65536)
    os.close(reader)


# ---- what goes to a terminal ----------------------------------------------------------

EVIL = "le\x1b]0;owned\x07aky\n\x1b[2J"


def test_report_writes_no_controls(run, program, tmp_path):
    """Whatever the program, its folder and its functions are called."""
    folder = tmp_path / "fol\x1b[31mder\n"
    folder.mkdir()
    os.symlink(program("leaky"), folder / EVIL)
    copy = folder / "copy\x1b[1m"
    subprocess.run(["cp", program("leaky"), copy], check=True)
    done = run([str(copy)], env={"PQPOOL_LOG_LEVEL": "off"})
    assert "connections leaked" in done.stderr and "\\x1b[31mder\\n/copy\\x1b[1m+0x" in done.stderr
    named = run([str(folder / EVIL)], env={"PQPOOL_LOG_LEVEL": "off"})
    assert "(le\\x1b]0;owned\\x07aky\\n\\x1b[2J: " in named.stderr
    for said in (done.stderr, named.stderr):
        assert all(" " <= c and c != "\x7f" for c in said.replace("\n", ""))
        assert all(line.startswith("==") for line in said.splitlines())


def test_complaint_writes_no_controls(run, program, tmp_path):
    for env in ({"PQPOOL_LOG": "/no\x1b[2Jwhere\n/log"}, {"PQPOOL_SUPPRESS": "/no\x1b[2Jwhere\n"},
                {"PQPOOL_SIZE": "\x1b[2J\n"}):
        done = run([program("cycle")], env=env, check_leases=False)
        assert "\\x1b[2J" in done.stderr and "\x1b" not in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


# ---- what is too long --------------------------------------------------------------------


@pytest.mark.parametrize("length", [256, 600, 5000])
def test_route_too_long(run, program, length):
    """It would be cut; so it is a bad value as any other."""
    done = run([program("cycle")], env={"PQPOOL_ROUTE": "h" * length})
    assert done.returncode == 0 and not done.log
    assert done.stderr.startswith('pqpool: PQPOOL_ROUTE="hhh') and done.stderr.count("\n") == 1
    assert done.stderr.endswith("; this program runs unpooled\n")


def test_longest_route(run, program, server):
    folder = server.env()["PGHOST"] + "/" + "./" * 100
    route = folder.ljust(254 - len(server.env()["PGPORT"]), "/") + ":" + server.env()["PGPORT"]
    assert len(route) == 255
    done = run([program("cycle")], env={"PQPOOL_ROUTE": route, "PGHOST": "/nowhere"},
               check_leases=False)
    assert "PQPOOL_ROUTE" not in done.stderr
    assert done.events("acquire") or "too long" in done.stderr
