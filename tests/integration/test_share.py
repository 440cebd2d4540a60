# SPDX-License-Identifier: PostgreSQL
"""Programs that share sessions through a keeper: what one gives back another is lent, and no one
can tell."""
import itertools
import os
import signal
import time

import pytest

from keeper import PLACES
from running import assert_same, stopped
from server import wait_until

SESSION = "SELECT pg_backend_pid()"


@pytest.fixture(name="keeper")
def one_keeper(keep):
    return keep()


@pytest.fixture(name="share")
def sharing(run, program, keeper):
    """share(STATEMENT...): what cycle prints that shares through the keeper."""
    def start(*statements, env=None, **options):
        done = run([program("cycle"), "1", *statements],
                   env={"PQPOOL_SHARE": keeper.path, **(env or {})}, **options)
        assert done.returncode == 0, done
        return done

    return start


@pytest.fixture(name="same")
def compared(run, keeper):
    """same(argv): runs it bare, and three times as one that shares, of which the first opens what
    the others are lent; the last of them."""
    def check(argv, **options):
        bare = run(argv, pooled=False, **options)
        with run.sharing(keeper):
            for _ in range(3):
                done = run(argv, **options)
                assert_same(done, bare)
        return done

    return check


@pytest.mark.parametrize("tcp", [False, True])
def test_one_program_after_the_other_has_the_same_session(share, server, tcp):
    first, *others = [share(SESSION, env=server.env(tcp=tcp)) for _ in range(3)]
    assert len(first.events("session_open")) == 1
    for other in others:
        assert other.stdout == first.stdout
        assert not other.events("session_open") and len(other.events("session_borrow")) == 1
        assert [e.get("kept") for e in other.events("release")] == ["yes"]
        assert [e["reason"] for e in other.events("session_close")] == ["shared"]


@pytest.mark.parametrize("libpq", ["machine's", "18"])
def test_psql(same, server, libpq_of, libpq):
    script = "\\set VERBOSITY verbose\nSELECT 1/0;\nSET work_mem = '8MB';\n\\c\nSHOW work_mem;\n"
    env = {} if libpq == "machine's" else {"LD_LIBRARY_PATH": libpq_of(libpq)}
    done = same([os.path.join(server.bindir, "psql"), "-XAt"], stdin=script, env=env)
    assert "4MB" in done.stdout and "22012" in done.stderr


@pytest.mark.parametrize("mode", ["again", "tidy", "loops", "many", "dropped", "fork"])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_a_closed_socket_is_not_watched(same, program, server, mode, tcp):
    """The keeper has a copy of it, and epoll goes on telling of what has one. And a session that
    was lent has the number that a socket of the program's own would have."""
    same([program("events"), mode], env=server.env(tcp=tcp))


@pytest.mark.parametrize("leave, look, clean", [
    ("CREATE TEMP TABLE t (i int)", "SELECT to_regclass('t') IS NULL", "t"),
    ("SET work_mem = '77MB'", "SHOW work_mem", "4MB"),
    ("SET client_encoding = 'LATIN1'", "SHOW client_encoding", "UTF8"),
    ("SELECT pg_advisory_lock(1) IS NULL", "SELECT count(*) FROM pg_locks WHERE pid ="
     " pg_backend_pid() AND locktype = 'advisory'", "0"),
    ("PREPARE p AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", "0"),
    ("BEGIN", "SELECT pg_current_xact_id_if_assigned() IS NULL", "t"),
    ("LISTEN c", "SELECT count(*) FROM pg_listening_channels()", "0"),
    ("SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; DECLARE c CURSOR WITH HOLD FOR SELECT 1",
     "SELECT count(*) FROM pg_cursors WHERE name = 'c'", "0"),
])
def test_no_state_crosses(share, leave, look, clean):
    share(leave)
    assert share(look).stdout.split() == [clean]


def test_no_keeper(run, program, tmp_path):
    done = run([program("cycle"), "2", SESSION], env={"PQPOOL_SHARE": tmp_path / "nothing"})
    assert done.returncode == 0 and len(set(done.stdout.split())) == 1


def test_a_keeper_that_was_killed(share, keeper):
    share(SESSION)
    keeper.kill()
    done = share(SESSION)
    assert len(done.events("session_open")) == 1


