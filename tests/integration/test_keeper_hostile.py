# SPDX-License-Identifier: PostgreSQL
"""What another process, a full disk, or whoever tidies up may do to the keeper and to what talks
to it."""
import os
import random
import shutil
import socket
import struct
import subprocess

import pytest

import keeper as k
from conftest import built
from keeper import Connection, Keeper, Member, Process, Session
from running import SPAWN_NAMESPACE, stopped
from server import bare_environ, wait_until

pytestmark = pytest.mark.usefixtures("server")


def greeted(path):
    """A member; None: it was refused."""
    try:
        return Member(path)
    except AssertionError:
        return None


def pages(keeper):
    return [os.path.join(keeper.folder, n) for n in os.listdir(keeper.folder)
            if n.endswith(".member")]


# ---- processes of the same user

def test_pages_that_are_cut_short(keep):
    """As any process of the user's can; its member has nothing from then on."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    page, = pages(keeper)
    other = Member(keeper.path)
    assert member.ask(0).answer().type == k.ROOM_
    os.truncate(page, 0)
    assert other.ask(0, timeout=0.1).answer().type == k.REFUSE
    assert len(keeper.show("session")) == 1
    member.close()
    assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "1")
    assert other.ask(1).answer().type == k.ROOM_


@pytest.mark.parametrize("said, shown", [
    (b"x" * k.PLACE_BYTES * k.PLACES, "x" * (k.PLACE_BYTES - 1)),  # no end
    (b"a.py:1\nkind=session pool=made.up\0", "a.py:1"),
    (b"\x1b[2Ja.py:1\0", None),
    (b"a\xff\xfe\xc3.py:1 \xc3\xa9\0", "a???.py:1 \u00e9"),
])
def test_place_in_a_page_is_one_line(keep, said, shown):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member, other = Member(keeper.path), Member(keeper.path)
    assert member.ask(0, place="").answer().type == k.ROOM_
    member.tell_place(0, said)
    session, = keeper.show("session")
    assert session.get("place") == shown
    assert len(other.ask(0, timeout=0).answer().text.splitlines()) == 1


@pytest.mark.parametrize("kind, body, fds", [
    (k.HELLO, struct.pack("=I", 4) + b"test", []),
    (k.HELLO, struct.pack("=I", 4) + b"test", [0]),
    (k.COMMAND, struct.pack("=I", 4) + b"show", []),
    (k.BELL, b"", [0]),
    (None, b"", []),
], ids=["hello", "hello with a descriptor", "command", "bell", "nothing"])
def test_what_cannot_be_watched_is_closed(memory, module, kind, body, fds):
    """Where the kernel allows no more watches (fs.epoll.max_user_watches)."""
    full = memory / "full"
    env = {"LD_PRELOAD": module("unwatched", "unwatched.so", "-ldl"), "UNWATCHED": str(full)}
    with Keeper(built("pqpool"), memory, env) as keeper:
        assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "0")
        before = keeper.descriptors()
        full.touch()
        with stopped(keeper.process.pid):  # it finds both at once
            connection = Connection(keeper.path)
            if kind is not None:
                connection.send(kind, body, fds)
        assert connection.is_closed()
        assert full.stat().st_size > 0, "the fault did not happen"
        full.unlink()
        connection.close()
        assert wait_until(lambda: keeper.descriptors() == before)
        assert Member(keeper.path).ask(0).answer().type == k.ROOM_


def test_nonsense_in_a_page_harms_nobody_else(keep, server):
    keeper = keep(SIZE=2, MAX_OVERFLOW=0, TIMEOUT=20)
    first, second, evil = (Member(keeper.path) for _ in range(3))
    chance = random.Random(7)
    session = first.lease(server, 0, b"ours")
    for i in range(200):
        for _ in range(chance.randrange(6)):
            struct.pack_into("=I", evil.page, k.WORD0 + 4 * chance.randrange(8),
                             chance.choice([chance.getrandbits(32), chance.randrange(16)]))
        struct.pack_into("=I", evil.page, chance.randrange(0, k.WORD0, 4), chance.getrandbits(32))
        evil.nudge()
        ask = evil.ask(chance.randrange(8), chance.choice([b"ours", b"theirs"]), timeout=0)
        if chance.randrange(3) == 0:
            left, right = socket.socketpair()
            with left, right:
                fake = Session()
                fake.socket, fake.opened_ns, fake.local, fake.backend = left, 0, True, 1
                fake.startup = fake.reply = bytes(chance.randrange(64))
                evil.opened(chance.randrange(8), fake, b"theirs",
                            state=chance.choice([k.LEASED, k.IDLE]))
                right.send(bytes(chance.randrange(40)))
        ask.close()
        if i % 20 == 0:
            # A question that is over, but not seen so yet, may be found the session.
            assert wait_until(lambda: keeper.count("waiting") == 0)
            first.give_back(0, session)
            session = second.take(0, second.ask(0, b"ours"))
            assert session.query("SELECT %d" % i) == str(i)
            first.change(0, k.FREE)
            first, second = second, first
    assert keeper.process.poll() is None
    evil.close()
    assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "2")
    session.close()


def test_no_process_asks_for_another(keep, server):
    keeper = keep(SIZE=5)
    member = Member(keeper.path)

    def asks(pipe):
        ask = member.ask(0)
        pipe.send(ask.is_closed())

    with Process(asks) as process:
        assert process.hear() is True
    assert member.state(0) == k.FREE
    assert member.ask(0).answer().type == k.ROOM_


def test_room_of_one_that_lost_its_connection(keep):
    """Its word says that no session was opened, and no message can."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    member, other = Member(keeper.path), Member(keeper.path)
    assert member.ask(0).answer().type == k.ROOM_
    member.connection.close()
    member.change(0, k.GONE)
    assert other.ask(0).answer().type == k.ROOM_
    assert wait_until(lambda: member.state(0) == k.FREE)


