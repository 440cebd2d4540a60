# SPDX-License-Identifier: PostgreSQL
"""Connects in steps: PQconnectStart, PQconnectPoll, PQresetStart, PQresetPoll.

The program is tests/programs/stepwise.c. It has one thread: a step that waited for a
session that this very thread holds would never end.

This long because each state of a connect is left by each of its ways.
"""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import built
from reports import CONNECTING, LEAKED, read_report
from running import in_pipeline, stopped
from server import REPLICATION_HBA, Server, wait_until

PYTHON = "/usr/bin/python3"
PID = "SELECT pg_backend_pid()"
LOOPS = ["poll", "select", "epoll", "once"]
ONE = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
OK, BAD = "0", "1"


def same(run, program, lines, status=0, **options):
    """Gives the program these lines, bare and pooled: same answers. The pooled result."""
    text = "".join(line + "\n" for line in lines)
    argv = [program("stepwise")]
    bare = run(argv, pooled=False, stdin=text, **options)
    pooled = run(argv, stdin=text, **options)
    assert bare.returncode == status, bare
    assert (pooled.stdout, pooled.stderr) == (bare.stdout, bare.stderr)
    assert pooled.returncode == bare.returncode
    return pooled


# -- from the pool ---------------------------------------------------------------------------


@pytest.mark.parametrize("way_and_loop", in_pipeline(
    [("unix", loop) for loop in LOOPS] + [
        ("tcp", "poll"), ("tcp", "once"), ("tls", "select"), ("tls", "once")],
    lambda both: both[0] == "tls"), ids="-".join)
def test_one_backend_for_all(run, program, tls_server, way_and_loop):
    way, loop = way_and_loop
    lines = ["loop " + loop] + [
        "start a", "drive a", "exec a SELECT 'all the same'", "state a", "finish a"] * 30
    pooled = same(run, program, lines, server=tls_server, env=tls_server.ways()[way])
    assert len(pooled.events("session_open")) == 1
    assert len(pooled.events("acquire")) == 30


WHOLE = """
params a|drive a|state a|exec a SELECT current_user, 1 + 1|exec a SELEC|state a
exec a SET application_name = 'mine'|exec a BEGIN|finish a
start a dbname=app|drive a|exec a SHOW application_name|state a|finish a
start b|start c|drive b c|exec b SELECT 2|exec c SELECT 3|finish c|finish b
start d dbname=no_such_database|drive d|status d|finish d
start e host=/no/such/folder|status e|finish e
start f no_such_option=1|status f|finish f
start g|finish g|start g|wait g 10000|step g|finish g
start h|drive h|step h|drive h|resetstart h|drive h|state h|exec h SELECT 4|finish h
start i|drive i|reset i|state i|exec i SELECT 5|finish i
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_a_whole_program(run, program, loop):
    lines = re.split(r"[|\n]", WHOLE.strip())
    # In what direction the last but one step went is nobody's business.
    lines = [line for line in lines if not line.startswith("step g")]
    pooled = same(run, program, ["loop " + loop, *lines, *lines], env={"PGAPPNAME": "whole"})
    lent = [e["backend"] for e in pooled.events("acquire")]
    assert len(set(lent)) < len(lent)


def test_psycopg2(run, server):
    program = """
import psycopg2, psycopg2.extensions as ext, select
def wait(conn):
    while True:
        state = conn.poll()
        if state == ext.POLL_OK:
            return
        elif state == ext.POLL_WRITE:
            select.select([], [conn.fileno()], [])
        elif state == ext.POLL_READ:
            select.select([conn.fileno()], [], [])
for i in range(20):
    conn = psycopg2.connect("", async_=1)
    wait(conn)
    cursor = conn.cursor()
    cursor.execute("SELECT %s, current_user", (i,))
    wait(conn)
    print(cursor.fetchall(), conn.notices, conn.get_transaction_status())
    conn.close()
