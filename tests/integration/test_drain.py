# SPDX-License-Identifier: PostgreSQL
"""pqpool drain, pause, resume and wait: programs let go of their sessions, and wait meanwhile."""
import os
import re
import shlex
import socket
import subprocess
import threading

import pytest

import keeper as k
import pages
from running import SPAWN_NAMESPACE
from server import Server, wait_until
from stepping import Steps

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Hides the directories of status pages that are not the test's.
ALONE = ('for d in /dev/shm/pqpool-$(id -u) /run/user/$(id -u)/pqpool /tmp/pqpool-$(id -u); do '
         'if [ -d $d ]; then mount -t tmpfs -o mode=700 tmpfs $d; fi; done; exec "$0" "$@"')


@pytest.fixture
def operate(tool):
    """operate("drain", "all"): a command that sees no other test's programs; what it says."""
    namespace = subprocess.run([*SPAWN_NAMESPACE, "true"], check=False, capture_output=True)
    before = [] if namespace.returncode else [*SPAWN_NAMESPACE, "sh", "-c", ALONE]

    def start(*words, status=0, **options):
        done = tool(*words, before=before, **options)
        assert done.returncode == status, done
        return done

    return start


@pytest.fixture
def paused(operate):
    """Connects are paused until paused()."""
    operate("pause")
    yield lambda: operate("resume")
    operate("resume")


def reasons(program):
    return [e["reason"] for e in program.events("session_close")]


# ---- drain ---------------------------------------------------------------------------


def test_idle_ones_close_at_the_next_call_and_others_when_given_back(script, operate):
    program = script()
    idle, leased = program.connect("a"), program.connect("b")
    program.finish("a")
    said = operate("drain", "all").stdout
    assert said == "script (pid %d): 2 sessions\n" % program.process.pid
    assert program.exec("b", "SELECT 1") == "1"
    fresh = program.connect("c")
    assert fresh not in (idle, leased) and reasons(program) == ["drained"]
    program.finish("b", "c")
    assert reasons(program) == ["drained"] * 2
    assert program.events("release", reason="drained")[0]["kept"] == "no"
    # It is done once: what came later is lent as ever.
    assert program.lease() == fresh


@pytest.mark.parametrize("by", ["pool", "pid"])
def test_only_what_is_meant(script, operate, by):
    program, other = script(), script()
    theirs = other.lease()
    one, two = program.lease("dbname=app"), program.lease("dbname=postgres")
    labels = {e["pool"].rpartition("/")[2]: e["pool"] for e in program.events("pool_open")}
    said = operate("drain", program.process.pid if by == "pid" else labels["postgres"]).stdout
    assert said == "script (pid %d): %d session%s\n" % (
        program.process.pid, *((2, "s") if by == "pid" else (1, "")))
    assert (program.lease("dbname=app") == one) is (by == "pool")
    assert program.lease("dbname=postgres") != two
    assert other.lease() == theirs


def test_the_idle_pool_of_a_busy_program_too(script, operate):
    """At the next call of any pool of the process."""
    program = script()
    old = program.lease("dbname=postgres")
    program.connect("a")
    operate("drain", "all")
    program.finish("a")
    assert old in [e["backend"] for e in program.events("session_close", reason="drained")]


def test_a_connect_that_began_before_is_not_kept(stepwise, operate):
    program = stepwise()
    first = program.connect("a")
    program.start("b")
    assert program.step("b") != "OK"
    operate("drain", "all")
    program.finish("a")
    program.drive("b")
    pid = program.do("pid", "b")
    assert pid != first
    program.finish("b")
    assert [e["backend"] for e in program.events("session_close", reason="drained")] == [first, pid]


# ---- pause ---------------------------------------------------------------------------


def test_connects_wait_and_are_served(script, operate, paused):
    program = script()
    program.connect("a")  # the first of all has no page yet
    program.do("begin", "b", "")
    program.await_events("wait", 1)
    assert program.exec("a", "SELECT 1") == "1"
    program.finish("a")
    program.do("begin", "c", "dbname=postgres")
    program.await_events("wait", 2)
    assert not program.done("b") and not program.done("c")
    paused()
    for name in "bc":
        assert program.join(name)[1].isdigit()
    assert program.lease() and not program.events("timeout")


@pytest.mark.parametrize("timeout", ["0", "300ms"])
def test_the_refusal_says_so(script, operate, paused, timeout):
    program = script(env={"PQPOOL_TIMEOUT": timeout})
    program.connect("a")
    why = program.refused("b")
    assert "connects are paused (pqpool pause) until `pqpool resume`; held longest: lease 1" in why
    event, = program.events("timeout")
    assert event["verdict"] == "paused" and "proven" not in event
    program.finish("a")
    assert "connects are paused" in program.refused("b")
    paused()
    assert program.connect("b")


def test_threads_that_all_wait_are_no_deadlock(script, paused):
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "1500ms"})
    program.lease()
    program.do("begin", "a", "")
    assert "connects are paused" in program.refused("b")
    assert "connects are paused" in program.join("a")[1]
    assert not program.events("suspected_deadlock")
    assert {e["verdict"] for e in program.events("timeout")} == {"paused"}


