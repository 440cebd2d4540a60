# SPDX-License-Identifier: PostgreSQL
"""PQPOOL_ROUTE through a real PgBouncer, in session and in transaction mode."""
import pytest

from bouncer import Bouncer
from conftest import built
from keeper import Keeper
from running import PYTHON

MODES = ["session", "transaction"]
HEAD = """
import psycopg2
def connect(**more):
    conn = psycopg2.connect("", **more)
    conn.autocommit = True
    return conn
def ask(conn, statement):
    cursor = conn.cursor()
    cursor.execute(statement)
    return cursor.fetchone()[0] if cursor.description else None
def lease(*statements, **more):
    conn = connect(**more)
    try:
        return [ask(conn, each) for each in statements][-1]
    finally:
        conn.close()
"""


@pytest.fixture
def routed(run, server):
    """routed(mode, program, size, **variables): through PgBouncer, pooled, and as it is bare."""

    def start(mode, program, size=30, pooled=True, **variables):
        with Bouncer(server, "unix", mode, size) as bouncer:
            env = bouncer.env(server.env())
            if pooled:
                variables["PQPOOL_ROUTE"] = "%s:%s" % (env["PGHOST"], env["PGPORT"])
                env = {"PGHOST": "/nowhere", "PGPORT": "1"}
            done = run([PYTHON, "-c", HEAD + program], env={**env, **variables}, pooled=pooled)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done

    return start


@pytest.mark.parametrize("mode", MODES)
def test_one_connection_to_it(routed, mode):
    done = routed(mode, "print({lease('SELECT pg_backend_pid()') for _ in range(20)})")
    assert "," not in done.stdout
    assert len(done.events("acquire")) == 20 and len(done.events("session_open")) == 1


@pytest.mark.parametrize("setting", ["TimeZone = 'Asia/Tokyo'", "work_mem = '7MB'",
                                     "application_name = 'other'"])
@pytest.mark.parametrize("mode", MODES)
def test_no_setting_crosses(routed, mode, setting):
    """By DISCARD ALL, also of those that PgBouncer remembers for its client, and sets again on
    whichever session the client gets."""
    name = setting.split()[0]
    program = "a = lease('SHOW %s'); lease(%r); print(a == lease('SHOW %s'))" % (
        name, "SET " + setting, name)
    assert routed(mode, program).stdout == "True\n"


def test_without_a_reset_one_crosses(routed):
    """Why the reset is not to be left out in transaction mode, where PgBouncer has none itself."""
    program = "lease(\"SET TimeZone = 'Asia/Tokyo'\"); print(lease('SHOW TimeZone'))"
    assert routed("transaction", program, PQPOOL_RESET="rollback").stdout == "Asia/Tokyo\n"


@pytest.mark.parametrize("what", ["PREPARE p AS SELECT 1", "CREATE TEMP TABLE t (a int)", "LISTEN c"])
@pytest.mark.parametrize("mode", MODES)
def test_what_a_lease_leaves_is_gone(routed, mode, what):
    program = "for _ in range(3): lease(%r)" % what
    done = routed(mode, program)
    assert len(done.events("session_open")) == 1


def test_a_transaction_that_is_left_open(routed):
    program = """
conn = psycopg2.connect("")
conn.cursor().execute("SELECT pg_advisory_xact_lock(7)")
conn.close()
print(lease("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
"""
    for mode in MODES:
        assert routed(mode, program).stdout == "0\n"


def test_more_programs_than_sessions(routed, server):
    """In transaction mode an idle session of the pool takes no place on the server: two of them,
    of which one is leased, live on one."""
    program = """
a, b = connect(), connect(application_name="another pool")
print(ask(a, "SELECT pg_backend_pid()") == ask(b, "SELECT pg_backend_pid()"))
"""
    marker = server.marker()
    assert routed("transaction", program, size=1).stdout == "True\n"
    assert server.most_at_once(marker) == 1


def test_in_session_mode_an_idle_one_has_its_place(routed, server):
    """What the README warns of: each session of the pool has one of the server's, also idle."""
    program = """
lease("SELECT 1", application_name="first pool")
lease("SELECT 1", application_name="second pool")
"""
    marker = server.marker()
    routed("session", program)
    assert server.most_at_once(marker) == 2
    marker = server.marker()
    routed("session", program, pooled=False)
    assert server.most_at_once(marker) == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_it_refuses(routed, mode):
    """A startup parameter that it does not know: its own text, as bare."""
    program = """
try:
    connect(options="-c work_mem=8MB")
except psycopg2.OperationalError as error:
    print(str(error).split("FATAL:")[1])
"""
    done = routed(mode, program)
    assert done.stdout == routed(mode, program, pooled=False).stdout
    assert "unsupported startup parameter: options" in done.stdout