"""
    begun = {}
    results = {}
    for pooled in (False, True):
        marker = server.marker()
        results[pooled] = run([PYTHON, "-c", program], pooled=pooled)
        begun[pooled] = server.connections_since(marker)
    assert (results[True].stdout, results[True].stderr) == (results[False].stdout, "")
    assert begun == {False: 20, True: 1}


@pytest.mark.parametrize("loop", ["poll", "epoll", "once"])
def test_high_descriptors(stepwise, loop):
    s = stepwise(ONE)
    s.loop(loop)
    s.do("dummies", "1100")
    pid = s.connect("a")
    s.waiting("b")
    s.finish("a")
    s.drive("b")
    s.finish("b")
    assert s.connect("a") != pid
    s.finish("a")


# -- alive, dead, silent -----------------------------------------------------------------------


def test_not_ok_before_it_is_proven(stepwise):
    s = stepwise({"PQPOOL_PRE_PING": "on"})
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.do("status", "a") not in (OK, BAD)
        assert s.ready("a") and s.step("a") == "READING"
        assert s.do("status", "a") not in (OK, BAD)
        assert not s.ready("a", 0)
    s.drive("a")
    assert (s.do("status", "a"), s.do("pid", "a")) == (OK, pid)
    s.finish("a")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tcp", [False, True])
def test_dead_while_idle(stepwise, server, loop, tcp):
    s = stepwise(tcp=tcp)
    s.loop(loop)
    for begin_first in (False, True):
        pid = s.connect("a")
        s.finish("a")
        if begin_first:
            # It dies between the start and the first step, or the steps.
            with stopped(pid):
                s.start("a")
                os.kill(int(pid), signal.SIGTERM)
        else:
            server.terminate("pid = %s" % pid)
            s.start("a")
        assert wait_until(lambda p=pid: p not in {x["pid"] for x in server.sessions()})
        s.drive("a")
        assert s.do("pid", "a") != pid
        state = s.state("a")
        assert (state["error"], state["notices"]) == ("", "")
        assert "PGRES_TUPLES_OK" in s.do("exec", "a", PID)
        s.finish("a")
    assert s.end().stderr == ""


@pytest.mark.parametrize("loop", LOOPS)
def test_server_restarted(stepwise, new_server, loop):
    own = new_server()
    s = stepwise(server=own)
    s.loop(loop)
    for mode in ("fast", "immediate"):
        s.connect("a")
        s.finish("a")
        own.restart(mode)
        s.connect("a")
        assert s.state("a")["error"] == ""
        s.finish("a")
    own.halt()
    assert "OK" not in s.do("start", "a") + s.do("drive", "a")
    assert s.do("status", "a") == BAD
    s.finish("a")
    own.launch()
    s.connect("a")
    s.finish("a")
    assert s.end().stderr == ""


def test_silent_server_asked_again(stepwise):
    """A loop that asks again after the time gets another session."""
    s = stepwise({"PQPOOL_PING_TIMEOUT": "200ms"})
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.ready("a") and s.step("a") == "READING" and not s.ready("a", 0)
        assert wait_until(lambda: s.step("a") == "WRITING")
        s.drive("a")
        assert s.do("pid", "a") != pid
    s.finish("a")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tcp", [False, True])
def test_silent_server_and_another_connect(stepwise, loop, tcp):
    """Nothing comes from it that could wake the loop; the next connect does."""
    s = stepwise({"PQPOOL_PING_TIMEOUT": "200ms"}, tcp=tcp)
    s.loop(loop)
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.ready("a") and s.step("a") == "READING"
        later = time.monotonic() + 1.2
        assert wait_until(lambda: time.monotonic() > later)
        assert tcp or not s.ready("a", 0), "it is not silent"
        s.start("b")
        s.drive("a")
        assert s.do("pid", "a") != pid
    assert s.state("a")["error"] == ""
    assert s.events("ping_failed", backend=pid)
    s.drive("b")
    s.finish("a", "b")


def test_the_programs_timeout_bounds_the_check(stepwise):
    s = stepwise({"PQPOOL_PING_TIMEOUT": "30", "PGCONNECT_TIMEOUT": "2"})
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        begin = time.monotonic()
        s.start("a")
        assert s.ready("a") and s.step("a") == "READING"
        assert wait_until(lambda: s.step("a") == "WRITING")
        s.drive("a")
        assert time.monotonic() - begin < 2
        assert s.do("pid", "a") != pid
    s.finish("a")


def test_slow_program(stepwise, server):
    """It comes late, but the server's answer had come in time."""
    s = stepwise({"PQPOOL_PING_TIMEOUT": "200ms"})
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.ready("a") and s.step("a") == "READING"
        too_late = time.monotonic() + 0.3
        before = last_change(server, pid)
        assert wait_until(lambda: time.monotonic() > too_late)
    assert wait_until(lambda: last_change(server, pid) != before), "it does not answer"
    s.drive("a")
    assert s.do("pid", "a") == pid
    s.finish("a")


