# SPDX-License-Identifier: PostgreSQL
"""What the keeper does by the clock, without any program calling, and on command."""
import os
import re
import signal
import socket
import subprocess

import pytest

import keeper as k
from conftest import built
from keeper import Keeper, Member, Process, Session
from server import wait_until
from tables import rows


# ---- by the clock, without any program calling

def test_idle_sessions_are_closed_after_their_time(keep, server):
    keeper = keep(SIZE=5, IDLE_TIMEOUT="300ms")
    member, other = Member(keeper.path), Member(keeper.path)
    sessions = [member.lease(server, word) for word in range(2)]
    for word, session in enumerate(sessions):
        member.give_back(word, session)
    other.give_back(0, other.take(0, other.ask(0)))
    assert wait_until(lambda: not any(k.is_on(server, s) for s in sessions))
    assert wait_until(lambda: keeper.show("session") == [])


def test_old_sessions_are_not_lent(keep, server):
    keeper = keep(SIZE=5, RECYCLE="1h")
    member = Member(keeper.path)
    assert member.ask(0).answer().type == k.ROOM_
    session = Session(server)
    member.opened(0, session, age=3601)
    member.give_back(0, session)
    assert member.ask(1).answer().type == k.ROOM_
    assert session.has_ended()


def test_host_at_rest_has_size_sessions(keep, server):
    keeper = keep(SIZE=2, MAX_OVERFLOW=8)
    member = Member(keeper.path)
    sessions = [member.lease(server, word) for word in range(6)]
    for word in range(5):
        member.give_back(word, sessions[word])
    assert wait_until(lambda: keeper.count("idle") == 1 and keeper.count("in_use") == 1)
    member.give_back(5, sessions[5])
    assert wait_until(lambda: keeper.count("idle") == 2)
    assert wait_until(lambda: sum(k.is_on(server, s) for s in sessions) == 2)


def test_session_that_its_server_ends_is_closed(keep, server):
    keeper = keep(SIZE=5)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    member.give_back(0, session)
    server.sql("SELECT pg_terminate_backend(%d)" % session.backend)
    assert wait_until(lambda: keeper.show("session") == [])
    assert member.state(0) == k.CLAIMED


def test_keepalive_only_while_it_is_held(keep, server):
    keeper = keep(SIZE=5, KEEPALIVE=77)
    member, other = Member(keeper.path), Member(keeper.path)
    session = Session(server, tcp=True)
    option = lambda s: [s.socket.getsockopt(*o) for o in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))]
    assert member.ask(0).answer().type == k.ROOM_
    session.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1234)
    member.opened(0, session)
    member.give_back(0, session)
    ask = other.ask(0)
    assert ask.answer().type == k.LEND
    assert option(session) == [0, 1234]
    ask.close()
    assert wait_until(lambda: option(session) == [1, 77])
    lent = other.take(1, other.ask(1))
    assert option(lent) == [0, 1234] and lent.query("SELECT 1") == "1"
    lent.close()


# ---- commands

def test_limit_is_changed_while_it_runs(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    ask = member.ask(1)
    assert ask.receive().type == k.WAIT
    keeper.say("set", "size=2")
    assert ask.answer().type == k.ROOM_
    assert keeper.show("keeper")[0]["limit"] == "2"
    for bad in ("size=x", "log=/x", "size", ""):
        assert keeper.say("set", bad, check=False).returncode == 125
    keeper.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: keeper.show("keeper")[0]["limit"] == "1")
    session.close()


def test_settings_of_a_file(keep, memory, tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("# limits\nPQPOOL_SIZE=3\n")
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, args=["--config", str(settings)])
    assert keeper.show("keeper")[0]["size"] == "3"
    settings.write_text("PQPOOL_SIZE=4\n")
    keeper.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: keeper.show("keeper")[0]["size"] == "4")
    settings.write_text("PQPOOL_SIZE=many\n")
    keeper.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: keeper.events("status"))
    assert keeper.show("keeper")[0]["size"] == "4"


def test_drain_closes_idle_at_once_and_others_when_given_back(keep, server):
    keeper = keep(SIZE=5)
    member = Member(keeper.path)
    idle, leased = member.lease(server, 0), member.lease(server, 1)
    other = member.lease(server, 2, b"other", label="another")
    member.give_back(0, idle)
    assert keeper.say("drain", "u@h:1/d").stdout == "drained=2\n"
    assert idle.has_ended()
    assert keeper.say("drain", "all").stdout == "drained=2\n"
    waits = subprocess.Popen([keeper.tool, "keep", "--socket", keeper.path, "wait"])
    assert leased.query("SELECT 1") == "1" and waits.poll() is None
    for word, session in ((1, leased), (2, other)):
        member.give_back(word, session)
    assert waits.wait(20) == 0
    assert leased.has_ended()


def test_drain_of_a_process(keep, server):
    keeper = keep(SIZE=5)
    with Process(k.holder, keeper.path, server, k.IDLE) as process:
        backend = process.hear()
        assert keeper.say("drain", "1").stdout == "drained=0\n"
        assert keeper.say("drain", str(process.pid)).stdout == "drained=1\n"
        assert wait_until(lambda: not k.is_on(server, backend))


