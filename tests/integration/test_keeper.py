# SPDX-License-Identifier: PostgreSQL
"""`pqpool keep`, spoken to without a library: sessions of a real server, handed from one process
to another."""
import os
import select
import socket

import pytest

import keeper as k
from keeper import Member, Session
from server import wait_until


@pytest.fixture
def two(keep):
    """A keeper with room for one session, and two members."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    return keeper, Member(keeper.path, "first"), Member(keeper.path, "second")


# ---- sessions go from one to the other

def test_session_given_back_is_lent_to_another(two, server):
    keeper, first, second = two
    session = first.lease(server, 0)
    assert session.query("SET work_mem = '9MB'; SELECT 1") == "1"
    first.give_back(0, session)
    lent = second.take(0, second.ask(0))
    assert first.state(0) == k.CLAIMED
    assert lent.backend == session.backend and lent.startup == session.startup
    assert lent.query("SELECT current_setting('work_mem')") != "9MB"
    assert keeper.events("session_close") == []
    assert [s["program"] for s in keeper.show("session")] == ["second"]
    lent.close()


def test_who_waits_is_served_by_what_another_gives_back(two, server):
    keeper, first, second = two
    session = first.lease(server, 0)
    ask = second.ask(3, place="page.php:7")
    assert ask.receive().type == k.WAIT
    assert ask.silent() and first.attention == 1
    waiting, = keeper.show("waiting")
    assert waiting["place"] == "page.php:7" and waiting["program"] == "second"
    first.give_back(0, session)
    lent = second.take(3, ask)
    assert lent.query("SELECT 1") == "1"
    assert second.attention == first.attention == 0
    lent.close()


def test_first_come_first_served_over_all_processes(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0)
    members = [Member(keeper.path) for _ in range(5)]
    session = members[0].lease(server, 0)
    asks = []
    for member in members[1:]:
        asks.append(member.ask(0))
        assert asks[-1].receive().type == k.WAIT
    last = members[0]
    for member, ask in zip(members[1:], asks):
        last.give_back(0, session)
        session = member.take(0, ask)
        assert all(other.silent(0.02) for other in asks[asks.index(ask) + 1:])
        last.change(0, k.FREE)
        last = member
    session.close()


def test_refusal_names_the_holders(two, server):
    _, first, second = two
    session = first.lease(server, 0, place="job.py:12 main")
    refused = second.ask(0, timeout=0.2).answer()
    assert refused.type == k.REFUSE
    assert 'state=leased pid=%d program=first' % os.getpid() in refused.text
    assert 'place="job.py:12 main"' in refused.text
    assert second.state(0) == k.FREE
    session.close()


def test_place_that_is_told_after_the_question(two, server):
    keeper, first, second = two
    session = first.lease(server, 0, place="")
    ask = second.ask(0, place="")
    assert ask.receive().type == k.WAIT
    assert "place" not in keeper.show("session")[0] and "place" not in keeper.show("waiting")[0]
    first.tell_place(0, b"job.py:12 main\0")
    second.tell_place(0, b"page.php:7\0")
    assert keeper.show("waiting")[0]["place"] == "page.php:7"
    assert keeper.show("session")[0]["place"] == "job.py:12 main"
    assert 'place="job.py:12 main"' in second.ask(1, timeout=0).answer().text
    ask.close()
    # A later lease of the process was taken at another place.
    first.change(0, k.IDLE)
    first.change(0, k.LEASED)
    assert "place" not in keeper.show("session")[0]
    session.close()


def test_long_names_are_shortened_where_they_are_shown(keep):
    keeper = keep(SIZE=40, MAX_OVERFLOW=0)
    member = Member(keeper.path, "p" * 255)
    label = "u@" + "host," * 1000 + ":1/d"
    for word in range(40):
        assert member.ask(word, label=label, place="x" * 8000).answer().type == k.ROOM_
    refused = member.ask(40, label=label, timeout=0).answer()
    assert refused.type == k.REFUSE and 8 <= len(refused.text.splitlines()) < 40
    assert all(line.startswith("state=opening pid=") for line in refused.text.splitlines())
    assert len(keeper.show("session")) == 40


def test_nobody_waits_who_does_not_want_to(two, server):
    _, first, second = two
    session = first.lease(server, 0)
    assert second.ask(0, timeout=0).answer().type == k.REFUSE
    session.close()


def test_the_keepers_timeout_holds_too(keep, server):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT="100ms")
    member = Member(keeper.path)
    session = member.lease(server, 0)
    assert member.ask(1, timeout=1000).answer().type == k.REFUSE
    session.close()


def test_identities_are_not_mixed(keep, server):
    keeper = keep(SIZE=5)
    first, second = Member(keeper.path), Member(keeper.path)
    session = first.lease(server, 0, b"one")
    first.give_back(0, session)
    assert second.ask(0, b"two").answer().type == k.ROOM_
    lent = second.take(1, second.ask(1, b"one"))
    lent.close()


def test_limit_is_size_and_overflow_for_each_identity(keep, server):
    keeper = keep(SIZE=2, MAX_OVERFLOW=1)
    member = Member(keeper.path)
    for word in range(3):
        assert member.ask(word).answer().type == k.ROOM_
    assert member.ask(3, timeout=0).answer().type == k.REFUSE
    assert member.ask(4, b"other").answer().type == k.ROOM_
    # One could not be opened: its room goes to the next.
    waiting = member.ask(5)
    assert waiting.receive().type == k.WAIT
    member.change(0, k.GONE)
    member.nudge()
    assert waiting.answer().type == k.ROOM_
    assert member.state(0) == k.FREE


def test_own_idle_session_is_not_disturbed(two, server):
    _, first, _ = two
    session = first.lease(server, 0)
    for _ in range(3):
        first.give_back(0, session)
        first.change(0, k.LEASED)  # and taken again, without a word to the keeper
        assert session.message()[0] == b"C" and session.message()[0] == b"Z"
    assert session.query("SELECT 1") == "1"
    session.close()


# ---- what the keeper reads from a session

def test_a_reset_that_does_not_bring_the_start_back_closes_it(two, server):
    """As behind a pooler."""
    keeper, first, second = two
    assert first.ask(0).answer().type == k.ROOM_
    session = Session(server)
    was = session.parameters()["TimeZone"]
    # As if it had been another one at the start.
    session.reply = session.reply.replace(was.encode() + b"\0", b"x" * len(was) + b"\0")
    first.opened(0, session)
    session.query("SET TimeZone = 'Asia/Tokyo'; SELECT 1")
    first.give_back(0, session)
    assert second.ask(0).answer().type == k.ROOM_
    assert session.has_ended()
    event, = keeper.events("session_close")
    assert "reason=reset_failed" in event


@pytest.mark.parametrize("statement", ["SELECT 1", "DISCARD NOTHING", "BEGIN", "LISTEN x; NOTIFY x"])
def test_anything_else_than_the_resets_answer_closes_it(two, server, statement):
    keeper, first, second = two
    session = first.lease(server, 0)
    session.send_query(statement)
    first.give_back(0, answers=1)
    assert second.ask(0).answer().type == k.ROOM_
    assert session.has_ended()
    event, = keeper.events("session_close")
    assert "reason=reset_failed" in event


def test_session_with_no_reset_on_its_way(two, server):
    _, first, second = two
    session = first.lease(server, 0)
    first.give_back(0)
    assert second.take(0, second.ask(0, ping=True)).query("SELECT 2") == "2"
    session.close()


def test_dead_session_is_found_by_the_ping(two, server):
    keeper, first, second = two
    session = first.lease(server, 0)
    first.give_back(0)
    assert server.sql("SELECT pg_terminate_backend(%d)" % session.backend) == [["t"]]
    assert wait_until(lambda: server.sql(
        "SELECT 1 FROM pg_stat_activity WHERE pid = %d" % session.backend) == [])
    assert second.ask(0, ping=True).answer().type == k.ROOM_
    assert "reason=ping_failed" in keeper.events("session_close")[0]
    session.close()


# ---- bells

def is_rung(bell, ms=0):
    return bool(select.select([bell], [], [], ms / 1000)[0])


@pytest.mark.parametrize("late", [False, True])
def test_a_bell_is_rung_with_the_answer(two, server, late):
    """Before or after it, and not for being told to wait."""
    _, first, second = two
    session = first.lease(server, 0)
    ask = second.ask(1)
    ours, theirs = socket.socketpair()
    assert ask.receive().type == k.WAIT
    if not late:
        for _ in range(2):
            ask.send(k.BELL, fds=[ours.fileno()])
        assert ask.silent() and not is_rung(ours)
    first.give_back(0, session)
    assert wait_until(lambda: second.state(1) == k.OFFERED)
    if late:
        ask.send(k.BELL, fds=[ours.fileno()])
    assert is_rung(ours, 10000)
    second.take(1, ask).close()
    theirs.close()
    ours.close()


def test_a_bell_is_rung_with_welcome_and_refusal(two, server):
    _, first, second = two
    first.lease(server, 0)
    ours, _ = pair = socket.socketpair()
    first.connection.send(k.BELL, fds=[ours.fileno()])
    assert is_rung(ours, 10000)
    others = socket.socketpair()
    ask = second.ask(1, timeout=0.5)
    ask.send(k.BELL, fds=[others[0].fileno()])
    assert is_rung(others[0], 10000) and ask.answer().type == k.REFUSE
    for each in (*pair, *others):
        each.close()