def test_socket_that_lingers_does_not_stop_the_keeper(keep, server):
    """Closing it would wait for a peer that does not read."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)

    def fills(pipe):
        member = Member(keeper.path)
        assert member.ask(0).answer().type == k.ROOM_
        session = Session(server, tcp=True)
        member.opened(0, session)
        session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 60))
        pipe.send(session.backend)
        pipe.recv()
        session.socket.setblocking(False)
        try:
            while True:
                session.socket.send(b"Q\0\1\0\0" + b" " * 65535)
        except BlockingIOError:
            pass
        pipe.send(None)
        pipe.recv()

    with Process(fills) as process:
        backend = process.hear()
        with stopped(backend):
            process.tell()
            process.hear()
            process.kill()
            assert wait_until(lambda: keeper.show("keeper")[0]["members"] == "0")


def test_answer_that_nobody_reads_costs_no_time(keep):
    """Who has closed its writing end may still read: the keeper waits for it, and does not spin."""
    keeper = keep(SIZE=200, MAX_OVERFLOW=0)
    member = Member(keeper.path)
    for word in range(200):
        label = "u@" + "host," * 1000 + ":1/%d" % word
        assert member.ask(word, b"%d" % word, label=label).answer().type == k.ROOM_

    def processor_ticks():
        with open("/proc/%d/stat" % keeper.process.pid, encoding="ascii") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))

    asks = Connection(keeper.path)
    asks.send(k.COMMAND, struct.pack("=I", 4) + b"show")
    asks.socket.shutdown(socket.SHUT_WR)
    first = asks.receive()
    assert len(keeper.show("keeper")) == 1
    before = processor_ticks()
    assert not wait_until(lambda: processor_ticks() > before + 4, 2)
    answers = [first, *iter(asks.receive, None)]
    assert sum(len(answer.body) for answer in answers) > 1 << 19  # no socket holds that
    assert [answer.body[0] for answer in answers] == [1] * (len(answers) - 1) + [0]
    asks.close()


# ---- a place that is lost

def test_full_memory_refuses_members(memory):
    """The pages' file system is full: who comes then does without, and nobody is harmed."""
    with subprocess.Popen(
            [*SPAWN_NAMESPACE, "sh", "-c", 'mount -t tmpfs -o size=16k,mode=700 none "$0" && '
             'exec "$1" keep --socket "$0/keeper.socket"', memory, built("pqpool")],
            env=bare_environ()) as process:
        try:
            path = "/proc/%d/root%s/keeper.socket" % (process.pid, memory)
            assert wait_until(lambda: os.path.exists(path))
            members = []
            while len(members) < 10 and (came := greeted(path)) is not None:
                members.append(came)
            assert 1 <= len(members) <= 4
            assert members[0].ask(0).answer().type == k.ROOM_
            members.pop().close()
            assert wait_until(lambda: greeted(path) is not None)
            assert process.poll() is None
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["folder", "socket", "renamed"])
def test_keeper_that_nobody_finds_ends(keep, tmp_path, how):
    """Else its members would share with each other, and all others with the next one."""
    keeper = keep(LOG=tmp_path / "log")
    member = Member(keeper.path)
    if how == "folder":
        shutil.rmtree(keeper.folder)
    elif how == "socket":
        os.unlink(keeper.path)
    else:
        os.rename(keeper.path, keeper.path + ".old")
    assert keeper.process.wait(20) == 125
    assert member.connection.is_closed()
    assert "the socket was removed" in (tmp_path / "log").read_text()
    os.makedirs(keeper.folder, mode=0o700, exist_ok=True)
    keeper.start()
    assert Member(keeper.path).ask(0).answer().type == k.ROOM_