def test_pause_lets_connects_wait(keep, server):
    keeper = keep(SIZE=5)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    keeper.say("pause")
    ask = member.ask(1)
    assert ask.receive().type == k.WAIT and member.attention == 1
    waits = subprocess.Popen([keeper.tool, "keep", "--socket", keeper.path, "wait"])
    assert member.ask(2, timeout=0.1).answer().type == k.REFUSE
    assert waits.poll() is None
    member.give_back(0, session)
    assert waits.wait(20) == 0
    keeper.say("resume")
    member.take(1, ask).close()
    assert member.attention == 0


def test_show_is_not_cut(keep, server):
    keeper = keep(SIZE=200)
    members = [Member(keeper.path, "p%d" % i) for i in range(4)]
    for member in members:
        for word in range(50):
            assert member.ask(word, place="x" * 900).answer().type == k.ROOM_
    assert len(keeper.show("session")) == 200


def usual(tool, keeper, *words):
    """A command that finds the keeper by PQPOOL_SHARE."""
    done = tool(*words, env={"PQPOOL_SHARE": keeper.path})
    assert done.returncode == 0, done
    return done.stdout


def test_commands_for_a_switchover(keep, server, tool):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    assert usual(tool, keeper, "pause") == ""
    waiting = member.ask(1)
    assert waiting.receive().type == k.WAIT
    assert usual(tool, keeper, "drain", "u@h:1/d") == "keeper: 1 session\n"
    member.give_back(0, session)
    assert usual(tool, keeper, "wait") == ""
    assert session.has_ended()
    assert usual(tool, keeper, "resume") == ""
    assert waiting.answer().type == k.ROOM_
    for wrong in (["drain"], ["drain", "1", "2"], ["pause", "x"], ["wait", "--no"]):
        assert tool(*wrong).returncode == 2


def test_top_and_metrics_show_the_keeper(keep, server, tool):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    idle, leased = member.lease(server, 0), member.lease(server, 1)
    other = member.lease(server, 2, b"other")  # the same to read, but for the password
    waiting = member.ask(3)
    assert waiting.receive().type == k.WAIT
    keeper.say("pause")
    member.give_back(0, idle)
    row, = [r for r in rows(usual(tool, keeper, "top", "-1")) if r["PROGRAM"] == "(keeper)"]
    row.pop("UID", None)  # a column where somebody else's programs are pooled, too
    assert row == {"PID": str(keeper.process.pid), "PROGRAM": "(keeper)", "IN USE": "2", "IDLE": "1",
                   "WAITING": "1", "LIMIT": "2", "WAITS": "-", "TIMEOUTS": "-", "OLDEST": "-",
                   "POOL": "u@h:1/d", "TAKEN AT": ""}
    text = usual(tool, keeper, "metrics")
    for sample in ("members 1", "sessions_limit 2", 'sessions_in_use{pool="u@h:1/d"} 2',
                   'sessions_idle{pool="u@h:1/d"} 1', 'waiting{pool="u@h:1/d"} 1'):
        assert text.count("\npqpool_keeper_%s\n" % sample) == 1
    assert text.endswith("# EOF\n")
    assert usual(tool, keeper, "keep", "show").count("kind=session") == 3
    keeper.kill()
    for command in ("top", "metrics"):
        shown = usual(tool, keeper, command)
        assert "(keeper)" not in shown and "pqpool_keeper" not in shown
    for session in (leased, other):
        session.close()


def test_usual_place(tool, run):
    """In the directory of status pages, whose readers leave the members' pages alone."""
    assert tool("keep", "show").returncode == 125
    assert tool("keep", "--daemon", "--quiet-exit", "0.3").returncode == 0
    path = os.path.join(run.folder, "pqpool", "keeper.socket")
    member = Member(path)
    assert "members=1" in tool("keep", "show").stdout
    assert member.ask(0).answer().type == k.ROOM_
    assert run.folder not in tool("top", "-1").stderr
    member.close()
    assert wait_until(lambda: not os.path.exists(path))


def test_log_is_rotated(keep):
    keeper = keep(LOG_MAX_SIZE="20kB", LOG_KEEP=2)
    for _ in range(60):
        for _ in range(5):
            Member(keeper.path).close()
        keeper.say("show")
    names = sorted(n for n in os.listdir(keeper.folder) if n.startswith("log"))
    assert names == ["log", "log.1", "log.2"]
    for name in names:
        with open(os.path.join(keeper.folder, name), encoding="utf-8") as log:
            lines = log.read().splitlines()
        assert sum(map(len, lines)) < 21000
        assert all(line.startswith("time=2") and " event=" in line for line in lines)


def test_pipe_that_nobody_reads_does_not_stop_it(memory):
    keeper = Keeper(built("pqpool"), memory, {"PQPOOL_LOG": "stderr"})
    read, write = os.pipe()
    with subprocess.Popen([keeper.tool, "keep", "--socket", keeper.path], env=keeper.env,
                          stderr=write) as process:
        assert wait_until(keeper.serves)
        for _ in range(300):  # more than a pipe holds
            Member(keeper.path).close()
        assert keeper.show("keeper")[0]["pid"] == str(process.pid)
        process.terminate()
        assert process.wait(20) == 0
    os.close(read)
    os.close(write)