def test_event_procedure_in_the_middle(stepwise):
    """The connection is begun anew under a program that waits for something to read."""
    s = stepwise()
    pid = s.connect("a")
    s.finish("a")
    with stopped(pid):
        s.start("a")
        assert s.ready("a") and s.step("a") == "READING"
        s.do("set", "a", "events")
        assert s.ready("a"), "nothing wakes it"
        s.drive("a")
    assert s.do("pid", "a") != pid
    s.finish("a")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_new_socket_at_the_old_number(stepwise, server, loop):
    """Though a lower one is free when a session turns out to be dead."""
    s = stepwise()
    s.loop(loop)
    for name in ("a", "b"):
        s.connect(name)
    low, high = (int(s.do("socket", name)) for name in ("a", "b"))
    pid = s.do("pid", "b")
    s.do("set", "a", "events")
    s.finish("b", "a")
    with stopped(pid):
        s.start("b")
        os.kill(int(pid), signal.SIGTERM)
    s.drive("b")
    assert s.do("pid", "b") != pid
    assert low < int(s.do("socket", "b")) == high
    s.connect("a")
    assert int(s.do("socket", "a")) == low, "it was not free"
    s.finish("a", "b")


def last_change(server, pid):
    return server.sql("SELECT state, state_change FROM pg_stat_activity"
                      " WHERE pid = %s AND state = 'idle'" % pid)


# -- a full pool ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tcp", [False, True])
def test_full_pool_in_order(stepwise, loop, tcp):
    s = stepwise(ONE, tcp=tcp)
    s.loop(loop)
    s.connect("a")
    line = ["b", "c", "d"]
    for name in line:
        s.waiting(name)
        assert s.do("status", name) not in (OK, BAD)
    s.finish("a")
    while line:
        first = line.pop(0)
        assert s.ready(first)
        assert not any(s.ready(name, 0) for name in line)
        s.drive(first)
        assert not any(s.ready(name, 0) for name in line)
        s.finish(first)
    assert s.end().stderr == ""


@pytest.mark.parametrize("loop", ["poll", "select", "epoll"])
@pytest.mark.parametrize("threads", [0, 4])
def test_fifty_at_once(run, program, server, loop, threads):
    """The server never has more sessions than the pool's limit, but for what each thread has just
    closed and what is still ending."""
    marker = server.marker()
    done = run([program("async"), "50", loop, "SELECT pg_backend_pid()", str(threads)],
               env={"PQPOOL_SIZE": 5, "PQPOOL_MAX_OVERFLOW": 5})
    assert done.returncode == 0, done
    served = set(done.stdout.split("\n")[:50])
    assert served <= set(re.findall(r"\[(\d+)\] LOG:  connection authorized: user=app",
                                    server.log_text(marker)))
    assert 1 < server.most_at_once(marker) <= 10 + threads
    assert len(done.events("acquire")) == 50 + 20 * threads


def tidy(message):
    """Without times, threads and places."""
    return re.sub(r" (within|for|by thread|taken at) [^,;\n]+", r" \1 X", message)


def test_timeout(stepwise, script):
    env = {**ONE, "PQPOOL_TIMEOUT": "300ms"}
    s, other = stepwise(env), script(env=env)
    s.connect("a")
    other.connect("a")
    s.start("b")
    told = s.do("drive", "b")
    assert told.startswith("b FAILED 1 0: connection to ")
    # In a thread of its own: the only thread of a program would be refused at once.
    other.do("begin", "b")
    refused = other.join("b")[1].removeprefix("BAD ")
    assert tidy(told.removeprefix("b FAILED 1 0: ")).strip() == tidy(refused).strip()
    assert s.events("timeout")
    assert s.step("b") == "FAILED" and s.do("status", "b") == BAD
    s.finish("b", "a")
    other.finish("b", "a")
    s.lends(1)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["resetstart", "reset"])
