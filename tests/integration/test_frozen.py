# SPDX-License-Identifier: PostgreSQL
"""A log, a status page or stderr that cannot be written costs lines, and no caller's time."""
import os
import pty
import socket
import subprocess
import termios
import time

import pytest

import logfmt
from running import kill_group, process_state
from server import wait_until

BRIEF = 3.0  # seconds; each waits for a quarter of one at most
LINES = {"PQPOOL_LOG": "stderr", "PQPOOL_LOG_LEVEL": "info"}


class Disk:
    """A file system of its own that can be made to stand still."""

    def __init__(self, folder):
        self.path = str(folder / "disk")
        self.image = str(folder / "image")
        self.frozen = False
        self.proof = None  # a process that writes there
        os.mkdir(self.path)

    def mount(self):
        with open(self.image, "wb") as image:
            image.truncate(32 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", self.image], check=True)
        if subprocess.run(["mount", "-o", "loop", self.image, self.path], check=False).returncode:
            pytest.skip("this machine mounts no image")
        os.chmod(self.path, 0o700)

    def freeze(self):
        subprocess.run(["/sbin/fsfreeze", "-f", self.path], check=True)
        self.frozen = True
        self.proof = subprocess.Popen(["touch", self.path + "/proof"])
        assert wait_until(lambda: process_state(self.proof.pid) == "D"), "the fault did not happen"

    def thaw(self):
        if self.frozen:
            subprocess.run(["/sbin/fsfreeze", "-u", self.path], check=True)
            self.frozen = False
            self.proof.wait()


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    made = Disk(tmp_path)
    made.mount()
    yield made
    made.thaw()
    subprocess.run(["umount", "-l", made.path], check=True)


def is_blocked(process):
    """Whether a thread of it waits for a disk."""
    tasks = os.listdir("/proc/%d/task" % process.pid)
    return any(process_state("%d/task/%s" % (process.pid, task)) == "D" for task in tasks)


def brief(do, *words):
    begun = time.monotonic()
    answer = do(*words)
    assert time.monotonic() - begun < BRIEF
    return answer


def others_go_on(s):
    """One thread is stuck; each of the others connects, works, finishes and forks."""
    s.tell("begin", "stuck")
    s.answer()
    assert wait_until(lambda: is_blocked(s.process)), "nobody wrote"
    for _ in range(5):
        pid = brief(s.connect, "a")
        assert s.exec("a", "SELECT pg_backend_pid()") == pid
        brief(s.finish, "a")
        assert brief(s.do, "fork") == "0"
    assert not s.done("stuck")


def stuck_comes_back(s, disk):
    disk.thaw()
    s.join("stuck")
    s.finish("stuck")


def test_log_on_a_frozen_disk(script, disk):
    log = disk.path + "/log"
    s = script(env={"PQPOOL_LOG": log})
    s.lease()
    disk.freeze()
    others_go_on(s)
    stuck_comes_back(s, disk)
    s.lease()
    done = s.end()
    lost = sum(int(e.get("lost", 0)) for e in done.log)
    assert lost >= 10, "five leases, begun and ended"
    written = len(done.events("acquire")) + len(done.events("release"))
    assert written + lost >= 16


def test_log_to_be_made_on_a_frozen_disk(script, disk):
    """Its first line finds no file yet."""
    disk.freeze()
    s = script(env={"PQPOOL_LOG": disk.path + "/log"})
    others_go_on(s)
    stuck_comes_back(s, disk)
    s.lease()
    assert any("lost" in e for e in s.end().log)


def test_stderr_on_a_frozen_disk(script, disk):
    path = disk.path + "/stderr"
    s = script(env=LINES, before=["sh", "-c", 'exec "$@" 2>>"$0"', path])
    s.lease()
    disk.freeze()
    others_go_on(s)
    stuck_comes_back(s, disk)
    s.end()
    assert sum(int(e.get("lost", 0)) for e in logfmt.read(path)) >= 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_status_page_on_a_frozen_disk(script, disk, when):
    """It is not there, whatever the variable says."""
    if when == "before":
        disk.freeze()
    s = script(env={"XDG_RUNTIME_DIR": disk.path})
    s.lease()
    if when == "after":
        disk.freeze()
    for _ in range(3):
        brief(s.lease)
        assert brief(s.do, "fork") == "0"
    disk.thaw()
    assert not os.path.exists(disk.path + "/pqpool")


# ---- stderr that nobody reads ------------------------------------------------------


def started(run, server, argv, env, stderr):
    run.before.setdefault(server, set())
    return subprocess.Popen(argv, env=run._environ(True, env, server), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=stderr, text=True,
                            start_new_session=True)


def fill(fd):
    os.set_blocking(fd, False)
    count = 0
    for size in (4096, 1):
        try:
            while True:
                count += os.write(fd, b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(fd, True)
    return count


def full_pipe():
    return os.pipe()


def full_socket():
    here, there = socket.socketpair()
    return here.detach(), there.detach()


def full_terminal():
    here, there = pty.openpty()
    settings = termios.tcgetattr(there)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(there, termios.TCSANOW, settings)
    return here, there


@pytest.mark.parametrize("make", [full_pipe, full_socket, full_terminal])
def test_nobody_reads_stderr(run, server, program, make):
    reader, writer = make()
    fill(writer)
    process = started(run, server, [program("cycle")], LINES, writer)
    try:
        out = process.communicate(timeout=30)[0]
    finally:
        kill_group(process)
    assert (process.returncode, out) == (0, run([program("cycle")], pooled=False).stdout)
    os.close(writer)
    os.close(reader)


def test_lines_in_a_pipe_that_is_read_late_are_whole(run, server, program):
    reader, writer = os.pipe()
    fill(writer)
    os.read(reader, 2 * 4096)
    process = started(run, server, [program("leaky")], LINES, writer)
    os.close(writer)
    process.communicate(timeout=30)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().lstrip(b".").splitlines(keepends=True)
    assert len(lines) > 10 and lines[-1].endswith(b"\n")
    assert all(line.startswith((b"time=", b"==")) for line in lines)