def test_run_starts_a_keeper_that_ends_by_itself(tool, program, server, memory):
    memory.chmod(0o700)
    path = str(memory / "socket")
    answers = []
    read, write = os.pipe()
    os.set_inheritable(write, True)
    for _ in range(3):
        done = tool("run", "--share", path, "--size", "7", "--", program("cycle"), "1",
                    "SELECT pg_backend_pid()", env=server.env(), pass_fds=[write])
        assert done.returncode == 0 and not done.stderr, done
        answers.append(done.stdout)
    os.close(write)
    assert os.read(read, 1) == b""  # the keeper has not kept it open
    os.close(read)
    assert len(set(answers)) == 1
    shown = tool("keep", "--socket", path, "show").stdout
    assert shown.count("kind=session") == 1 and " size=7 " in shown
    pid = re.search(r"kind=keeper pid=(\d+)", shown)[1]
    with open("/proc/%s/cmdline" % pid, encoding="ascii") as line:
        assert line.read().split("\0")[1:-1] == ["keep", "--daemon", "--quiet-exit", "60"]
    os.kill(int(pid), signal.SIGTERM)
    assert wait_until(lambda: not os.path.exists(path))


def test_run_without_a_place_for_the_keeper_runs_without(tool, program, server, memory):
    memory.chmod(0o755)
    done = tool("run", "--share", str(memory / "socket"), "--", program("cycle"), "1", "SELECT 1",
                env=server.env())
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "closed to others" in done.stderr


@pytest.fixture
def lent(keep, server, leaks):
    """Two members' sessions, one of them idle; lent(...): what `pqpool leaks` says."""
    keeper = keep(SIZE=4)
    member = Member(keeper.path, "job")
    sessions = [member.lease(server, 0, place="/srv/job.py:12"),
                member.lease(server, 1, place="my app+0x1205 (main)"),
                member.lease(server, 2, place="/srv/job.py:13")]
    assert wait_until(lambda: len([s for s in keeper.show("session") if "backend" in s]) == 3)
    member.give_back(2, sessions[2])
    yield sessions, lambda *words, **more: leaks(
        *words, env={"PQPOOL_SHARE": keeper.path, "XDG_RUNTIME_DIR": keeper.folder}, **more)
    for session in sessions:
        session.close()


@pytest.mark.parametrize("words", [["--keeper"], [os.getpid()]])
def test_leaks_tells_what_the_keeper_has_lent(lent, words):
    sessions, says = lent
    said = says(*words)
    assert said.returncode == 0, said.stderr
    assert (said.document["leaked"], said.document["held"]) == (0, 2)
    assert {p["kind"] for p in said.places} == {"held"}
    assert said.backends == {s.backend for s in sessions[:2]}
    assert sorted(p.get("script", "") for p in said.places) == ["", "/srv/job.py:12"]
    frame, = [f for p in said.places for f in p["frames"]]
    assert (frame["module"], frame["offset"], frame["function"]) == ("my app", "0x1205", "main")
    for lease in (lease for p in said.places for lease in p["leases"]):
        assert lease["pid"] == os.getpid() and lease["program"] == "job"
        assert lease["pool"] == "u@h:1/d" and "taken" in lease and lease["hold_us"] >= 0
        assert not {"lease", "session", "thread"} & set(lease)
    text = says(*words, as_json=False).stdout.decode()
    assert text.startswith("pqpool: no connection leaked (job %d)\npqpool: 2 connections held by a "
                           "running process, taken at 2 places\n" % os.getpid())
    assert ", taken at /srv/job.py:12\n    job %d: backend %d, held " % (
        os.getpid(), sessions[0].backend) in text


def test_leaks_has_the_process_tell_more(keep, script, leaks, run):
    """Where there is a status page, the lease is what that says."""
    keeper = keep()
    program = script(env={"PQPOOL_SHARE": keeper.path})
    pid = program.connect("a")
    program.exec("a", "SELECT 1 FROM pg_class")
    assert wait_until(lambda: [s.get("backend") for s in keeper.show("session")] == [pid])
    said = leaks("--keeper", env={"PQPOOL_SHARE": keeper.path, "XDG_RUNTIME_DIR": run.folder})
    lease, = (lease for p in said.places for lease in p["leases"])
    assert (lease["backend"], lease["lease"]) == (int(pid), 1)
    assert lease["statement"] == "SELECT ..." and lease["program"] == "script"


def test_leaks_without_a_keeper(leaks, memory):
    env = {"PQPOOL_SHARE": str(memory / "none"), "XDG_RUNTIME_DIR": str(memory)}
    said = leaks("--keeper", env=env)
    assert said.returncode == 125 and b"no keeper of this user's answers" in said.stderr
    said = leaks("4194305", env=env)
    assert said.returncode == 125 and b"process 4194305 has no status page" in said.stderr
    said = leaks("--keeper", "1", env=env)
    assert said.returncode == 2 and b'"1": with --keeper neither' in said.stderr