def test_a_keeper_that_stands_still(run, program, keeper):
    with stopped(keeper.process.pid):
        done = run([program("cycle"), "3", SESSION],
                   env={"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "300ms"})
    assert done.returncode == 0 and len(done.events("session_open")) == 1


def test_programs_that_do_not_wait_are_lent_what_is_being_reset(keeper, script):
    """The keeper waits for the answer of a session that it has, not for a session."""
    env = {"PQPOOL_SHARE": keeper.path, "PQPOOL_TIMEOUT": "0"}
    one, other = script(env=env), script(env=env)
    for _ in range(100):
        for each in (one, other):
            each.connect("a")
            each.do("exec", "a", "CREATE TEMP TABLE t (i int)")
            each.finish("a")
    one.end()
    other.end()


def test_a_keeper_that_stands_still_holds_a_program_up_once(keeper, script):
    one = script(env={"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "2s"})
    one.connect("a", "application_name=first")
    with stopped(keeper.process.pid):
        for name in "bcdefg":
            one.do("begin", name, "application_name=" + name)
            seconds, backend = one.join(name)
            assert backend.isdigit() and (seconds >= 2) == (name == "b")
    # It is asked again, and answers: sessions are shared again.
    fresh = itertools.count()
    assert wait_until(lambda: one.lease("application_name=again%d" % next(fresh)) and
                      len(keeper.events("session_open")) > 1, 20, 0.2)
    one.finish(*"abcdefg")
    one.end()


def slowly(keeper, ask, answered):
    """Has the keeper answer late: `ask` is done while it stands still, and has no answer before
    it goes on. Longer than what a new question takes in any case."""
    with stopped(keeper.process.pid):
        ask()
        time.sleep(0.3)  # sleeps because what must not happen takes 50 ms
        assert not answered()


def test_the_limit_holds_if_the_keeper_is_slow(keep, script):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    holder, waiter = (script(env={"PQPOOL_SHARE": keeper.path}) for _ in range(2))
    backend = holder.connect("a")
    waiter.lease("application_name=member")
    slowly(keeper, lambda: waiter.tell("connect", "b"), waiter.answered)
    assert wait_until(lambda: any(pool["waiting"] == "1" for pool in keeper.show("pool")))
    holder.do("finish", "a")
    assert waiter.answer() == backend
    waiter.do("finish", "b")
    holder.end()
    waiter.end()


def test_the_limit_holds_for_steps_if_the_keeper_is_slow(keep, script, stepwise):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path})
    backend = holder.connect("a")
    steps.do("start", "c", "application_name=member")
    steps.drive("c")

    def start():
        steps.do("start", "b")
        steps.tell("drive", "b")

    slowly(keeper, start, steps.answered)
    assert wait_until(lambda: any(pool["waiting"] == "1" for pool in keeper.show("pool")))
    holder.do("finish", "a")
    assert steps.answer().strip() == "b OK"
    assert steps.do("pid", "b") == backend
    steps.do("finish", "b")
    steps.do("finish", "c")
    holder.end()
    steps.end()


def test_steps_go_on_alone_if_the_keeper_stands_still(keep, stepwise):
    keeper = keep()
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "300ms"})
    steps.do("start", "c", "application_name=member")
    steps.drive("c")
    with stopped(keeper.process.pid):
        steps.do("start", "b")
        assert steps.step("b") == "READING"

        def wakes():
            """By another connect of the process."""
            steps.do("start", "d")
            steps.do("finish", "d")
            return steps.do("wait", "b", "0") == "1"

        assert wait_until(wakes, 20)
        steps.drive("b")
    for name in "bc":
        steps.do("finish", name)
    steps.end()


def test_a_session_that_is_proven_counts_though_others_were_lost(script, share, keeper, server):
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    lost = holder.connect("a")
    other = share(SESSION).stdout.strip()
    assert lost != other
    server.terminate("pid = " + lost)
    holder.do("exec", "a", SESSION)
    holder.finish("a")
    assert holder.connect("b") == other
    holder.finish("b")
    holder.end()


def test_a_new_keeper_gets_what_the_old_one_had(keep, script, run, program):
    old = keep()
    holder = script(env={"PQPOOL_SHARE": old.path})
    backend = holder.connect("a")
    old.kill()
    new = keep()
    holder.do("finish", "a")
    holder.connect("a", "application_name=other")
    holder.do("finish", "a")
    assert wait_until(lambda: len(new.show("session")) == 2)
    done = run([program("cycle"), "1", SESSION], env={"PQPOOL_SHARE": new.path})
    holder.end()
    new.end()
    assert done.stdout.split() == [backend]


