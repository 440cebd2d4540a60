# SPDX-License-Identifier: PostgreSQL
"""Many programs share while programs and keepers are killed, and sessions and the server ended: no
wrong answer, no session that is not clean, never more than the limit, no waiter forgotten.

With PQPOOL_STRESS=full (`make stress`) at full size.
"""
import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass

import pytest

import logfmt
from conftest import built
from keeper import Keeper
from running import process_state
from server import OBSERVER, bare_environ, wait_until

FULL = os.environ.get("PQPOOL_STRESS") == "full"
PROCESSES, ROUNDS, KILLS, TERMINATED = (50, 100, 50, 20) if FULL else (20, 50, 8, 4)
# Waves, of so many processes, of which so many are killed: 5,000 leases and 50 dead at full size.
GROWTH_WAVES, GROWTH_PROCESSES, GROWTH_KILLS = (5, 20, 10) if FULL else (3, 6, 2)
GROWTH_ROUNDS = 50
LIMIT = 4  # 3 and 1
TIMEOUT = 60

PLANT = """CREATE FUNCTION plant(secret text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('secret.of', secret, false); END $$"""
# What a connect may say while the server restarts, or ends just this session.
SERVER_ENDS = re.compile(
    r"terminating connection|database system is|server closed the connection|could not receive"
    r"|could not send|Connection refused|No such file or directory|SSL SYSCALL|Connection reset")
SERVER_LINE = re.compile(
    r"(?m)^(\S+ \S+) \S+ \[(\d+)\] (?:LOG|DEBUG|FATAL):  (connection authorized|disconnection"
    r"|unexpected EOF on client connection|connection to client lost|database system is ready)(.*)")


# ---- programs

@dataclass
class Note:
    at: int
    word: str
    rest: str


class Program:
    """One process that connects ROUNDS times; a killed one is followed by another."""

    def __init__(self, crowd, number, rounds):
        self.notes_file = crowd.folder / ("notes.%d" % number)
        self.rounds, self.killed = rounds, False
        self.said, self.rest = [], b""
        steps = ["steps"] if number % 3 == 2 else []  # the others by PQconnectdb
        self.process = subprocess.Popen(
            [built("tests/programs/secrets"), str(self.notes_file), str(rounds),
             str(number * 10000), *steps],
            env=crowd.env, stdin=subprocess.DEVNULL, stderr=crowd.stderr)
        self.file = None

    def notes(self):
        """All that it has noted so far."""
        if self.file is None and self.notes_file.exists():
            self.file = open(self.notes_file, "rb")
        *lines, self.rest = (self.rest + (self.file.read() if self.file else b"")).split(b"\n")
        for line in lines:
            at, word, *rest = line.decode().split(" ", 2)
            self.said.append(Note(int(at), word, *(rest or [""])))
        return self.said

    def count(self, word):
        return sum(note.word == word for note in self.notes())

    def kill(self):
        """False: it had ended already."""
        self.process.kill()
        self.killed = self.process.wait() == -signal.SIGKILL
        return self.killed

    def end(self):
        self.notes()
        self.process.kill()
        self.process.wait()
        if self.file:
            self.file.close()


class Crowd:
    """`processes` of them at a time, until each has had its rounds."""

    def __init__(self, folder, server, keeper, processes, rounds):
        self.folder, self.rounds, self.processes = folder, rounds, processes
        self.env = {**bare_environ(), **server.env(), "LD_PRELOAD": built("libpqpool.so"),
                    "PQPOOL_SHARE": keeper.path, "PQPOOL_TIMEOUT": str(TIMEOUT),
                    "PQPOOL_LOG": str(folder / "log"), "XDG_RUNTIME_DIR": str(folder)}
        self.stderr = open(folder / "stderr", "w+", encoding="utf-8")
        self.all = []
        for _ in range(processes):
            self.start(rounds)

    def start(self, rounds):
        self.all.append(Program(self, len(self.all), rounds))
        return self.all[-1]

    def one_living(self, rng):
        """If all have ended already, one that has just begun."""
        return rng.choice(self.living() or [self.start(1)])

    def living(self):
        return [each for each in self.all if each.process.poll() is None]

    def done(self):
        """Which part of all leases is over."""
        return sum(each.count("finished") for each in self.all) / (self.processes * self.rounds)

    def kill_one(self, rng):
        """Kills one at random, and has another do what it has not done."""
        victim = self.one_living(rng)
        while not victim.kill():  # it had just ended
            victim = self.one_living(rng)
        left = victim.rounds - victim.count("leased")
        if left > 0:
            self.start(left)

    def events(self, name):
        with open(self.env["PQPOOL_LOG"], "rb") as log:
            lines = log.read().splitlines()
        mark = b" event=%s " % name.encode()
        return [logfmt.parse_torn(line) for line in lines if mark in line]

    def await_end(self):
        assert wait_until(lambda: not self.living(), TIMEOUT * 2, 0.05), "\n".join(
            "%d: %s" % (each.process.pid, each.notes()[-1:]) for each in self.living())
        self.stderr.seek(0)
        # libpq prints there that a session was terminated.
        assert not re.findall(r"(?m)^(?!FATAL:  terminating connection).+", self.stderr.read())
        assert all(each.killed or each.process.returncode == 0 for each in self.all)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.all:
            each.end()
        self.stderr.close()