def test_of_a_program_that_waited_for_room_before(script, operate):
    """What is given back while paused is not lent to who waited before."""
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0})
    pid = program.connect("a")
    program.do("begin", "b", "")
    program.await_events("wait", 1)
    operate("pause")
    try:
        program.finish("a")
        assert not program.done("b") and not reasons(program)
    finally:
        operate("resume")
    assert program.join("b")[1] == pid


def test_in_steps(stepwise, operate, paused):
    program = stepwise()
    old = program.connect("a")
    program.waiting("b")
    program.finish("a")
    assert not program.ready("b", 0)
    paused()
    program.drive("b")
    assert program.do("pid", "b") not in ("0", old)


def test_in_steps_too_late(stepwise, paused):
    program = stepwise(env={"PQPOOL_TIMEOUT": "500ms"})
    program.connect("a")
    program.start("b")
    assert "connects are paused" in program.do("drive", "b")


def test_in_steps_while_the_server_is_away(script, stepwise, operate):
    """It is not called before connects may go on."""
    with Server() as away:
        program = stepwise(server=away)
        program.connect("a")
        operate("pause")
        program.finish("a")
        away.halt()
        program.waiting("b")
        away.launch()
        operate("resume")
        program.drive("b")
        program.finish("b")
        program.end()


@pytest.mark.parametrize("when", ["before", "after"])
def test_programs_that_begin_meanwhile(script, operate, paused, when):
    program = script(env={"PQPOOL_TIMEOUT": "100ms"})
    program.connect("a")
    if when == "before":
        assert "connects are paused" in program.refused("b")
        paused()
    else:
        paused()
    assert program.connect("b")


# ---- wait ----------------------------------------------------------------------------


def test_wait_says_who_has_what(script, operate):
    program = script()
    idle, leased = program.connect("a"), program.connect("b")
    program.finish("a")
    operate("wait")
    operate("drain", "all")
    left = operate("wait", "--timeout", "0", status=1).stderr
    assert left.startswith("pqpool: wait: still there:\n")
    about = r"script \(pid %d\): a session of app@\S+, backend %s, "
    assert re.search(about % (program.process.pid, idle) + "idle until its next connect or finish\n",
                     left)
    assert re.search(about % (program.process.pid, leased) +
                     r"in use for [\d.]+ \w+, taken at do_connect\n", left)
    program.lease()
    assert "idle" not in operate("wait", "--timeout", "0", status=1).stderr
    program.finish("b")
    operate("wait")
    assert not operate("wait", "-t", "10").stderr


def test_wait_while_paused(script, operate, paused):
    program = script()
    program.connect("a")
    assert "in use for" in operate("wait", "-t", "0", status=1).stderr
    program.finish("a")
    operate("wait")
    paused()
    program.connect("a")
    operate("wait")


def test_wait_ends_when_all_is_over(script, operate):
    program = script()
    program.connect("a")
    operate("drain", "all")
    waits = threading.Thread(target=operate, args=("wait",))
    waits.start()
    program.finish("a")
    waits.join(30)
    assert not waits.is_alive()


# ---- what is wrong -------------------------------------------------------------------


@pytest.mark.parametrize("words, status, says", [
    (["drain"], 2, "allowed is a process id, a pool's name (user@host:port/database), or all"),
    (["drain", "0"], 2, '"0": allowed is a process id'),
    (["drain", "everything"], 2, '"everything": allowed is a process id'),
    (["drain", "1", "2"], 2, "one at a time; allowed is"),
    (["drain", "4194305"], 1, "process 4194305 has no pool"),
    (["drain", "a@b:1/c"], 1, 'no program has a pool "a@b:1/c"'),
    (["pause", "all"], 2, '"all": no argument is allowed'),
    (["wait", "-t", "soon"], 2, '--timeout "soon": allowed is a time from 0'),
    (["resume", "-t", "1"], 2, "invalid option"),
    (["pause", "--socket", "/nowhere/socket"], 125, "/nowhere/socket"),
])
def test_bad_arguments(operate, words, status, says):
    said = operate(*words, status=status).stderr
    assert says in said and (said.count("\n") == 1 or "Try" in said)
    operate("resume")


def test_programs_with_an_earlier_library(operate, run):
    folder = os.path.join(run.folder, "pqpool")
    os.makedirs(folder, 0o700)
    path = os.path.join(folder, "0x1.page")
    with open(path, "wb") as f:
        f.write(pages.made_page(77, [pages.made_pool("u@h:1/d")], version=2))
    os.chmod(path, 0o600)
    with pages.living(path):
        for words in (["drain", "all"], ["pause"], ["resume"]):
            assert ("process 77 runs with an earlier pqpool, which takes no orders"
                    in operate(*words, status=125).stderr)
        operate("wait")
    with open(path, "rb") as f:
        assert f.read() == pages.made_page(77, [pages.made_pool("u@h:1/d")], version=2)


