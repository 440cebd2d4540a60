# SPDX-License-Identifier: PostgreSQL
"""The log file of real programs: shared, rotated, moved away, on a full disk. Every line
is parsed strictly, and whatever is not told as lost must be there."""
import collections
import errno
import os
import signal
import subprocess

import pytest

import logfmt
from running import kill_group
from server import wait_until

LEASE_EVENTS = ("acquire", "release")


@pytest.fixture
def start(run, program, server):
    """start("hammer", 4, 100, env={...}): a program that is started and not waited for."""
    started = []

    def start_program(name, *words, env=None, before=()):
        run.before.setdefault(server, set())
        whole = run._environ(True, {"PQPOOL_SIZE": "4", **(env or {})}, server)
        started.append(subprocess.Popen(
            [*before, program(name), *map(str, words)], env=whole, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True))
        return started[-1]

    yield start_program
    for process in started:
        kill_group(process)
        process.communicate()


def end(process, status=0, seconds=60):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == status, err
    return out


def by_pid(events):
    found = collections.defaultdict(list)
    for event in events:
        found[event["pid"]].append(event)
    return found


def lost(events):
    return sum(int(e.get("lost", 0)) for e in events)


def missing(events, count):
    """How many lines about the leases 1 to count of a process are not there."""
    there = collections.Counter((e["event"], int(e["lease"])) for e in events
                                if e["event"] in LEASE_EVENTS)
    wanted = {(name, lease) for name in LEASE_EVENTS for lease in range(1, count + 1)}
    assert set(there) <= wanted and set(there.values()) <= {1}
    return len(wanted) - len(there)


def assert_in_order(events):
    """Each thread's lines are in the order in which they were written (a stack's comes
    while another is being put together)."""
    last = {}
    for event in events:
        if event["event"] == "stack":
            continue
        thread = (event["pid"], event["tid"])
        assert last.get(thread, "") <= event["time"], event
        last[thread] = event["time"]


def assert_whole(events, processes, count):
    """So many processes had `count` leases each, and no line is missing."""
    pids = by_pid(events)
    assert len(pids) == processes
    for each in pids.values():
        assert lost(each) == 0 and missing(each, count) == 0
    assert logfmt.unended(events) == []
    assert_in_order(events)


def files(log):
    return len(logfmt.parts(str(log)))


def test_eight_processes_write_one_log_through_twenty_rotations(start, tmp_path):
    log = tmp_path / "log"
    env = {"PQPOOL_LOG": log, "PQPOOL_LOG_MAX_SIZE": "64kB", "PQPOOL_LOG_KEEP": "200"}
    programs = [start("hammer", 4, 200, env=env) for _ in range(8)]
    assert [end(p) for p in programs] == ["800\n"] * 8
    assert files(log) > 20
    events = logfmt.read(str(log))
    assert_whole(events, 8, 800)
    assert not [e for e in events if e["event"] == "rotate_failed"]
    assert sorted(os.listdir(tmp_path)) == sorted(
        os.path.basename(path) for path in logfmt.parts(str(log)))


def test_every_process_rotates_its_own(start, tmp_path):
    env = {"PQPOOL_LOG": tmp_path / "%n.%p.log", "PQPOOL_LOG_MAX_SIZE": "20kB",
           "PQPOOL_LOG_KEEP": "50"}
    programs = [start("hammer", 2, 100, env=env) for _ in range(3)]
    for each in programs:
        end(each)
        log = tmp_path / ("hammer.%d.log" % each.pid)
        assert files(log) > 3
        assert_whole(logfmt.read(str(log)), 1, 200)


def test_processes_that_keep_more_and_less(start, tmp_path):
    """The files that are kept are in order; what the last process wrote last is there."""
    log = tmp_path / "log"
    programs = [start("hammer", 2, 300, env={"PQPOOL_LOG": log, "PQPOOL_LOG_KEEP": keep,
                                             "PQPOOL_LOG_MAX_SIZE": size})
                for keep, size in ((2, "16kB"), (30, "8kB"))]
    for each in programs:
        end(each)
    assert 3 <= files(log) <= 31
    events = logfmt.read(str(log))
    assert_in_order(events)
    assert lost(events) == 0
    # Of one that ended before the other, no line may be left, or only old ones: the files
    # beyond what the other keeps stay as they are.
    last = by_pid(events)[events[-1]["pid"]]
    assert max(int(e["lease"]) for e in last if e["event"] == "release") == 600