def check_programs(crowd, restarted):
    """Each connect that was begun has come to its end, in time, and none was refused."""
    for each in crowd.all:
        begun = None
        for note in each.notes():
            if note.word == "begin":
                begun = note.at
            elif note.word in ("leased", "failed"):
                assert note.at - begun < TIMEOUT * 10**9
            if note.word == "failed":
                assert restarted and SERVER_ENDS.search(note.rest), note.rest
        if not each.killed:
            assert each.count("finished") == each.rounds
            assert each.count("begin") == each.rounds + each.count("failed")


# ---- what the logs say

def keeper_events(keeper, name):
    return [logfmt.parse_line(line.rstrip("\n").encode()) for line in keeper.events(name)]


def given_up(keeper, killed_ms, crowd):
    """When a session counts no more though its server may not have ended it yet: its program was
    killed, and the keeper knows; it was closed, and the keeper that awaits its end is killed;
    it was closed, and there is no keeper at the time."""
    by_keeper = {e["backend"]: e for e in keeper_events(keeper, "session_close")}
    times = {e["backend"]: logfmt.wall_ms(e["time"]) for e in by_keeper.values()}
    times |= {e["backend"]: logfmt.wall_ms(e["time"]) for e in crowd.events("session_close")
              if e["reason"] != "shared"}
    found = {}
    for backend, ms in times.items():
        known = by_keeper.get(backend)
        if known is None or known["reason"] == "member_ended":
            found[backend] = ms
        else:
            found[backend] = min((k for k in killed_ms if k >= ms), default=float("inf"))
    return found


def most_at_once(server, keeper, killed_ms, gone_ms):
    """The most sessions at one time, and those that no keeper knew. What is given_up() counts
    until then; what a killed keeper held, until it was killed (the server sees the end of the
    connection some time later)."""
    shared = {e["backend"] for e in keeper_events(keeper, "session_open")}
    begun, ended, cut = {}, {}, set()
    last = 0
    for at, pid, what, rest in SERVER_LINE.findall(server.log_text()):
        last = logfmt.wall_ms(at)
        if what == "connection authorized" and "application_name=" + OBSERVER not in rest.split():
            begun[pid] = last
        elif what == "disconnection":
            ended[pid] = last
        elif what.startswith(("unexpected", "connection to client")):
            cut.add(pid)
        elif what.startswith("database"):
            for each in begun:
                ended.setdefault(each, last)
    changes = []
    for pid in begun.keys() & shared:
        end = min(ended.get(pid, last), gone_ms.get(pid, last))
        if pid in cut:
            end = min([end, *(ms for ms in killed_ms if ms > begun[pid])])
        changes += [(begun[pid], 1, pid), (end, 0, pid)]
    here, most = set(), set()
    for _, begins, pid in sorted(changes):
        here = here | {pid} if begins else here - {pid}
        most = max(most, here, key=len)
    return most, begun.keys() - shared


def memory_of(pid):
    """Its own, in kB, without what files are mapped."""
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))


# ---- faults

@pytest.fixture(name="target")
def server_with_function(new_server):
    target = new_server(settings={"log_min_messages": "debug1"})
    target.sql(PLANT, database="app", user="app")
    return target


@pytest.fixture(name="keeper")
def supervised_keeper(memory):
    """Started again by the test, which keeps its socket open, as a service manager does."""
    with Keeper(built("pqpool"), memory, supervised=True,
                env={"PQPOOL_SIZE": "3", "PQPOOL_MAX_OVERFLOW": "1", "PQPOOL_SHARE_LINGER": "0",
                     "PQPOOL_TIMEOUT": str(TIMEOUT)}) as keeper:
        yield keeper


