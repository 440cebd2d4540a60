# SPDX-License-Identifier: PostgreSQL
"""The keeper's process: processes that die, keepers that die, who may connect, and many at once."""
import os
import pwd
import random
import resource
import signal
import socket
import struct
import subprocess

import pytest

import keeper as k
from conftest import built
from keeper import Connection, Keeper, Member, Process, Session
from server import bare_environ, wait_until

pytestmark = pytest.mark.usefixtures("server")


# ---- processes that end

@pytest.mark.parametrize("state", [k.LEASED, k.IDLE, k.OFFERED])
def test_killed_process_gives_its_room_back_at_once(keep, server, state):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    with Process(k.holder, keeper.path, server, state) as process:
        backend = process.hear()
        if state == k.LEASED:
            ask = member.ask(0)
            assert ask.receive().type == k.WAIT
            process.kill()
        else:
            process.kill()
            ask = member.ask(0)
        answer = ask.answer()
        if state == k.LEASED:  # closed, never lent
            assert answer.type == k.ROOM_
            assert wait_until(lambda: not k.is_on(server, backend))
        else:
            assert answer.type == k.LEND
            session = Session.lent(answer)
            assert session.backend == backend and session.query("SELECT 5") == "5"
            session.close()
        assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "1")
    assert len([n for n in os.listdir(keeper.folder) if n.endswith(".member")]) == 1


def test_room_of_a_killed_process_goes_to_the_next(keep):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)

    def opens(pipe):
        ask = Member(keeper.path).ask(0)
        pipe.send(ask.answer().type)
        pipe.recv()

    with Process(opens) as process:
        assert process.hear() == k.ROOM_
        ask = Member(keeper.path).ask(0)
        assert ask.receive().type == k.WAIT
        process.kill()
        assert ask.answer().type == k.ROOM_


def test_connection_of_a_child_outlives_its_parent(keep, server):
    keeper = keep(SIZE=1)

    def begins(pipe):
        member = Member(keeper.path)
        session = member.lease(server, 0)
        if os.fork() == 0:
            pipe.recv()
            pipe.send(session.query("SELECT 'alive'"))

    with Process(begins) as process:
        assert process.wait() == 0
        assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "0")
        process.tell()
        assert process.hear() == "alive"


@pytest.mark.parametrize("child", [False, True])
def test_copy_of_an_earlier_process_keeps_no_session_alive(keep, server, child):
    """It was idle in a process, which is quiet since, and then lent to one that dies."""
    keeper = keep(SIZE=1)
    quiet = Member(keeper.path)
    session = quiet.lease(server, 0)
    backend = session.backend
    quiet.give_back(0, session)

    def dies(pipe):
        session.socket.close()
        quiet.page.close()
        member = Member(keeper.path)
        lent = member.take(0, member.ask(0))
        lent.query("BEGIN; SELECT pg_advisory_xact_lock(1)")
        if child and os.fork() == 0:
            pipe.send(None)
            pipe.recv()
            pipe.send(lent.query("SELECT 'alive'"))
            os._exit(0)
        elif not child:
            pipe.send(None)

    with Process(dies) as process:
        process.hear()
        assert process.wait() == 0
        assert quiet.state(0) == k.CLAIMED
        assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "1")
        if child:
            process.tell()
            assert process.hear() == "alive"
            session.close()
        assert wait_until(lambda: not k.is_on(server, backend))


def test_executed_program_has_no_sessions(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)

    def executes(pipe):
        member = Member(keeper.path)
        member.lease(server, 0)
        pipe.send(None)
        pipe.recv()
        os.set_inheritable(pipe.fileno(), True)
        os.execvp("cat", ["cat", "/dev/fd/%d" % pipe.fileno()])

    with Process(executes) as process:
        process.hear()
        ask = Member(keeper.path).ask(0)
        assert ask.receive().type == k.WAIT
        process.tell()
        assert ask.answer().type == k.ROOM_
        with open("/proc/%d/comm" % process.pid, encoding="ascii") as comm:
            assert comm.read() == "cat\n"