def test_closing_all_descriptors_does_not_stop_rotation(run, program, tmp_path):
    precious = [tmp_path / str(i) for i in range(4)]
    for each in precious:
        each.write_text("precious")
    log = tmp_path / "log"
    done = run([program("closeall"), "each", *map(str, precious)],
               env={"PQPOOL_LOG": log, "PQPOOL_LOG_MAX_SIZE": "700B", "PQPOOL_LOG_KEEP": "99"})
    assert done.returncode == 0
    assert [p.read_text() for p in precious] == ["precious"] * 4
    assert files(log) > 4
    assert_whole(done.log, 1, 6)


# ---- moved away by others ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["create", "nocreate", "copytruncate"])
def test_logrotate(script, tmp_path, how):
    log = tmp_path / "log"
    conf = tmp_path / "conf"
    conf.write_text('"%s" {\n rotate 9\n %s\n}\n' % (log, how))
    conf.chmod(0o600)
    s = script(env={"PQPOOL_LOG": log, "PQPOOL_LOG_MAX_SIZE": "0"})
    s.lease()
    for times in range(1, 4):
        subprocess.run(["/usr/sbin/logrotate", "--force", "--state", str(tmp_path / "state"),
                        str(conf)], check=True, capture_output=True)
        leases = len(s.events("release"))

        def is_found():
            s.lease()
            return log.exists() and log.stat().st_size > 0

        assert wait_until(is_found) and len(s.events("release")) > leases
        assert files(log) == times + 1
    s.finish()
    result = s.end()
    assert_whole(result.log, 1, len(result.events("acquire")))


# ---- stopped and killed in the middle ---------------------------------------------------

PLACES = ["before link", "after link", "before rename", "after rename"]
SMALL = {"PQPOOL_LOG_MAX_SIZE": "8kB", "PQPOOL_LOG_KEEP": "200"}


def halted(start, shim, halter, log, place, signum):
    return start("hammer", 1, 100, env={
        **SMALL, "PQPOOL_LOG": log, "LD_PRELOAD": "%s:%s" % (shim, halter),
        "HALT_AT": place, "HALT_SIGNAL": int(signum)})


def is_stopped(process):
    with open("/proc/%d/stat" % process.pid, encoding="ascii") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_process_holds_nobody_up(start, shim, module, tmp_path, place):
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    stopped = halted(start, shim, module("halter", "halter.so"), log, place, signal.SIGSTOP)
    assert wait_until(lambda: is_stopped(stopped))
    before = files(log)
    end(start("hammer", 2, 100, env={**SMALL, "PQPOOL_LOG": log}))
    if place == "after rename":
        assert files(log) > before
    else:  # nobody else can rotate it, so it grows
        assert files(log) == before and max(os.stat(p).st_size for p in
                                            logfmt.parts(str(log))) > 40000
    stopped.send_signal(signal.SIGCONT)
    end(stopped)
    pids = by_pid(logfmt.read(str(log)))
    assert missing(pids.pop(str(stopped.pid)), 100) == 0
    assert [missing(each, 200) for each in pids.values()] == [0]
    end(start("hammer", 1, 100, env={**SMALL, "PQPOOL_LOG": log}))
    assert files(log) > before and log.stat().st_size < 12000
    assert lost(logfmt.read(str(log))) == 0
    assert not (tmp_path / "logs" / "log.new").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_process_loses_nothing(start, shim, module, tmp_path, place):
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    killed = halted(start, shim, module("halter", "halter.so"), log, place, signal.SIGKILL)
    end(killed, status=-signal.SIGKILL)
    events = logfmt.read(str(log))
    end(start("hammer", 2, 100, env={**SMALL, "PQPOOL_LOG": log}))
    pids = by_pid(logfmt.read(str(log)))
    mine = pids.pop(str(killed.pid))
    assert mine == events
    # All but the line that it was about to write.
    acquired = [e for e in mine if e["event"] == "acquire"]
    assert len(acquired) > 5 and missing(mine, len(acquired)) <= 1
    assert [missing(each, 200) for each in pids.values()] == [0]
    assert files(log) > 4 and not (tmp_path / "logs" / "log.new").exists()
    assert all(os.stat(path).st_nlink == 1 for path in logfmt.parts(str(log)))


