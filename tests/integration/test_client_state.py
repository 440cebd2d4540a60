# SPDX-License-Identifier: PostgreSQL
"""What one lease leaves on the client's side of a connection is not there for the next."""
import pytest

from running import in_pipeline
from server import wait_until

NOTICE = "DO $$ BEGIN RAISE NOTICE 'hear hear'; END $$"
ROWS = "SELECT generate_series(1, 3)"


@pytest.fixture(scope="module", autouse=True)
def table(server):
    server.sql("CREATE TABLE copied (a int); GRANT ALL ON copied TO app;"
               "INSERT INTO copied VALUES (1), (2)", database="app")
    yield
    server.sql("DROP TABLE copied", database="app")


def leave(s, commands):
    """Does what a lease does: the backend's pid, and the state before and after."""
    pid = s.connect("a")
    fresh = s.state("a")
    for command, *words in commands:
        s.do(command, "a", *words)
    dirty = s.state("a")
    s.finish("a")
    return pid, fresh, dirty


# Commands of tests/programs/script.c, and which of the values they change.
KEPT = {
    "notice receiver": (["receiver"], {"receiver"}),
    "notice processor": (["processor"], {"processor"}),
    "both": (["receiver"], ["processor"], {"receiver", "processor"}),
    "terse": (["verbosity", "0"], {"verbosity"}),
    "verbose": (["verbosity", "2"], {"verbosity"}),
    "context never": (["context", "0"], {"context"}),
    "context always": (["context", "2"], {"context"}),
    "nonblocking": (["nonblocking", "1"], {"nonblocking"}),
    "error message": (["exec", "SELECT nonsense"], {"error"}),
    "encoding": (["encoding", "LATIN1"], {"encoding", "client_encoding"}),
    "transaction": (["exec", "BEGIN"], {"transaction"}),
    "failed transaction": (["exec", "BEGIN"], ["exec", "SELECT 1/0"], {"transaction", "error"}),
    "single row mode, all read": (["send", ROWS], ["single"], ["drain"], set()),
    "COPY TO, all of it": (["exec", "COPY copied TO STDOUT"], ["drain"], set()),
}


@pytest.mark.parametrize("name", in_pipeline(KEPT, lambda name: "transaction" in name))
def test_restored_on_the_same_backend(script, name):
    *commands, changed = KEPT[name]
    s = script()
    pid, fresh, dirty = leave(s, commands)
    assert {key for key in fresh if dirty[key] != fresh[key]} == changed
    assert s.connect("a") == pid, s.events("release")
    assert s.state("a") == fresh
    s.finish("a")
    assert s.end().stderr == ""


DROPPED = {
    "query in progress": ("busy", ["send", "SELECT pg_sleep(60)"]),
    "unread result": ("busy", ["send", "SELECT 1; SELECT 2"], ["get"]),
    "not read at all": ("busy", ["send", "SELECT 1"]),
    "single row mode": ("busy", ["send", ROWS], ["single"], ["get"]),
    "pipeline": ("pipeline", ["pipeline"]),
    "pipeline with results": ("pipeline", ["pipeline"], ["send", "SELECT 1"], ["sync"]),
    "aborted pipeline": ("pipeline", ["pipeline"], ["send", "SELECT 1/0"], ["sync"], ["get"]),
    "COPY FROM": ("busy", ["exec", "COPY copied FROM STDIN"], ["put", "3"]),
    "COPY FROM in a transaction": ("busy", ["exec", "BEGIN"], ["exec", "COPY copied FROM STDIN"]),
    "COPY TO": ("busy", ["exec", "COPY copied TO STDOUT"]),
    "PQtrace": ("traced", ["trace", "/dev/null"]),
    "PQtrace, and no more": ("traced", ["trace", "/dev/null"], ["untrace"]),
    "event procedure": ("event_proc", ["event_proc"]),
    "PQreset": ("program_reset", ["reset"]),
}


@pytest.mark.parametrize("name", in_pipeline(DROPPED, lambda name: "pipeline" in name))
def test_dropped_by_design(script, server, name):
    reason, *commands = DROPPED[name]
    s = script()
    before, fresh, _ = leave(s, commands)
    # A query in progress goes on in the background, as it does after any PQfinish.
    server.terminate("pid = %s" % before)
    released, = s.events("release")
    assert (released["kept"], released["reason"]) == ("no", reason)
    assert s.connect("a") not in (before, released["backend"])
    assert s.state("a") == fresh
    assert s.exec("a", "SELECT array_agg(a) FROM copied") == "{1,2}"
    s.finish("a")
    assert s.end().stderr == ""


def test_the_hooks_of_a_lease_hear_of_it_only(script):
    s = script()
    s.connect("a")
    s.do("receiver", "a")
    assert "received by a" in s.do("exec", "a", NOTICE)
    s.finish("a")
    s.connect("b")
    s.do("processor", "b")
    heard = s.do("exec", "b", NOTICE)
    assert "processed by b" in heard and "received by" not in heard
    s.finish("b")
    s.connect("c")
    assert s.do("exec", "c", NOTICE) == "PGRES_COMMAND_OK"
    s.finish("c")
    assert s.end().stderr == "NOTICE:  hear hear\n"


def test_no_hook_hears_of_what_happens_between_leases(script, server):
    """The server ends the session, with a message that is for nobody."""
    s = script()
    pid = s.connect("a")
    s.do("receiver", "a")
    s.do("processor", "a")
    s.finish("a")
    server.terminate("pid = %s" % pid)
    assert wait_until(lambda: not server.sessions("pid = %s" % pid))
    answer = s.do("connect", "b")
    assert answer.isdigit() and answer != pid
    s.finish("b")
    assert s.end().stderr == ""


def test_a_traced_lease_shows_its_own_traffic_only(script, tmp_path):
    s = script()
    s.connect("a")
    trace = tmp_path / "trace"
    s.do("trace", "a", trace)
    s.exec("a", "SELECT 'mine'")
    s.do("untrace", "a")
    before = trace.read_text()
    s.finish("a")
    s.lease()
    assert "mine" in before and "DISCARD" not in trace.read_text()


def test_event_procedures_are_told_of_the_end(script):
    """A registered procedure is called when its connection is destroyed, then and not later."""
    for pooled in (False, True):
        s = script(pooled)
        s.connect("a")
        assert "event 0 of a" in s.do("event_proc", "a")
        assert "event 2 of a" in s.do("finish", "a")


def test_reset_by_the_program(script, server):
    s = script()
    before = s.lease()
    assert s.connect("a") == before
    s.exec("a", "SET work_mem = '123kB'")
    after = s.do("reset", "a")
    assert after.isdigit() and after != before
    assert s.exec("a", "SHOW work_mem") != "123kB"
    assert wait_until(lambda: {x["pid"] for x in server.sessions()} == {after})
    s.finish("a")
    assert s.lease() not in (before, after)