def test_what_was_left_to_a_keeper_that_was_killed_does_not_count(keep, script):
    """Its process lives on, and does not have the session any more."""
    old = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20, SHARE_LINGER=0)
    one, other = (script(env={"PQPOOL_SHARE": old.path}) for _ in range(2))
    one.connect("a")
    other.tell("connect", "b")
    assert wait_until(lambda: old.show("pool")[0]["waiting"] == "1")
    os.kill(old.process.pid, signal.SIGSTOP)
    # Somebody waits, so it is left to the keeper, which is asked like everybody.
    one.do("finish", "a")
    one.tell("connect", "a")
    assert wait_until(lambda: one.events("session_close"))
    old.kill()
    assert one.answer().isdigit() and other.answer().isdigit()
    one.do("finish", "a")
    other.do("finish", "b")
    new = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    third = script(env={"PQPOOL_SHARE": new.path})
    assert third.connect("c").isdigit()
    assert [pool["left"] for pool in new.show("pool")] == ["0"]
    third.do("finish", "c")
    for program in (one, other, third):
        program.end()


def test_a_session_that_does_not_answer_is_not_lent(share, server, keeper):
    """The keeper has not seen it fail when it hands it out."""
    backend = share(SESSION).stdout.strip()
    assert wait_until(lambda: server.sessions("pid = %s AND state = 'idle' AND query = 'DISCARD ALL'"
                                              % backend))
    with stopped(int(backend)):
        done = share(SESSION, env={"PQPOOL_PING_TIMEOUT": "0.3"})
        assert done.stdout.strip() != backend
        assert [e["reason"] for e in done.events("session_close")] == ["ping_failed", "shared"]
    assert wait_until(lambda: [s["backend"] for s in keeper.show("session")]
                      == [done.stdout.strip()])
    assert wait_until(lambda: not server.sessions("pid = " + backend))


def test_an_idle_session_is_taken_from_a_living_program(script, share, keeper):
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    backend = holder.connect("a")
    holder.do("finish", "a")
    assert share(SESSION).stdout.split() == [backend]
    # Given back to the keeper, it is lent to the first one again.
    assert holder.connect("a") == backend
    assert holder.do("exec", "a", SESSION).split()[-1] == backend
    holder.do("finish", "a")
    holder.end()


def test_the_keeper_knows_where_each_session_was_taken(script, share, keeper):
    """Of those, too, of whom its page has no room for that."""
    share(SESSION)
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    names = [str(i) for i in range(PLACES + 2)]
    for name in names:
        holder.connect(name)
    places = [s.get("place", "") for s in keeper.show("session")]
    assert len(places) == len(names) and len(set(places)) == 1
    assert places[0].startswith("script+0x")
    for name in names:
        holder.do("finish", name)
    holder.end()


def test_the_limit_holds_over_programs(keep, script, run, program):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    env = {"PQPOOL_SHARE": keeper.path}
    holder = script(env=env)
    backend = holder.connect("a")
    waiter = script(env=env)
    waiter.tell("connect", "b")
    assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "1")
    assert wait_until(lambda: "place" in keeper.show("waiting")[0])
    holder.do("finish", "a")
    assert waiter.answer() == backend
    refused = run([program("cycle"), "1", SESSION], env={**env, "PQPOOL_TIMEOUT": "100ms"})
    assert refused.returncode != 0 and "the limit of all processes" in refused.stderr
    assert "pid=" in refused.stderr or str(waiter.process.pid) in refused.stderr
    waiter.do("finish", "b")
    holder.end()
    waiter.end()
    keeper.end()


@pytest.mark.parametrize("leased", [False, True])
def test_a_program_that_is_killed(keep, script, run, program, server, leased):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    victim = script(env={"PQPOOL_SHARE": keeper.path})
    backend = victim.connect("a")
    if not leased:
        victim.do("finish", "a")
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()
    done = run([program("cycle"), "1", SESSION], env={"PQPOOL_SHARE": keeper.path})
    keeper.end()
    assert (done.stdout.split() == [backend]) is not leased
    assert not server.sessions("pid = %s AND state = 'active'" % backend)


def test_threads(run, program, keeper):
    done = run([program("hammer")], env={"PQPOOL_SHARE": keeper.path}, timeout=100)
    assert done.returncode == 0, done


@pytest.mark.parametrize("mode", ["prefork", "crossed", "parent_first", "not_finished"])
def test_a_forked_child_is_a_program_of_its_own(run, program, keeper, mode):
    done = run([program("forks"), mode], env={"PQPOOL_SHARE": keeper.path},
               check_leases=mode not in ("parent_first", "not_finished"))
    assert done.returncode == 0, done