# ---- a full disk ------------------------------------------------------------------------


class Disk:
    """A small file system of its own, seen by the programs that are started in it."""

    def __init__(self, folder, size):
        self.folder = str(folder)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c",
             'mount -t tmpfs -o size="$1" none "$0" && echo mounted && exec cat',
             self.folder, size], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            pytest.skip("no mounting here: " + self.holder.stderr.read())
        self.filler = self.path("filler")
        self.inside = ["nsenter", "--target", str(self.holder.pid), "--mount", "--root",
                       *(["--user"] if os.geteuid() else [])]

    def path(self, name):
        return "/proc/%d/root%s/%s" % (self.holder.pid, self.folder, name)

    def fill(self):
        """To the last byte."""
        size = 1 << 20
        with open(self.filler, "ab", buffering=0) as f:
            while size:
                try:
                    f.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    size //= 2
        self.assert_full()

    def assert_full(self):
        st = os.statvfs(self.path(""))
        assert st.f_bavail == 0

    def free(self):
        os.unlink(self.filler)

    def end(self):
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def disk(tmp_path):
    made = []

    def make(size):
        folder = tmp_path / "disk"
        folder.mkdir()
        made.append(Disk(folder, size))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_a_full_disk_is_counted_to_the_line(script, disk):
    small = disk("64k")
    log = small.path("log")
    programs = [script(env={"PQPOOL_LOG": small.folder + "/log"}, before=small.inside)
                for _ in range(3)]
    for each in programs:
        each.lease()
    small.fill()
    for _ in range(20):
        for each in programs:
            each.lease()
    size = os.stat(log).st_size
    for each in programs:
        each.lease()
    small.assert_full()
    assert os.stat(log).st_size == size, "something could be written"
    small.free()
    for _ in range(3):
        for each in programs:
            each.lease()
    results = [each.end() for each in programs]
    pids = by_pid(logfmt.read(log, torn=True))
    for each in programs:
        mine = pids.pop(str(each.process.pid))
        assert missing(mine, 1 + 20 + 1 + 3) == lost(mine) > 20
    assert not pids and [r.returncode for r in results] == [0] * 3


def test_nothing_is_lost_untold_when_all_write_while_the_disk_fills_and_empties(start, disk, server):
    small = disk("24m")
    log = small.path("log")
    env = {"PQPOOL_LOG": small.folder + "/log", "PQPOOL_LOG_MAX_SIZE": "100kB",
           "PQPOOL_LOG_KEEP": "1000"}
    # Slowly enough to go on while the disk is filled and emptied.
    programs = [start("hammer", 2, 2500, "SELECT 42 FROM pg_sleep(0.003)", env=env,
                      before=small.inside) for _ in range(4)]
    assert wait_until(lambda: os.path.exists(log))
    full = 0
    while full < 10:
        small.fill()
        full += 1
        # Its acquire was to be logged before the question, and the disk was full already.
        since = server.sql("SELECT clock_timestamp()")[0][0]
        assert wait_until(lambda t=since: server.sessions("query_start > '%s'" % t))
        size = os.stat(log).st_size
        small.free()
        assert wait_until(lambda s=size: os.stat(log).st_size != s)
    assert [p.poll() for p in programs] == [None] * 4, "ended before the disk was free"
    for each in programs:
        assert end(each) == "5000\n"
    events = logfmt.read(log, torn=True)
    assert_in_order(events)
    pids = by_pid(events)
    assert len(pids) == 4 and lost(events) > 0
    for each in pids.values():
        # The stacks' lines, two or three each time, are counted, too.
        assert 0 <= lost(each) - missing(each, 5000) <= 3 * full