@pytest.mark.parametrize("tcp", [False, True])
def test_refused_and_asked_again(stepwise, server, loop, how, tcp):
    """As one that failed without us, it can be connected anew: if there is room by then."""
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"}, tcp=tcp)
    s.loop(loop)
    pid = s.connect("a")
    s.start("b")
    for _ in range(2):
        assert "no session became free" in s.do("drive", "b")
        assert s.do("state", "b").count("pqpool: no session") == 1
        assert s.do(how, "b") == ("1" if how == "resetstart" else "")
        if how == "reset":
            assert s.do("status", "b") == BAD
            assert "no session became free" in s.state("b")["error"]
            break
    assert len(server.sessions()) == 1
    assert len(s.events("timeout")) == 2
    if how == "resetstart":
        s.finish("a")
        s.drive("b")
    else:
        s.finish("a")
        s.do("reset", "b")
    assert s.do("status", "b") == OK and s.do("pid", "b") != pid
    assert s.state("b")["error"] == ""
    assert s.do("pid", "b") in s.do("exec", "b", PID)
    s.finish("b")
    s.lends(1)
    assert s.end().stderr == ""


def test_refused_and_forked(stepwise):
    """The child is told why as the parent is, and what it connects anew is its own."""
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    s.start("b")
    why = s.do("drive", "b").removeprefix("b FAILED 1 0: ").strip()
    assert "no session became free" in why
    assert s.do("forkasks", "b").split("\n") == [BAD + " " + why, OK + " "]
    assert s.state("b")["error"].strip() == why
    s.finish("a", "b")
    s.lends(1)
    assert s.end().stderr == ""


def test_refused_and_the_server_is_gone(stepwise, script, new_server):
    own = new_server()
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"}, server=own)
    s.connect("a")
    s.start("b")
    assert "no session became free" in s.do("drive", "b")
    own.halt()
    s.do("reset", "b")
    assert script(pooled=False, server=own).refused("x") in s.do("state", "b")
    s.finish("b", "a")
    own.launch()
    s.lends(1)


def test_no_descriptors_to_wait_with(stepwise):
    """One is left, for the connection itself: what would have to wait for a session fails."""
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    s.do("spare", "1")
    told = s.do("start", "b")
    assert "could not wait for a session: Too many open files" in told
    assert s.do("status", "b") == BAD
    assert "Too many open files" in s.events("session_open_failed")[0]["error"]
    s.do("spare", "100")
    s.finish("a")
    s.do("reset", "b")
    assert s.do("status", "b") == OK
    s.finish("b")
    s.lends(1)


@pytest.mark.parametrize("loop", LOOPS)
def test_told_in_time(stepwise, loop):
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "1500ms"})
    s.loop(loop)
    s.connect("a")
    s.start("b")
    begun = time.monotonic()
    assert "no session became free" in s.do("drive", "b")
    assert 1.4 < time.monotonic() - begun < 5
    s.finish("a", "b")
    s.lends(1)


def test_connects_in_steps_are_not_refused_at_once(stepwise):
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "1500ms"})
    s.connect("a")
    s.waiting("b")
    assert not s.events("timeout")
    s.finish("a")
    s.drive("b")
    s.start("c")
    assert "c FAILED" in s.do("drive", "c")
    timeout, = s.events("timeout")
    assert int(timeout["wait_us"]) >= 1_500_000 and timeout["verdict"] != "self_deadlock"
    s.finish("b", "c")
    s.lends(1)


# -- given up ------------------------------------------------------------------------------------


def checking(s, _):
    s.start("x")


def checking_stepped(s, _):
    s.start("x")
    s.ready("x")
    s.step("x")


def opening(s, _):
    s.conninfo = "application_name=another_pool"  # which is empty yet
    s.start("x")
    assert s.ready("x")
    assert s.step("x") == "READING"


def in_line(s, stack, steps=True, granted=False):
    for name in ("y", "z"):
        s.connect(name)
    s.start("x")
    if steps:
        assert s.ready("x") and s.step("x") == "READING"
    if granted:
        s.finish("y")
        assert s.ready("x")
        stack.callback(s.finish, "z")
    else:
        stack.callback(s.finish, "y", "z")