def test_used_password(compiled, run, server, keeper):
    asks = compiled("""
        #include <libpq-fe.h>
        #include <stdio.h>
        int main(void) {
            PGconn *c = PQconnectdb("");
            printf("%d %d %d\\n", PQstatus(c), PQconnectionUsedPassword(c), PQconnectionNeedsPassword(c));
            PQfinish(c);
        }""", "-I/usr/include/postgresql", "-lpq")
    env = {**server.env(tcp=True), "PQPOOL_SHARE": keeper.path}
    said = [run([asks], env=env) for _ in range(2)]
    assert [each.stdout for each in said] == ["0 1 0\n", "0 1 0\n"]
    assert said[1].events("session_borrow")


def test_what_alters_sessions_to_come_is_seen(share, server):
    try:
        share(SESSION)
        share("ALTER ROLE app SET work_mem = '9MB'")
        assert share("SHOW work_mem").stdout.strip() == "9MB"
    finally:
        server.sql("ALTER ROLE app RESET work_mem")


def test_what_alters_sessions_to_come_is_told_to_a_late_keeper(share, script, server, keeper):
    """Which the process has given up for the moment."""
    try:
        share(SESSION)
        late = script(env={"PQPOOL_SHARE": keeper.path, "PQPOOL_PING_TIMEOUT": "300ms"})
        with stopped(keeper.process.pid):
            late.connect("a")
            late.exec("a", "ALTER ROLE app SET work_mem = '9MB'")
        assert share("SHOW work_mem").stdout.strip() == "9MB"
        late.finish("a")
        late.end()
    finally:
        server.sql("ALTER ROLE app RESET work_mem")


def test_a_database_can_be_dropped(share, script, server, keeper):
    server.sql("CREATE DATABASE dropped")
    env = {"PQPOOL_SHARE": keeper.path, "PGDATABASE": "dropped", "PGUSER": "postgres"}
    holder = script(env=env, user="postgres", database="dropped")
    holder.connect("a")
    holder.do("finish", "a")
    share(SESSION, env=env)
    share("DROP DATABASE dropped", env={**env, "PGDATABASE": "postgres"})
    holder.end()


def test_a_full_server_gets_room(run, program, new_server, keeper):
    small = new_server(settings={"max_connections": "6", "max_wal_senders": "0",
                                 "superuser_reserved_connections": "3"})
    for name in ("one", "two", "three", "four"):
        done = run([program("cycle"), "1", SESSION], server=small,
                   env={"PQPOOL_SHARE": keeper.path, "PGAPPNAME": name})
        assert done.returncode == 0 and done.stdout.strip().isdigit(), done