def test_process_that_closes_its_connection_keeps_its_sessions(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    first, second = Member(keeper.path), Member(keeper.path)
    session = first.lease(server, 0)
    first.connection.close()
    ask = second.ask(0, timeout=0.2)
    assert ask.answer().type == k.REFUSE
    # It says HELLO again, and hands over what it has.
    again = Member(keeper.path)
    again.opened(5, session)
    first.page.close()
    assert second.ask(0, timeout=0.2).answer().type == k.REFUSE
    again.give_back(5, session)
    lent = second.take(0, second.ask(0))
    assert lent.query("SELECT 6") == "6"
    lent.close()


def test_line_is_left_by_closing_the_question(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member, other = Member(keeper.path), Member(keeper.path)
    session = member.lease(server, 0)
    first, second = other.ask(0), other.ask(1)
    assert [a.receive().type for a in (first, second)] == [k.WAIT, k.WAIT]
    first.close()
    member.give_back(0, session)
    other.take(1, second).close()
    assert other.state(0) == k.FREE


def test_offer_that_is_not_taken_goes_back(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member, other = Member(keeper.path), Member(keeper.path)
    session = member.lease(server, 0)
    member.give_back(0, session)
    ask = other.ask(0)
    assert ask.answer().type == k.LEND
    ask.close()
    assert wait_until(lambda: other.state(0) == k.FREE)
    lent = other.take(1, other.ask(1))
    assert lent.backend == session.backend
    lent.close()


# ---- keepers that end

def test_killed_keeper_takes_only_its_idle_sessions(keep, server):
    keeper = keep(SIZE=5)
    member, other = Member(keeper.path), Member(keeper.path)
    leased, idle = member.lease(server, 0), member.lease(server, 1)
    member.give_back(1, idle)
    taken = other.take(0, other.ask(0))
    keeper.kill()
    for session in (leased, taken):
        assert session.query("SELECT 7") == "7"
        session.close()
    idle.close()


def test_limit_holds_over_the_death_of_a_keeper(keep, server):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    sessions = [member.lease(server, word) for word in range(2)]
    keeper.kill()
    keeper.start()
    other = Member(keeper.path)
    assert other.ask(0, timeout=0.1).answer().type == k.REFUSE
    assert keeper.show("pool")[0]["left"] == "2"
    # The old member comes to the new keeper: it hands over both.
    again = Member(keeper.path)
    for word, session in enumerate(sessions):
        again.opened(word, session)
    member.page.close()
    assert other.ask(0, timeout=0.1).answer().type == k.REFUSE
    assert wait_until(lambda: keeper.show("pool")[0]["left"] == "0")
    again.give_back(0, sessions[0])
    assert other.take(1, other.ask(1)).query("SELECT 8") == "8"
    for session in sessions:
        session.close()


def test_pages_of_the_dead_are_removed_by_the_next_keeper(keep, server):
    keeper = keep(SIZE=2)
    with Process(k.holder, keeper.path, server, k.LEASED) as process:
        process.hear()
        keeper.kill()
    assert [n for n in os.listdir(keeper.folder) if n.endswith(".member")]
    keeper.start()
    assert not [n for n in os.listdir(keeper.folder) if n.endswith(".member")]


def test_pages_of_another_version_are_left_while_their_processes_live(keep, server):
    """A keeper that was upgraded, and then the old one again: it counts what its members have."""
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    page, = [n for n in os.listdir(keeper.folder) if n.endswith(".member")]
    members = []
    for protocol in (k.PROTOCOL + 1, k.PROTOCOL):
        keeper.kill()
        with open(os.path.join(keeper.folder, page), "rb+") as f:
            f.write(struct.pack("I", protocol))
        keeper.start()
        members.append(keeper.show("keeper")[0]["members"])
        assert page in os.listdir(keeper.folder)
    assert members == ["0", "1"]
    member.page.close()
    session.close()


def test_pages_of_a_keeper_with_a_longer_name_are_its_own(memory, server):
    long, short = (Keeper(built("pqpool"), memory) for _ in range(2))
    long.path += ".test"
    with long:
        member = Member(long.path)
        session = member.lease(server, 0)
        with short:
            assert short.show("keeper")[0]["members"] == "0"
        assert long.show("keeper")[0]["members"] == "1"
        member.give_back(0, session)


def test_a_file_in_the_sockets_place_is_left(memory):
    path = memory / "pqpool.conf"
    path.write_text("PQPOOL_SIZE=3\n")
    os.chmod(memory, 0o700)
    done = subprocess.run([built("pqpool"), "keep", "--socket", path], env=bare_environ(),
                          text=True, timeout=20, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (
        125, "pqpool: keep: %s: Address already in use\n" % path)
    assert path.read_text() == "PQPOOL_SIZE=3\n"


def test_a_keeper_without_descriptors_turns_away(keep):
    """Who comes goes on alone at once, and does not wait for it."""
    keeper = keep()
    pid = keeper.process.pid
    used = len(os.listdir("/proc/%d/fd" % pid))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    for _ in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(k.SECONDS)
            s.connect(keeper.path)
            assert s.recv(1) == b""
    assert len(keeper.events("status")) == 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    ask = Member(keeper.path).ask(0)
    assert ask.answer().type == k.ROOM_
    assert len(os.listdir("/proc/%d/fd" % pid)) > used


@pytest.mark.parametrize("command", ["show", "pause", "resume", "wait"])
def test_a_command_for_all_takes_no_process(keep, command):
    keeper = keep()
    done = keeper.say(command, "4711", check=False)
    assert done.returncode != 0 and "takes no words" in done.stderr
    ask = Member(keeper.path).ask(0)
    assert ask.answer().type == k.ROOM_, "it is not paused"


def test_sigterm_closes_idle_sessions_properly(keep, server):
    keeper = keep(SIZE=5)
    member, other = Member(keeper.path), Member(keeper.path)
    sessions = [member.lease(server, word) for word in range(3)]
    for word in range(2):
        member.give_back(word, sessions[word])
    ask = other.ask(0)
    taken = other.take(0, ask)
    assert keeper.end() == 0
    assert member.connection.is_closed() and other.connection.is_closed()
    assert not os.path.exists(keeper.path)
    gone = [s for s in sessions[:2] if s.backend != taken.backend][0]
    assert wait_until(lambda: not k.is_on(server, gone))
    assert taken.query("SELECT 1") == "1" and sessions[2].query("SELECT 2") == "2"
    with open(os.path.join(server.folder.path, "log"), encoding="utf-8") as log:
        assert "[%d] LOG:  unexpected EOF" % gone.backend not in log.read()
    for session in (taken, sessions[2]):
        session.close()


def test_two_never_serve_one_path(keep):
    keeper = keep()
    done = subprocess.run([keeper.tool, "keep", "--socket", keeper.path], env=keeper.env, text=True,
                          capture_output=True, timeout=20, check=False)
    assert done.returncode == 125 and "another keeper serves it" in done.stderr
    assert keeper.serves()


def test_bad_setting_is_bad_usage(keep):
    keeper = keep()
    done = subprocess.run([keeper.tool, "keep", "--socket", keeper.path],
                          env={**keeper.env, "PQPOOL_SIZE": "x"}, text=True, capture_output=True,
                          timeout=20, check=False)
    assert done.returncode == 2 and 'PQPOOL_SIZE="x"' in done.stderr


def test_options_may_follow_the_command(keep):
    keeper = keep()
    done = subprocess.run([keeper.tool, "keep", "show", "--socket", keeper.path], env=keeper.env,
                          text=True, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0 and "pid=%d " % keeper.process.pid in done.stdout


def test_ends_when_it_is_quiet(keep):
    keeper = keep(args=["--quiet-exit", "0.5"])
    member = Member(keeper.path)
    assert keeper.process.poll() is None
    assert member.ask(0).answer().type == k.ROOM_
    member.close()
    assert keeper.process.wait(20) == 0
    assert not os.path.exists(keeper.path)


def test_daemon_serves_when_its_starter_ends(memory):
    keeper = Keeper(built("pqpool"), memory, args=["--daemon", "--quiet-exit", "0.3"])
    subprocess.run([keeper.tool, "keep", "--socket", keeper.path, *keeper.args], env=keeper.env,
                   timeout=20, check=True)
    pid = int(keeper.show("keeper")[0]["pid"])
    assert os.getsid(pid) == pid != os.getsid(0)
    assert wait_until(lambda: not os.path.exists(keeper.path))
    assert wait_until(lambda: not os.path.exists("/proc/%d" % pid) or
                      open("/proc/%d/stat" % pid, encoding="utf-8").read().split(") ")[1][0] == "Z")


def test_socket_of_a_service_manager(memory):
    keeper = Keeper(built("pqpool"), memory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(keeper.path)
        listener.listen()

        def pass_it():
            os.dup2(listener.fileno(), 3)
            os.environ.update(keeper.env, LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
            os.execv(keeper.tool, [keeper.tool, "keep", "--socket", keeper.path])

        with Process(lambda pipe: pass_it()) as process:
            assert keeper.show("keeper")[0]["pid"] == str(process.pid)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait() == 0
        assert os.path.exists(keeper.path)


# ---- who may connect

@pytest.mark.skipif(os.geteuid() != 0, reason="only root is others, too")
def test_other_users_are_cut_off(keep):
    keeper = keep()
    os.chmod(keeper.folder, 0o755)
    os.chmod(keeper.path, 0o777)
    for folder in (keeper.folder, os.path.dirname(keeper.folder)):
        assert os.stat(folder).st_mode & 0o1
    nobody = pwd.getpwnam("postgres")

    def tries(pipe):
        os.setgroups([])
        os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
        os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
        connection = Connection(keeper.path)
        try:
            connection.send(k.HELLO, struct.pack("=I", 4) + b"evil")
        except (BrokenPipeError, ConnectionResetError):
            pass
        pipe.send(connection.is_closed())

    with Process(tries) as process:
        assert process.hear() is True
    os.chmod(keeper.folder, 0o700)
    assert Member(keeper.path).id


@pytest.mark.parametrize("how", ["open to others", "another's", "a link"])
def test_directory_must_be_private(memory, how):
    folder = memory / "d"
    folder.mkdir(mode=0o700)
    if how == "open to others":
        folder.chmod(0o750)
    elif how == "another's":
        os.chown(folder, 1, 1)
    else:
        folder.rename(memory / "real")
        folder.symlink_to(memory / "real")
    done = subprocess.run([built("pqpool"), "keep", "--socket", str(folder / "s")], text=True,
                          capture_output=True, timeout=20, check=False)
    assert done.returncode == 125 and "closed to others" in done.stderr


def test_unknown_command_is_bad_usage():
    """Whether a keeper runs or not: none is asked."""
    done = subprocess.run([built("pqpool"), "keep", "start"], text=True, capture_output=True, timeout=20,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", 'pqpool: keep: "start": allowed is show, set, drain, pause, resume or wait\n')


def head(kind, length, protocol=k.PROTOCOL):
    return k.HEAD.pack(protocol, kind, length)


GARBAGE = [
    b"", b"\0", b"x" * 11, b"x" * 65536,
    head(k.HELLO, 16, k.PROTOCOL + 1) + struct.pack("=I", 0),  # a later version
    head(k.HELLO, 17) + struct.pack("=I", 0),                 # another length
    head(k.HELLO, 16) + struct.pack("=I", 1 << 31),           # a text that is not there
    head(99, 12), head(k.WELCOME, 12),
    head(k.NUDGE, 12),                                        # of no member
    head(k.ASK, 76) + bytes(64),                              # of no member
    head(k.COMMAND, 20) + struct.pack("=I", 4) + b"\0\0\0\0",
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_ends_the_connection_only(keep, data):
    keeper = keep()
    before = keeper.descriptors()
    connection = Connection(keeper.path)
    socket.send_fds(connection.socket, [data], [0, 1])
    assert connection.is_closed()
    connection.close()
    connection = Connection(keeper.path)
    connection.socket.send(data)
    if data:
        assert connection.is_closed()
    connection.close()
    assert Member(keeper.path).id
    assert wait_until(lambda: keeper.descriptors() <= before + 3)


@pytest.mark.parametrize("kind, body", [
    (k.OPENED, bytes(112)), (k.OPENED, b""), (k.NUDGE, b"x"), (k.ASK, bytes(64)),
    (k.OPENED, struct.pack("=I32sI", 300, b"", 1) + bytes(72) + b"l"),
    (k.OPENED, struct.pack("=I32sI", 0, b"", 9) + k.RECORD.pack(0, 0, 0, 0, 0, 0, b"", 1 << 31,
                                                               1 << 31, 0) + b"label"),
    (k.OPENED, struct.pack("=I32sI", 0, b"", 1) + k.RECORD.pack(0, 0, 0, 0, 0, 41, b"", 0, 0, 0) + b"l"),
])
def test_garbage_of_a_member_ends_its_connection_only(keep, kind, body):
    keeper = keep()
    member, other = Member(keeper.path), Member(keeper.path)
    member.connection.send(kind, body, [0] if len(body) > 112 else [])
    assert member.connection.is_closed()
    assert other.ask(0).answer().type == k.ROOM_


def test_word_that_is_not_free_is_no_answer(keep, server):
    keeper = keep(SIZE=3)
    member = Member(keeper.path)
    session = member.lease(server, 0)
    assert member.ask(0).answer() is None
    assert session.query("SELECT 1") == "1"
    session.close()


# ---- all at once

def works(pipe, path, server, seed, rounds):
    """Leases and gives back at random; says how often a session was not clean."""
    rng = random.Random(seed)
    member = Member(path, "p%d" % seed)
    mine = {}  # idle sessions of mine, by word
    dirty = refused = 0
    for _ in range(rounds):
        for word in [w for w in mine if member.state(w) == k.CLAIMED]:
            mine.pop(word).socket.close()
            member.change(word, k.FREE)
        word = next(w for w in range(256) if member.state(w) == k.FREE)
        ask = member.ask(word, timeout=30)
        answer = ask.answer()
        if answer.type == k.REFUSE:
            refused += 1
            continue
        if answer.type == k.LEND:
            session = Session.lent(answer)
            member.change(word, k.LEASED)
        else:
            session = Session(server)
            member.opened(word, session)
        ask.close()
        dirty += session.query("SELECT current_setting('my.mark', true)") not in ("", None)
        session.query("SET my.mark = 'x'; SELECT 1")
        if rng.random() < 0.1:
            session.socket.sendall(b"X\0\0\0\4")
            assert session.has_ended()
            session.socket.close()
            member.change(word, k.GONE)
            if member.attention:
                member.nudge()
        else:
            member.give_back(word, session)
            mine[word] = session
    pipe.send((dirty, refused))
    pipe.recv()


@pytest.mark.limit(300)
def test_limit_holds_and_none_is_forgotten_with_twenty_at_random(keep, server):
    keeper = keep(SIZE=3, MAX_OVERFLOW=1, LOG_LEVEL="info")
    peak = 0
    processes = [Process(works, keeper.path, server, seed, 40) for seed in range(20)]
    left = set(processes)
    while left:
        now = server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keeping'")
        peak = max(peak, int(now[0][0]))
        for process in [p for p in left if p.pipe.poll(0)]:
            assert process.hear() == (0, 0)
            left.remove(process)
    assert peak <= 4
    for process in processes:
        process.kill()
    assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "0")
    assert wait_until(lambda: keeper.count("idle") <= 3 and keeper.count("in_use") == 0)


def memory_of(pid):
    with open("/proc/%d/statm" % pid, encoding="ascii") as statm:
        return int(statm.read().split()[1])


@pytest.mark.limit(300)
def test_nothing_grows_in_ten_thousand_rounds(keep, server):
    keeper = keep(SIZE=2, LOG_LEVEL="info")
    members = [Member(keeper.path), Member(keeper.path)]
    session = members[0].lease(server, 0)
    held = 0
    for i in range(10000):
        giver, taker = members[i % 2], members[(i + 1) % 2]
        giver.give_back(0, session)
        lent = taker.take(0, taker.ask(0, ping=i % 3 == 0))
        session.socket.close()
        giver.change(0, k.FREE)
        session = lent
        if i == 1000:
            held = keeper.descriptors(), memory_of(keeper.process.pid)
    assert memory_of(keeper.process.pid) <= held[1]
    for _ in range(200):
        Member(keeper.path).close()
    assert wait_until(lambda: keeper.descriptors() <= held[0])
    assert session.query("SELECT 1") == "1"
    session.close()