def clearing(s, stack):
    """The room of a session whose backend does not come to its end."""
    pids = {name: s.connect(name) for name in ("y", "z")}
    s.do("set", "y", "events")
    s.start("x")
    assert s.ready("x") and s.step("x") == "READING"
    stack.enter_context(stopped(pids["y"]))
    s.finish("y")
    for _ in range(3):
        # A program that may take sockets only is told to look again.
        assert s.ready("x") and s.step("x") == "READING"
    stack.callback(s.finish, "z")


STATES = {
    "checking": checking, "checking, stepped": checking_stepped, "opening": opening,
    "waiting": lambda s, stack: in_line(s, stack, steps=False), "waiting, stepped": in_line,
    "granted": lambda s, stack: in_line(s, stack, granted=True), "clearing": clearing}
TWO = {"PQPOOL_SIZE": "2", "PQPOOL_MAX_OVERFLOW": "0"}


@pytest.fixture
def in_state(stepwise):
    """in_state(state): a program whose connection x is in it, its pool's limit being two."""
    @contextlib.contextmanager
    def put(state, **more):
        s = stepwise({**TWO, **more})
        s.lends(2)
        with contextlib.ExitStack() as stack:
            STATES[state](s, stack)
            yield s

    return put


@pytest.mark.parametrize("way", ["finish", "thread"])
@pytest.mark.parametrize("state", STATES)
def test_given_up(in_state, state, way):
    with in_state(state) as s:
        s.do(way, "x")
    s.lends(2)
    fds = s.do("fds")
    for _ in range(3):
        s.start("x")
        s.do(way, "x")
        s.lends(2)
    assert s.do("fds") == fds
    assert s.end().stderr == ""


@pytest.mark.parametrize("state", STATES)
def test_forked_in_the_middle(in_state, state):
    """The child finishes its copy; nobody but the child notices."""
    with in_state(state) as s:
        s.tell("fork", "x")
        assert s.answer() == "0"
        if state != "clearing":
            if "waiting" in state:
                s.finish("z")
            s.drive("x")
            assert "PGRES_TUPLES_OK" in s.do("exec", "x", PID)
        s.finish("x")
        if "waiting" in state:
            s.connect("z")
    s.lends(2)
    assert s.end().stderr == ""


@pytest.mark.parametrize("state", STATES)
def test_child_has_none_of_our_descriptors(in_state, state):
    """Neither idle sessions nor what a connect waits with; a socket's number is its own."""
    with in_state(state) as s:
        ours = s.do("files").splitlines()
        theirs = s.do("forkfiles").splitlines()
        leased = len(s.events("acquire")) - len(s.events("release"))
        assert len([f for f in ours if f in theirs and f.startswith("socket:")]) == leased
        assert not [f for f in theirs if f.startswith("anon_inode:")]
        s.finish("x")
    s.lends(2)


@pytest.fixture(scope="module")
def past_us():
    """How far PQfinish is from PQlibVersion in the libpq that the program has."""
    libpq = re.search(r"libpq\.so\S* => (\S+)", subprocess.check_output(
        ["ldd", built("tests/programs/stepwise")], text=True)).group(1)
    table = subprocess.check_output(["nm", "-D", libpq], text=True)
    at = {name: int(re.search(r"^(\w+) T %s$" % name, table, re.M).group(1), 16)
          for name in ("PQfinish", "PQlibVersion")}
    return at["PQfinish"] - at["PQlibVersion"]


@pytest.fixture
def with_allocator(shim, module):
    return "%s:%s" % (shim, module("allocator", "allocator.so"))


@pytest.mark.parametrize("state", STATES)
def test_freed_past_us(in_state, state, past_us, with_allocator):
    """It shows when another connection comes to lie at its address; its room is free then."""
    with in_state(state, LD_PRELOAD=with_allocator) as s:
        s.do("vanish", "x", past_us)
        names = ["v%d" % i for i in range(4)]
        for name in names:
            s.start(name)
        assert s.events("session_close", reason="descriptor"), "its address did not come again"
        s.finish(*names)
    s.lends(2)
    assert "anon_inode:" not in s.do("files"), "what it waited with is still there"
    assert s.end().stderr == ""