def terminate_one(target):
    """Ends a session at random that has no end yet; how many."""
    return len(target.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
        " AND backend_type = 'client backend' ORDER BY random() LIMIT 1"))


@pytest.mark.limit(600)
def test_faults(target, keeper, tmp_path):
    rng = random.Random(os.urandom(8))
    killed_ms = []
    terminated = 0

    def kill_keeper():
        killed_ms.append(int(time.time() * 1000))
        keeper.kill()
        assert keeper.process.returncode == -signal.SIGKILL
        keeper.start()

    def terminate():
        nonlocal terminated
        terminated += terminate_one(target)

    with Crowd(tmp_path, target, keeper, PROCESSES, ROUNDS) as crowd:
        faults = [(rng.uniform(0.05, 0.9), lambda: crowd.kill_one(rng)) for _ in range(KILLS)]
        faults += [(rng.uniform(0.05, 0.9), terminate) for _ in range(TERMINATED)]
        faults += [(0.3, kill_keeper), (0.6, kill_keeper), (0.45, target.restart)]
        for at, fault in sorted(faults, key=lambda each: each[0]):
            assert wait_until(lambda: crowd.done() >= at or not crowd.living(), TIMEOUT * 2)
            fault()
        crowd.await_end()
        assert sum(each.killed for each in crowd.all) == KILLS
        check_programs(crowd, restarted=True)
        leases = sum(each.count("leased") for each in crowd.all)
        assert leases >= PROCESSES * ROUNDS * 0.8
    log = target.log_text()
    assert log.count("database system is ready") == 2 and terminated > 0
    assert log.count("terminating connection due to administrator command") >= terminated
    most, unknown = most_at_once(target, keeper, killed_ms,
                                 given_up(keeper, killed_ms, crowd))
    assert len(most) <= LIMIT, most
    # No connect went on without a keeper: what it does not know was opened in a room that one
    # gave that was killed then, or was killed while it connected.
    assert len(unknown) <= KILLS + TERMINATED + 3 * LIMIT, unknown
    assert len(keeper_events(keeper, "lend")) > leases / 2


def test_a_session_that_was_left_to_a_keeper_takes_no_room_of_the_next(memory, script):
    """Its program gave it back, and asked in its place as others waited."""
    with Keeper(built("pqpool"), memory, supervised=True,
                env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0",
                     "PQPOOL_SHARE_LINGER": "0"}) as keeper:
        keeper.show("keeper")
        one, other = (script(env={"PQPOOL_SHARE": keeper.path}) for _ in range(2))
        one.connect("a")
        other.tell("connect", "a")
        assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "1")
        keeper.process.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: process_state(keeper.process.pid) == "T")
        one.finish("a")
        one.tell("connect", "a")
        one.await_events("session_close", 1)
        keeper.kill()
        keeper.start()
        assert wait_until(lambda: one.answered() or other.answered(), TIMEOUT)
        for each in (one, other) if one.answered() else (other, one):
            assert each.answer().isdigit()
            each.finish("a")
        for each in (one, other):
            each.end()


@pytest.mark.limit(600)
def test_growth(target, keeper, tmp_path):
    """Waves of programs, some of them killed: after each the keeper is as large as after the
    first, and has a descriptor more than at its start for each session that it holds."""
    rng = random.Random(os.urandom(8))
    pid = int(keeper.show("keeper")[0]["pid"])  # it answers, so it has what it needs
    before = keeper.descriptors()
    sizes = []
    for wave in range(GROWTH_WAVES):
        folder = tmp_path / str(wave)
        folder.mkdir()
        with Crowd(folder, target, keeper, GROWTH_PROCESSES, GROWTH_ROUNDS) as crowd:
            for i in range(GROWTH_KILLS):
                at = (i + 1) / (GROWTH_KILLS + 2)
                assert wait_until(lambda: crowd.done() >= at or not crowd.living(), TIMEOUT * 2)
                crowd.kill_one(rng)
            crowd.await_end()
            assert sum(each.killed for each in crowd.all) == GROWTH_KILLS
            check_programs(crowd, restarted=False)
        assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "0", TIMEOUT)
        assert wait_until(lambda: keeper.descriptors() == before + keeper.count("idle"), TIMEOUT)
        sizes.append(memory_of(pid))
    # At most what a heap varies by.
    assert max(sizes[1:]) <= sizes[0] + 64, sizes
    assert keeper.process.poll() is None