def test_a_very_long_wait_is_one(keep, script):
    """It goes to the keeper as a number of milliseconds of 32 bits, for which this is too large."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT="1000000h")
    env = {"PQPOOL_SHARE": keeper.path, "PQPOOL_TIMEOUT": "4294967300ms"}
    holder, waiter = script(env=env), script(env=env)
    holder.connect("a")
    waiter.tell("connect", "a")
    assert wait_until(lambda: keeper.count("waiting") == 1)
    holder.finish("a")
    assert waiter.answer().isdigit()
    waiter.finish("a")
    holder.end()
    waiter.end()


@pytest.fixture(name="one_session")
def role_of_one_session(new_server):
    """(server, how many were refused so far) of a role that may have one session."""
    server = new_server()
    server.sql("CREATE ROLE one LOGIN CONNECTION LIMIT 1")
    return server, lambda: server.log_text(0).count('too many connections for role "one"')


def test_what_got_room_is_kept(share, keeper, one_session):
    server, refused = one_session
    found = [share(SESSION, server=server, env={"PGUSER": "one", "PGAPPNAME": name})
             for name in "abbab"]
    assert [len(each.events("session_open")) for each in found] == [1, 1, 0, 1, 1]
    assert refused() == 3
    assert sum(int(pool["idle"]) for pool in keeper.show("pool")) == 1


def test_nothing_idle_is_no_room(script, run, program, keeper, one_session):
    """And what others have on lease stays as it is."""
    server, refused = one_session
    env = {"PQPOOL_SHARE": keeper.path, "PGUSER": "one"}
    holder = script(env=env, server=server)
    backend = holder.connect("a")
    done = run([program("cycle"), "1", SESSION], server=server, check_leases=False,
               env={**env, "PGAPPNAME": "b"})
    assert 'too many connections for role "one"' in done.stdout + done.stderr, done
    assert refused() == 1
    holder.finish("a")
    assert holder.connect("a") == backend
    holder.finish("a")
    holder.end()


def test_reset_leaves_the_session(script, share, keeper, server):
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    before = holder.connect("a")
    holder.do("reset", "a")
    holder.do("finish", "a")
    assert wait_until(lambda: not server.sessions("pid = %s" % before))
    assert share(SESSION).stdout.strip() != before
    holder.end()


@pytest.mark.parametrize("case", ["plain", "handler", "thread", "failed", "child"])
def test_exec_leaves_sessions_to_the_keeper(run, program, share, keeper, case):
    bare = run([program("execs"), "execv", case], pooled=False)
    done = run([program("execs"), "execv", case], env={"PQPOOL_SHARE": keeper.path},
               check_leases=False)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert share(SESSION).events("session_borrow")


# ---- connects in steps

def test_steps_have_what_others_gave_back(stepwise, share, keeper):
    backend = share(SESSION).stdout.strip()
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path})
    steps.do("start", "a")
    steps.drive("a")
    assert steps.do("pid", "a") == backend
    assert "=%s" % backend in steps.do("exec", "a", SESSION)
    steps.do("finish", "a")
    assert share(SESSION).stdout.strip() == backend
    steps.do("start", "b")
    steps.drive("b")
    assert steps.do("pid", "b") == backend
    steps.end()


def test_what_steps_opened_is_shared(stepwise, share, keeper):
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path})
    steps.do("start", "a")
    steps.drive("a")
    backend = steps.do("pid", "a")
    steps.do("finish", "a")
    assert share(SESSION).stdout.strip() == backend
    steps.end()


@pytest.mark.parametrize("loop", ["poll", "epoll", "once"])
def test_steps_in_line(keep, script, stepwise, loop):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    env = {"PQPOOL_SHARE": keeper.path}
    holder = script(env=env)
    backend = holder.connect("a")
    steps = stepwise(env=env)
    steps.do("loop", loop)
    steps.do("start", "b")
    steps.tell("drive", "b")
    assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "1")
    holder.do("finish", "a")
    assert steps.answer().strip() == "b OK"
    assert steps.do("pid", "b") == backend
    assert "=%s" % backend in steps.do("exec", "b", SESSION)
    assert float(steps.do("longest")) < 1000
    steps.do("finish", "b")
    assert holder.connect("a") == backend
    holder.do("finish", "a")
    holder.end()
    steps.end()


def test_steps_keep_their_number(keep, run, program):
    """What was lent is put where the program watches, though another thread takes each number
    that is free for a moment."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, SHARE_LINGER=0)
    done = run([program("samenumber"), "100"], env={"PQPOOL_SHARE": keeper.path})
    assert done.stdout == "100 rounds, 0 changed\n", done
    assert len(done.events("session_borrow")) > 10, done


def test_steps_are_refused(keep, script, stepwise):
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    holder.connect("a")
    for timeout in ("200ms", "0"):
        steps = stepwise(env={"PQPOOL_SHARE": keeper.path, "PQPOOL_TIMEOUT": timeout})
        steps.do("start", "b")
        answer = steps.do("drive", "b")
        assert answer.startswith("b FAILED") and "the limit of all processes" in answer
        steps.do("finish", "b")
        steps.end()
    holder.do("finish", "a")
    holder.end()


@pytest.fixture(name="in_line")
def steps_in_line(keep, script, stepwise):
    """A keeper whose only session is taken, and steps that have begun a connect "b"."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=20)
    holder = script(env={"PQPOOL_SHARE": keeper.path})
    holder.connect("a")
    steps = stepwise(env={"PQPOOL_SHARE": keeper.path})
    steps.do("start", "b")
    yield keeper, steps
    steps.end()
    holder.do("finish", "a")
    holder.end()


def test_steps_give_up_in_line(in_line):
    keeper, steps = in_line
    # One step does not always come as far as the line.
    assert wait_until(lambda: steps.do("step", "b") and keeper.show("pool")[0]["waiting"] == "1")
    steps.do("finish", "b")
    assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "0")


def test_a_keeper_that_ends_while_steps_are_in_line(in_line):
    keeper, steps = in_line
    steps.tell("drive", "b")
    assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "1")
    keeper.kill()
    assert steps.answer().strip() == "b OK"
    steps.do("finish", "b")