@pytest.mark.parametrize("way", ["new", "idle", "full", "dead"])
def test_out_of_memory(stepwise, with_allocator, server, way):
    """Each allocation on the way fails in its turn: the connect does, or goes on without. One
    that finds an idle session asks for none of its own."""
    s = stepwise({"LD_PRELOAD": with_allocator, **TWO})
    s.lends(2)
    for n in range(1, 200):
        left = one_short_of_memory(s, server, way, n)
        s.lends(2)
        if left > 0:
            break
    assert left > 0 and (n > 1 or way in ("idle", "dead"))
    assert s.end().stderr == ""


def one_short_of_memory(s, server, way, n):
    """How many allocations the way was short of the n-th."""
    if way == "new":
        s.conninfo = "application_name=a%d" % n
    held = ["y", "z"] if way == "full" else []
    for name in held:
        s.connect(name)
    if way == "dead":
        pid = s.connect("y")
        s.finish("y")
        server.terminate("pid = %s" % pid)
    s.do("scarce", str(n))
    told = s.do("start", "x", s.conninfo)
    s.finish(*held)
    told += s.do("drive", "x")
    left = int(s.do("scarce", "0"))
    if told == "x OK":
        assert "PGRES_TUPLES_OK" in s.do("exec", "x", PID)
    s.finish("x")
    return left


@pytest.mark.parametrize("state", STATES)
def test_exit_in_the_middle(in_state, state, server):
    with in_state(state) as s:
        s.tell("exit")
        result = s.end()
        assert (result.returncode, result.stdout) == (3, "")
        assert "x" not in {x["application_name"] for x in server.sessions()}
        # The step may have found the answer there: then it is a lease as any other.
        if state == "checking, stepped" and result.events("leak", kind="never_released"):
            assert not result.events("leak", kind="never_finished")
        else:
            check_unfinished(result)


def check_unfinished(result):
    """One connect that never came to its end, in log and report."""
    report = read_report(result.stderr)
    place, = [p for p in report.places if p.kind == CONNECTING]
    leak, = result.events("leak", kind="never_finished")
    assert report.leaked[CONNECTING] == place.count == 1 and "main" in place.functions
    assert [x["lease"] for x in place.leases] == [leak["lease"]]
    assert leak["lease"] not in {e["lease"] for e in result.events("acquire")}
    assert "backend" not in leak and place.leases[0]["backend"] is None


def test_failed_and_never_finished(stepwise):
    """There is nothing left but memory."""
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    s.start("b")
    assert "no session became free" in s.do("drive", "b")
    s.start("c")
    s.finish("c", "a")
    assert s.do("start", "d", "host=/no/such/folder") != ""
    assert s.end().stderr == ""


def test_unfinished_from_the_log(stepwise, leaks):
    s = stepwise()
    s.start("x")
    s.do("fork", "x")
    s.connect("y")
    assert s.end().returncode == 0
    said = leaks(s.script.log_name)
    assert [(p["kind"], p["count"]) for p in said.places] == [
        ("never_released", 1), ("never_finished", 1)]
    assert said.document["leaked"] == 2 and "backend" not in said.places[1]["leases"][0]
    text = leaks(s.script.log_name, as_json=False).stdout.decode()
    assert "pqpool: 1 connection never finished while connecting, taken at 1 place\n" in text
    assert re.search(r"^    connect \d+: thread \d+, held ", text, re.M)


@pytest.mark.parametrize("how", ["resetstart", "reset"])
@pytest.mark.parametrize("state", ["checking", "checking, stepped", "opening", "granted",
                                   "clearing"])
def test_reset_in_the_middle(in_state, state, how):
    with in_state(state) as s:
        answer = s.do(how, "x") if state != "clearing" or how == "resetstart" else "1"
        assert answer in ("", "1")
        if how == "resetstart" and state != "clearing":
            s.drive("x")
        if state != "clearing":
            assert s.do("status", "x") == OK
            assert "PGRES_TUPLES_OK" in s.do("exec", "x", PID)
        s.finish("x")
    s.lends(2)


def test_reset_while_waiting(stepwise):
    s = stepwise({**ONE, "PQPOOL_TIMEOUT": "300ms"})
    s.connect("a")
    s.waiting("b")
    assert s.do("resetstart", "b") == "1"
    s.finish("a")
    s.drive("b")
    s.waiting("c")
    s.do("reset", "c")
    assert s.do("status", "c") == BAD
    s.finish("b", "c")
    s.lends(1)