# ---- with a keeper -------------------------------------------------------------------

# A keeper that does not answer in time, on a busy machine, is gone without: so these try again.
TRIES = 20


@pytest.fixture
def shared(keep, script):
    """shared(keeper, name): a program that shares, with a session of the keeper's on `a`; and its
    backend."""
    def start(keeper, name="script", **env):
        for _ in range(TRIES):
            program = script(name=name, env={"PQPOOL_SHARE": keeper.path, **env})
            program = Steps(program) if name == "stepwise" else program
            pid = program.connect("a")
            if pid in [s.get("backend") for s in keeper.show("session")]:
                return program, pid
            program.finish("a")
            program.end()
        pytest.fail("the keeper is not asked")

    return start


def test_keeper_and_programs_together(keep, shared, server, operate):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    found = {"PQPOOL_SHARE": keeper.path}
    program, leased = shared(keeper, PQPOOL_TIMEOUT="300ms")
    other, idle = shared(keeper)
    other.finish("a")
    said = operate("drain", "all", env=found).stdout
    assert said.startswith("keeper: 2 sessions\n") and said.count(": 1 session\n") == 2
    # The keeper closes what lies idle in a program that makes no call.
    assert wait_until(lambda: not k.is_on(server, int(idle)))
    assert wait_until(lambda: operate("wait", "-t", "0", env=found,
                                      status=1).stderr.count("\n") == 2)
    left = operate("wait", "-t", "0", status=1, env=found).stderr
    assert "backend %s, in use for" % leased in left
    operate("pause", env=found)
    assert keeper.show("keeper")[0]["paused"] == "yes"
    assert "connects are paused" in program.refused("b")
    program.finish("a")
    operate("wait", env=found)
    assert not k.is_on(server, int(leased))
    operate("resume", env=found)
    assert keeper.show("keeper")[0]["paused"] == "no"
    assert program.connect("b") not in (leased, idle)


def test_the_keepers_refusal_says_so(keep, shared):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    for _ in range(TRIES):
        program, _ = shared(keeper, PQPOOL_TIMEOUT="300ms")
        keeper.say("pause")
        why = program.do("connect", "b")
        keeper.say("resume")
        if not why.isdigit():
            break
        program.finish("a", "b")
        program.end()
    assert "connects are paused (pqpool pause) until `pqpool resume`; state=leased" in why
    assert program.connect("b")


def test_the_keepers_limit_holds_after_a_pause(keep, shared, operate):
    """A connect in steps that waited in its process asks the keeper for its room."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    for _ in range(TRIES):
        program, _ = shared(keeper, "stepwise")
        program.finish("a")
        other, pid = shared(keeper)
        operate("pause")
        program.start("b")
        operate("resume")
        assert wait_until(lambda: program.step("b") in ("OK", "WRITING") or
                          keeper.count("waiting") == 1)
        waits = keeper.count("waiting") == 1
        other.finish("a")
        program.drive("b")
        if waits:
            break
        program.finish("b")
        program.end()
        other.end()
    assert waits and program.do("pid", "b") == pid


# ---- the walk-through of README.md -----------------------------------------------------


class Address:
    """A port of this machine that leads to a server, and later to another."""

    def __init__(self, server):
        self.server = server
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.server.port))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    @staticmethod
    def carry(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def walk_through():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read().partition("### Switchover")[2]
    return [line.strip() for line in text.partition("\n    ")[2].partition("\n\n")[0].splitlines()]


def test_walk_through(script, operate, server):
    """Line by line: the program sees no error, and nothing of the old server afterwards."""
    with Server() as new:
        address = Address(server)
        new.sql("ALTER ROLE app PASSWORD '%s'" % server.password)
        where = "host=127.0.0.1 port=%d password=%s" % (address.port, server.password)
        program = script()
        old = [program.connect(name, where) for name in ("leased", "idle")]
        assert program.exec("idle", "SHOW port") == str(server.port)
        program.finish("idle")
        done = []
        for line in walk_through():
            command, _, comment = line.partition("#")
            words = shlex.split(command)
            if not words:
                assert "move" in comment
                address.server = new
            elif words[1] == "wait":
                assert "in use" in operate("wait", "-t", "0", status=1).stderr
                program.finish("leased")
                operate(*words[1:])
                assert not [pid for pid in old if k.is_on(server, int(pid))]
            else:
                assert words[0] == "pqpool"
                operate(*words[1:])
            if words[1:2] == ["pause"]:
                program.do("begin", "meanwhile", where)
                program.await_events("wait", 1)
            done += words[1:2] or ["move"]
        assert done == ["pause", "drain", "wait", "move", "resume"]
        assert program.join("meanwhile")[1].isdigit()
        program.connect("later", where)
        for name in ("meanwhile", "later"):
            assert program.exec(name, "SHOW port") == str(new.port)
        assert not program.events("session_open_failed") and not program.events("timeout")
        program.finish("meanwhile", "later")
        program.end()
        address.listener.close()
