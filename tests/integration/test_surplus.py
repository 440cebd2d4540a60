# SPDX-License-Identifier: PostgreSQL
"""Sessions above PQPOOL_SIZE stay while there is a crowd and go with it."""
import pytest

from server import wait_until

SIZE, LIMIT = 10, 30
NAMES = ["c%d" % i for i in range(LIMIT)]
LOST = ("reset by peer", "Broken pipe", "connection to client lost", "unexpected EOF")


def begin_burst(s):
    for name in NAMES:
        s.connect(name)
        s.exec(name, "SELECT 1")


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_burst_leaves_as_many_sessions_as_the_size(script, new_server, transport):
    server = new_server()
    marker = server.marker()
    s = script(server=server, tcp=transport == "tcp")
    begin_burst(s)
    s.finish(*NAMES[:-2])
    assert len(server.sessions()) == LIMIT, "closed while there was a crowd"
    assert not s.events("session_close")
    s.finish(*NAMES[-2:])
    assert wait_until(lambda: len(server.sessions()) <= SIZE)
    assert len(s.events("session_close", reason="surplus")) == LIMIT - SIZE
    assert not [sign for sign in LOST if sign in server.log_text(marker)]
    # What is left is lent, and what has gone is opened again.
    begin_burst(s)
    assert len(s.events("session_open")) == 2 * LIMIT - SIZE
    s.finish(*NAMES)


def test_a_crowd_is_lent_what_it_gave_back(script, server):
    s = script()
    begin_burst(s)
    for _ in range(3):
        s.finish(*NAMES[2:])
        for name in NAMES[2:]:
            s.connect(name)
    assert len(s.events("session_open")) == LIMIT
    s.finish(*NAMES)
    assert wait_until(lambda: len(server.sessions()) <= SIZE)


def test_one_long_lease_is_no_crowd(script, server):
    s = script(env={"PQPOOL_SIZE": 1})
    s.connect("long")
    for name in NAMES[:5]:
        s.connect(name)
    s.finish(*NAMES[:5])
    assert wait_until(lambda: len(server.sessions()) == 2)
    s.finish("long")
    assert wait_until(lambda: len(server.sessions()) == 1)


@pytest.mark.parametrize("end", ["broken", "reset by the program"])
def test_a_crowd_that_ends_with_a_session_that_is_not_kept(script, server, end):
    s = script(env={"PQPOOL_SIZE": 2})
    for name in NAMES[:8]:
        s.connect(name)
    s.finish(*NAMES[:6])
    assert len(server.sessions()) == 8
    if end == "broken":
        server.terminate("pid = " + s.exec(NAMES[6], "SELECT pg_backend_pid()"))
        s.do("exec", NAMES[6], "SELECT 1")
    else:
        s.do("reset", NAMES[6])
    s.finish(NAMES[6])
    # A broken session takes all older ones with it.
    left = 1 if end == "broken" else 3
    assert wait_until(lambda: len(server.sessions()) == left), server.sessions()
    s.finish(NAMES[7])


def test_surplus_makes_room(script, server):
    """Where the server refuses another pool's connect."""
    server.sql("CREATE ROLE few LOGIN CONNECTION LIMIT 6 PASSWORD '%s'" % server.password)
    s = script(env={"PQPOOL_SIZE": 2})
    for name in NAMES[:6]:
        s.connect(name, "user=few dbname=postgres")
    s.finish(*NAMES[:4])
    s.connect("other", "user=few dbname=postgres application_name=other")
    assert s.events("session_close", reason="make_room")
    s.finish("other", *NAMES[4:6])
    s.end()
    server.sql("DROP ROLE few")


def test_the_end_of_the_program_closes_surplus(script, new_server):
    server = new_server()
    marker = server.marker()
    s = script(server=server, env={"PQPOOL_MAX_OVERFLOW": -1})
    begin_burst(s)
    s.finish(*NAMES[:-2])
    assert len(server.sessions()) == LIMIT
    s.end()
    assert wait_until(lambda: not server.sessions())
    assert len(s.events("session_close", reason="exit")) == LIMIT - 2
    assert server.log_text(marker).count("unexpected EOF") <= 2


def test_a_forked_child_leaves_surplus_alone(script, server):
    s = script()
    begin_burst(s)
    s.finish(*NAMES[:-2])
    s.do("fork")
    assert len(server.sessions()) == LIMIT
    s.finish(*NAMES[-2:])
    assert wait_until(lambda: len(server.sessions()) == SIZE)


def test_surplus_grows_old(script, server):
    s = script(env={"PQPOOL_SIZE": 2, "PQPOOL_RECYCLE": "1s"})
    for name in NAMES[:8]:
        s.connect(name)
    s.finish(*NAMES[:5])
    # Each connect and each finish closes what is too old, and opens what is wanted.
    assert wait_until(lambda: s.lease() and s.events("session_close", reason="aged"))
    s.finish(*NAMES[5:8])
    assert wait_until(lambda: len(server.sessions()) <= 2)


def test_surplus_that_lay_idle_goes_with_the_next_finish(script, server):
    """Crowd or not, and without a connect that would look, too."""
    s = script(env={"PQPOOL_SIZE": 2})
    for name in NAMES[:8]:
        s.connect(name)
        s.exec(name, "SELECT 1")
    s.finish(*NAMES[:4])
    assert len(server.sessions()) == 8
    idle = ("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query = 'DISCARD ALL'"
            " AND clock_timestamp() - state_change > '1.1 s'")
    assert wait_until(lambda: int(s.exec(NAMES[7], idle)) >= 3)
    s.finish(NAMES[4])
    assert wait_until(lambda: len(server.sessions()) <= 5), server.sessions()
    assert s.events("session_close", reason="surplus")
    s.finish(*NAMES[5:8])