# -- not pooled, and followed all the same --------------------------------------------------------

UNPOOLED = "replication=database user=postgres"
UNDER_WAY = {"begun": lambda s: s.start("x"),
             "stepped": lambda s: (s.start("x"), s.ready("x"), s.step("x"))}


@pytest.fixture(scope="module")
def unpooling_server():
    with Server(hba=REPLICATION_HBA) as server:
        yield server


@pytest.fixture
def unpooled(stepwise, unpooling_server):
    """A program none of whose connects are pooled."""
    def start(env=None, **more):
        s = stepwise(env, server=unpooling_server, **more)
        s.conninfo = UNPOOLED
        return s

    return start


def test_not_pooled_but_tracked(unpooled):
    """From its success on; it was taken where it began."""
    s = unpooled()
    pids = [s.connect("a"), s.do("finish", "a"), s.connect("b")]
    assert pids[0] != pids[2]
    assert s.step("b") == "OK"
    s.start("c")
    done = s.end()
    assert [e["pool"] for e in done.events("acquire")] == ["not pooled"] * 2
    assert [e["reason"] for e in done.events("release")] == ["not_pooled"]
    assert len(done.events("session_open")) == 2
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 1, CONNECTING: 1}
    assert report.leases[0]["backend"] == pids[2]
    leaked, unfinished = done.events("leak")
    assert leaked["kind"] == "never_released" and leaked["stack"] == unfinished["stack"]


@pytest.mark.parametrize("state", UNDER_WAY)
def test_not_pooled_and_never_finished(unpooled, state):
    s = unpooled()
    UNDER_WAY[state](s)
    result = s.end()
    check_unfinished(result)
    report = read_report(result.stderr)
    assert report.head[1:] == (0, 0) and report.leases[0]["pooled"] == "not pooled"
    assert not result.events("session_open") and not result.events("session_close")


@pytest.mark.parametrize("way", ["finish", "thread"])
@pytest.mark.parametrize("state", UNDER_WAY)
def test_not_pooled_and_given_up(unpooled, state, way):
    s = unpooled()
    for _ in range(3):
        UNDER_WAY[state](s)
        s.do(way, "x")
    result = s.end()
    assert result.stderr == ""
    assert not {e["event"] for e in result.log} & {
        "acquire", "release", "session_open", "session_close", "leak", "misuse"}


def test_not_pooled_and_failed(unpooled):
    """There is nothing left but memory."""
    s = unpooled()
    s.start("a")
    s.conninfo += " dbname=no_such"
    s.start("b")
    assert "does not exist" in s.do("drive", "b")
    s.start("c")
    assert "does not exist" in s.do("drive", "c")
    assert s.do("reset", "c") == ""
    s.start("d")
    assert s.do("resetstart", "d") == "1"
    assert "does not exist" in s.do("drive", "d")
    s.finish("a")
    assert s.end().stderr == ""


@pytest.mark.parametrize("how", ["resetstart", "reset"])
@pytest.mark.parametrize("state", UNDER_WAY)
def test_not_pooled_and_reset_in_the_middle(unpooled, state, how):
    s = unpooled()
    UNDER_WAY[state](s)
    assert s.do(how, "x") in ("", "1")
    if how == "resetstart":
        s.drive("x")
    assert s.do("status", "x") == OK
    assert [e["backend"] for e in s.events("acquire")] == [s.do("pid", "x")]
    s.finish("x")
    assert s.end().stderr == ""


@pytest.mark.parametrize("state", UNDER_WAY)
def test_not_pooled_and_forked_in_the_middle(unpooled, state):
    """The child has its copy, as it would without us, and reports nothing."""
    s = unpooled()
    UNDER_WAY[state](s)
    assert s.do("files") == s.do("forkfiles")
    s.tell("fork", "x")
    assert s.answer() == "0"
    s.drive("x")
    assert "PGRES_TUPLES_OK" in s.do("exec", "x", PID)
    s.finish("x")
    assert s.end().stderr == ""