@pytest.mark.parametrize("mode", MODES)
def test_it_is_restarted(script, server, mode):
    """Idle sessions end with it, and nobody notices. (Its pids may be negative: they are keys.)"""
    with Bouncer(server, "unix", mode) as bouncer:
        where = bouncer.env(server.env())
        s = script(env={"PQPOOL_ROUTE": "%s:%s" % (where["PGHOST"], where["PGPORT"])})
        for _ in range(2):
            s.do("connect")
            assert s.exec("-", "SELECT 42") == "42"
            s.finish("-")
            bouncer.restart()
        assert len(s.events("session_open")) == 2


def test_a_cancel_reaches_its_statement(routed):
    program = """
import threading
conn = connect()
ask(conn, "SELECT 1")
def cancel():
    while True:
        try:
            conn.cancel()
        except psycopg2.Error:
            return
        if ended.wait(0.05):
            return
ended = threading.Event()
thread = threading.Thread(target=cancel)
thread.start()
try:
    ask(conn, "SELECT pg_sleep(60)")
except psycopg2.errors.QueryCanceled:
    print("cancelled")
ended.set()
thread.join()
"""
    for mode in MODES:
        assert routed(mode, program).stdout == "cancelled\n"


TELL = """
def told(conn):
    names = "TimeZone", "application_name", "DateStyle", "client_encoding"
    return [ask(conn, "SHOW " + name) for name in names] + [
        conn.info.parameter_status(name) for name in names]
for setting in ("TimeZone = 'Asia/Kabul'", "DateStyle = 'German'", "application_name = ''"):
    conn = connect()
    print(told(conn))
    ask(conn, "SET " + setting)
    conn.close()
"""
STARTED = {"PGTZ": "Asia/Tokyo", "PGAPPNAME": "it's a job", "PGDATESTYLE": "SQL, DMY",
           "PGCLIENTENCODING": "LATIN1"}


@pytest.mark.parametrize("ping", ["on", "auto", "off"])
@pytest.mark.parametrize("mode", MODES)
def test_what_a_program_connects_with_is_there_after_a_reset(routed, mode, ping):
    """It is PgBouncer's to set, and DISCARD ALL loses it."""
    bare = routed(mode, TELL, pooled=False, **STARTED)
    assert bare.stdout.count("'Asia/Tokyo', \"it's a job\", 'ISO, DMY', 'LATIN1'") == 6
    done = routed(mode, TELL, PQPOOL_PRE_PING=ping, **STARTED)
    assert done.stdout == bare.stdout
    assert len(done.events("session_open")) == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_set_again(routed, mode):
    """A session without what the program connected with is not lent."""
    started = {**STARTED, "PGAPPNAME": "back\\slash"}
    bare = routed(mode, TELL, pooled=False, **started)
    done = routed(mode, TELL, **started)
    assert done.stdout == bare.stdout
    assert len(done.events("session_open")) == 3


def test_without_a_pooler_it_need_not_be_set_again(run, server):
    """DISCARD ALL brings back what the start of the session had."""
    done = run([PYTHON, "-c", HEAD + TELL],
               env={**server.env(), **STARTED, "PGAPPNAME": "back\\slash"})
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.events("session_open")) == 1


@pytest.mark.parametrize("mode", MODES)
def test_and_where_programs_share(run, server, tmp_path, mode):
    """The keeper sees in the reset's answer that it is lost, and closes the session."""
    argv = [PYTHON, "-c", HEAD + TELL]
    with Bouncer(server, "unix", mode, 30) as bouncer, \
            Keeper(built("pqpool"), tmp_path) as keeper:
        env = {**bouncer.env(server.env()), **STARTED}
        bare = run(argv, env=env, pooled=False)
        for _ in range(3):
            done = run(argv, env={**env, "PQPOOL_SHARE": keeper.path})
            assert (done.stdout, done.stderr) == (bare.stdout, "")
        # Without a setting of its own a session is shared.
        plain = {name: None for name in STARTED}
        pids = {run([PYTHON, "-c", HEAD + "print(lease('SELECT pg_backend_pid()'))"],
                    env={**env, **plain, "PQPOOL_SHARE": keeper.path}).stdout for _ in range(3)}
    assert len(pids) == 1