def test_not_pooled_and_freed_past_us(unpooled, past_us, with_allocator):
    """What comes to lie at its address is another connect."""
    s = unpooled({"LD_PRELOAD": with_allocator})
    s.start("x")
    s.do("vanish", "x", past_us)
    s.connect("y")
    s.finish("y")
    result = s.end()
    assert result.stderr == "" and not result.events("session_close", reason="descriptor")


def test_not_pooled_is_as_without_us(run, program, unpooling_server):
    once = ["start a " + UNPOOLED, "state a", "set a processor", "set a nonblocking",
            "set a verbosity", "wait a 10000", "step a", "state a", "drive a", "state a",
            "exec a SELEC", "resetstart a", "state a", "drive a", "state a", "finish a"]
    same(run, program, once * 2 + ["start a " + UNPOOLED, "wait a 10000", "step a", "finish a"],
         server=unpooling_server)


# -- what the program does to it meanwhile ------------------------------------------------------

SETTINGS = {"receiver": 1, "processor": 1, "nonblocking": 1, "verbosity": 1, "events": 3,
            "trace": 3}


@pytest.mark.parametrize("what", in_pipeline(SETTINGS, lambda what: what == "trace"))
def test_settings_made_at_once_hold(run, program, what):
    """On a connection opened for it, and on one that was there."""
    once = ["start a", "set a " + what, "drive a", "state a", "exec a SELEC",
            "exec a DO $$ BEGIN RAISE NOTICE 'hello'; END $$", "state a", "finish a"]
    pooled = same(run, program, once * 3)
    assert len(pooled.events("session_open")) == SETTINGS[what]
    assert len(pooled.events("acquire")) == 3


@pytest.mark.parametrize("what", ["receiver", "processor", "nonblocking", "verbosity"])
def test_settings_survive_a_replacement(stepwise, server, what):
    s = stepwise()
    pid = s.connect("a")
    s.finish("a")
    server.terminate("pid = %s" % pid)
    s.start("a")
    s.do("set", "a", what)
    s.drive("a")
    s.do("exec", "a", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    state = s.state("a")
    assert state["notices"].startswith(what if what in ("receiver", "processor") else "")
    assert "FATAL" not in state["notices"] and "terminating" not in state["notices"]
    assert state["nonblocking"] == str(int(what == "nonblocking"))
    assert ("LOCATION" in s.do("exec", "a", "SELEC")) == (what == "verbosity")
    s.finish("a")


@pytest.mark.parametrize("what", ["receiver", "processor"])
def test_notice_at_connect(run, program, server, what):
    """The program's own function gets it, and it comes each time."""
    server.sql("CREATE ROLE noisy LOGIN; ALTER ROLE noisy SET default_tablespace = 'no_such'")
    try:
        once = ["start a", "set a " + what, "drive a", "state a", "finish a"]
        pooled = same(run, program, once * 3, env={"PGUSER": "noisy"})
        assert pooled.stdout.count("WARNING") == 3 or what == "receiver"
        assert len(pooled.events("release", reason="connect_notice")) == 3
    finally:
        server.sql("DROP ROLE noisy")


def test_cancel_object_taken_meanwhile(stepwise, server):
    s = stepwise()
    pid = s.connect("a")
    s.finish("a")
    s.start("a")
    s.do("cancel", "a")
    s.drive("a")
    s.finish("a")
    assert s.connect("b") == pid
    s.do("send", "b", "SELECT pg_sleep(0.5), 'finished'")
    assert wait_until(lambda: server.sessions("pid = %s AND state = 'active'" % pid))
    assert s.do("docancel") == "1"
    assert "finished" in s.do("result", "b")
    s.finish("b")


# -- longer than the server's patience ------------------------------------------------------------


def children(server):
    """The processes of a server."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/stat" % pid, encoding="ascii") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == server.process.pid:
                    found.add(pid)
    return found


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_server_loses_patience(stepwise, new_server, way):
    own = new_server(settings={"authentication_timeout": "1s"})
    s = stepwise(ONE, server=own, tcp=way == "tcp")
    s.connect("a")
    before = children(own)
    s.waiting("b")
    assert wait_until(lambda: children(own) - before), "nobody was kept waiting"
    held = children(own) - before
    assert wait_until(lambda: not held & children(own)), "the server was patient"
    s.finish("a")
    s.drive("b")
    assert s.state("b")["error"] == ""
    s.finish("b")
    assert s.end().stderr == ""
