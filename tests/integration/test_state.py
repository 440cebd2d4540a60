# SPDX-License-Identifier: PostgreSQL
"""What one lease leaves on the server is not there for the next, on the same backend."""
import re
import socket
import tempfile
import threading

import psycopg2
import pytest

from running import in_pipeline
from server import OBSERVER, wait_until

PID = "SELECT pg_backend_pid()"
SUPER = "user=postgres dbname=app"


@pytest.fixture(scope="module", autouse=True)
def objects(server):
    """What the tests use, and nothing that a session could leave."""
    server.sql("CREATE TABLE kept (a int); GRANT ALL ON kept TO app;"
               "CREATE SEQUENCE numbers; GRANT ALL ON numbers TO app;"
               "CREATE ROLE another; GRANT another TO app; CREATE EXTENSION dblink;"
               "SELECT pg_replication_origin_create('origin')", database="app")
    yield
    server.sql("DROP TABLE kept; DROP SEQUENCE numbers; DROP ROLE another;"
               "DROP EXTENSION dblink; SELECT pg_replication_origin_drop('origin')",
               database="app")


class Left:
    """What a lease does, and the question by which the next one would find out.

    A connection's `state` is compared as well, always. `dropped`: the reason for which the
    session is closed instead of reset.
    """

    def __init__(self, name, statements, question=PID, conninfo="", dropped=""):
        self.name = name
        self.statements = statements
        self.question = question
        self.conninfo = conninfo
        self.dropped = dropped

    def __repr__(self):
        return self.name


LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
# A customised setting is NULL until it is named, and empty after any reset.
NULL = "SELECT current_setting('app.tenant', true) IS NULL"
LEFT = [
    Left("temp table", ["CREATE TEMP TABLE t AS SELECT 1"], "SELECT to_regclass('t')"),
    Left("temp view", ["CREATE TEMP VIEW v AS SELECT 1"], "SELECT to_regclass('v')"),
    Left("temp sequence", ["CREATE TEMP SEQUENCE s"], "SELECT to_regclass('s')"),
    Left("temp function", ["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
         "SELECT to_regprocedure('pg_temp.f()')"),
    Left("temp table of a kept one's name", ["CREATE TEMP TABLE kept AS SELECT 7 AS a"],
         "SELECT a FROM kept"),
    Left("prepared statement", ["PREPARE p AS SELECT 1"],
         "SELECT name FROM pg_prepared_statements"),
    Left("SET", ["SET work_mem = '123kB'"], "SHOW work_mem"),
    Left("set_config", ["SELECT set_config('statement_timeout', '54321', false)"],
         "SHOW statement_timeout"),
    Left("search_path", ["SET search_path = nowhere"], "SELECT a FROM kept"),
    Left("SET TimeZone", ["SET TimeZone = 'Asia/Kathmandu'"], "SHOW TimeZone"),
    Left("SET DateStyle", ["SET DateStyle = 'German'"], "SELECT date '2000-12-31'"),
    Left("SET standard_conforming_strings",
         ["SET escape_string_warning = off", "SET standard_conforming_strings = off"],
         r"SELECT 'a\\b'", dropped="escaping"),
    Left("SET application_name", ["SET application_name = 'left behind'"],
         "SHOW application_name"),
    Left("SET client_encoding", ["SET client_encoding = 'LATIN1'"],
         "SELECT length(convert_to('\u00e4', 'UTF8'))"),
    Left("read only", ["SET default_transaction_read_only = on"], "SHOW transaction_read_only"),
    Left("isolation", ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
         "SHOW transaction_isolation"),
    Left("SET ROLE", ["SET ROLE another"], "SELECT current_user, session_user"),
    Left("SET SESSION AUTHORIZATION", ["SET SESSION AUTHORIZATION app"],
         "SELECT current_user, session_user", SUPER),
    Left("SET SESSION AUTHORIZATION and ROLE",
         ["SET SESSION AUTHORIZATION app", "SET ROLE another"],
         "SELECT current_user, session_user", SUPER),
    Left("advisory lock", ["SELECT pg_advisory_lock(42)"], LOCKS),
    Left("shared advisory lock", ["SELECT pg_advisory_lock_shared(1, 2)"], LOCKS),
    Left("LISTEN", ["LISTEN channel"], "SELECT * FROM pg_listening_channels()"),
    Left("cursor WITH HOLD", ["DECLARE c CURSOR WITH HOLD FOR SELECT 1"],
         "SELECT name FROM pg_cursors"),
    Left("currval", ["SELECT nextval('numbers')"], "SELECT currval('numbers') IS NOT NULL"),
    Left("lastval", ["SELECT nextval('numbers')"], "SELECT lastval() IS NOT NULL"),
    Left("open transaction", ["BEGIN", "INSERT INTO kept VALUES (1)"],
         "SELECT count(*) FROM kept"),
    Left("transaction with everything in it",
         ["BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", "SET LOCAL work_mem = '123kB'",
          "SELECT pg_advisory_xact_lock(43)", "CREATE TABLE uncommitted (a int)",
          "DECLARE c CURSOR FOR SELECT 1", "SAVEPOINT s"],
         "SELECT current_setting('work_mem'), to_regclass('uncommitted')"),
    Left("SET, then an open transaction", ["SET work_mem = '123kB'", "BEGIN"], "SHOW work_mem"),
    Left("SET in an open transaction", ["BEGIN", "SET work_mem = '123kB'"], "SHOW work_mem"),
    Left("failed transaction", ["SET work_mem = '123kB'", "BEGIN", "SELECT 1/0"]),
    Left("failed statement", ["SELECT 1/0"]),
    Left("customised setting", ["SET app.tenant = 'x'"], NULL, dropped="custom_setting"),
    Left("customised setting of a transaction",
         ["BEGIN", "SET LOCAL app.tenant = 'x'", "ROLLBACK"], NULL, dropped="custom_setting"),
    Left("customised setting by set_config", ["SELECT set_config('app.tenant', 'x', true)"], NULL,
         dropped="custom_setting"),
    Left("customised setting that was only reset", ["RESET app.tenant"], NULL,
         dropped="custom_setting"),
    Left("customised setting of a function",
         ["BEGIN", "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET app.tenant = 'x'"
          " AS 'SELECT 1'", "ROLLBACK"], NULL, dropped="custom_setting"),
    Left("customised setting in a block", ["DO $$BEGIN SET LOCAL app.tenant = 'x'; END$$"], NULL,
         dropped="custom_setting"),
    Left("customised setting by a prepared statement",
         ["PREPARE p AS SELECT set_config($1, $2, true)", "EXECUTE p('app.tenant', 'x')"], NULL,
         dropped="custom_setting"),
    Left("replication origin", ["SELECT pg_replication_origin_session_setup('origin')"],
         "SELECT pg_replication_origin_session_is_setup()", SUPER, dropped="replication_origin"),
    # One of both is there: since version 15, before it.
    Left("backup", ["SELECT pg_backup_start('b', true)", "SELECT pg_start_backup('b', true, false)"],
         "SET client_min_messages = error; DO $$ BEGIN EXECUTE CASE"
         " WHEN current_setting('server_version_num')::int < 150000 THEN 'SELECT pg_stop_backup(false)'"
         " ELSE 'SELECT pg_backup_stop()' END; END $$", SUPER, dropped="backup"),
    Left("customised setting of an altered function",
         ["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
          "ALTER FUNCTION pg_temp.f() RESET app.tenant"], NULL, dropped="custom_setting"),
    Left("customised setting with escapes", ['SET U&"app\\002etenant" = 1'], NULL, dropped="custom_setting"),
    Left("dblink's connections",
         ["SELECT dblink_connect('c', format('host=%s port=%s dbname=app user=postgres',"
          " current_setting('unix_socket_directories'), current_setting('port')))"],
         "SELECT dblink_get_connections()", SUPER, dropped="extension_state"),
]


def look(s, left):
    """What the program can see: the state, and the answer or error to the question."""
    return s.state("a"), s.do("exec", "a", left.question)


@pytest.mark.parametrize("reset", ["discard", "auto"])
@pytest.mark.parametrize("left", in_pipeline(
    LEFT, lambda left: "transaction" in left.name), ids=repr)
def test_invisible_to_the_next_lease(script, left, reset):
    s = script(env={"PQPOOL_RESET": reset})
    pid = s.connect("a", left.conninfo)
    before = look(s, left)
    for statement in left.statements:
        s.do("exec", "a", statement)
    dirty = look(s, left)
    assert dirty != before, "it cannot be seen at all"
    s.finish("a")
    assert (s.connect("a", left.conninfo) == pid) == (not left.dropped)
    assert look(s, left) == before
    s.finish("a")
    assert len(s.events("session_open")) == (2 if left.dropped else 1)
    assert not left.dropped or s.events("session_close", reason=left.dropped)
    assert s.end().stderr == ""


def test_why_nothing_is_kept_is_said_once_a_pool(script):
    s = script()
    for _ in range(3):
        s.connect("a")
        s.exec("a", "SET app.tenant = 'x'")
        s.finish("a")
    told, = s.events("not_kept")
    assert (told["level"], told["reason"]) == ("warning", "custom_setting")
    assert "app" in told["pool"] and len(s.events("session_open")) == 3
    s.end()


def test_settings_that_are_to_stay(script):
    s = script(env={"PQPOOL_RESET": "rollback"})
    pid = s.connect("a")
    s.exec("a", "SET app.tenant = 'x'")
    s.finish("a")
    assert s.connect("a") == pid and s.exec("a", "SHOW app.tenant") == "x"
    s.finish("a")


def test_the_reset_is_what_makes_it_so(script):
    s = script(env={"PQPOOL_RESET": "off"})
    pid = s.connect("a")
    s.exec("a", "SET work_mem = '123kB'")
    s.finish("a")
    assert s.connect("a") == pid and s.exec("a", "SHOW work_mem") == "123kB"
    s.finish("a")


def test_reset_rollback(script):
    s = script(env={"PQPOOL_RESET": "rollback"})
    pid = s.connect("a")
    s.exec("a", "SET work_mem = '123kB'", "BEGIN", "INSERT INTO kept VALUES (1)")
    s.finish("a")
    assert s.connect("a") == pid and s.exec("a", "SHOW work_mem") == "123kB"
    assert s.exec("a", "SELECT count(*) FROM kept") == "0"
    assert s.state("a")["transaction"] == "0"
    s.finish("a")


def test_reset_off_drops_a_transaction(script):
    s = script(env={"PQPOOL_RESET": "off"})
    pid = s.connect("a")
    s.exec("a", "BEGIN")
    s.finish("a")
    assert s.events("release", reason="open_transaction", backend=pid)
    assert s.lease() != pid


def test_protocol_prepared_statement(script):
    s = script()
    pid = s.connect("a")
    for _ in range(2):
        assert s.do("prepare", "a", "SELECT 1") == "PGRES_COMMAND_OK"
        assert s.do("prepare", "a", "SELECT 1").startswith("PGRES_FATAL_ERROR")
        s.finish("a")
        assert s.connect("a") == pid
    s.finish("a")


def test_what_idle_sessions_hold_is_let_go(script, server):
    """Not only the next lease: everybody else finds locks and names free at once."""
    s = script()
    s.connect("a")
    s.exec("a", "SELECT pg_advisory_lock(44)", "BEGIN", "LOCK kept")
    question = "SELECT pg_try_advisory_lock(44)"
    assert server.sql(question, database="app") == [["f"]]
    s.finish("a")
    assert wait_until(lambda: server.sql(question, database="app") == [["t"]])
    server.sql("SET lock_timeout = '10s'; LOCK kept", database="app")


# -- notifications -----------------------------------------------------------------------


def test_queued_notifications_are_not_delivered(script, server):
    s = script()
    pid = s.connect("a")
    s.exec("a", "LISTEN channel", "BEGIN")
    server.sql("NOTIFY channel, 'in a transaction'", database="app")
    s.exec("a", "COMMIT", "NOTIFY channel, 'read, but not fetched'")
    server.sql("NOTIFY channel, 'not even read'", database="app")
    s.finish("a")
    server.sql("NOTIFY channel, 'idle'", database="app")
    assert s.connect("a") == pid
    server.sql("NOTIFY channel, 'on another lease'", database="app")
    s.exec("a", "SELECT 1")
    assert s.do("consume", "a") == "1"
    assert s.state("a")["notify"] == "none"
    s.finish("a")


def test_notifications_still_arrive(script, server):
    s = script()
    s.lease()
    s.connect("a")
    s.exec("a", "LISTEN channel")
    server.sql("NOTIFY channel", database="app")
    assert wait_until(lambda: s.do("consume", "a") == "1" and
                      s.state("a")["notify"] == "channel")
    s.finish("a")


# -- a reset that does not succeed -------------------------------------------------------


@pytest.mark.parametrize("in_transaction", in_pipeline([False, True], bool))
def test_a_reset_that_times_out(script, in_transaction):
    s = script()
    pid = s.connect("a")
    s.exec("a", "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE 'CREATE TEMP TABLE t' || i || '()';"
           " END LOOP; END $$", "SET statement_timeout = 1")
    if in_transaction:
        s.exec("a", "BEGIN")
    s.finish("a")
    after = s.connect("a")
    failed, = s.events("session_close")
    assert (failed["backend"], failed["reason"]) == (pid, "reset_failed")
    assert after != pid and s.exec("a", "SELECT to_regclass('t1')") == "NULL"
    s.finish("a")
    assert s.end().stderr == ""


class Relay(threading.Thread):
    """A way to the server by another Unix socket, on which, once a statement has timed out,
    what the server says after that is held back until it is let go."""

    def __init__(self, server, folder):
        super().__init__(daemon=True)
        self.held, self.let_go = threading.Event(), threading.Event()
        self.target = "%s/.s.PGSQL.%d" % (server.folder.path, server.port)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind("%s/.s.PGSQL.%d" % (folder, server.port))
        self.listener.listen()
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            there = socket.socket(socket.AF_UNIX)
            there.connect(self.target)
            for work in (self.pass_on, self.pass_back):
                threading.Thread(target=work, args=(client, there), daemon=True).start()

    @staticmethod
    def pass_on(client, there):
        while data := client.recv(65536):
            there.sendall(data)
        there.close()

    def pass_back(self, client, there):
        stream, timed_out = there.makefile("rb"), False
        while head := stream.read(5):
            message = head + stream.read(int.from_bytes(head[1:], "big") - 4)
            if timed_out:
                self.held.set()
                self.let_go.wait()
            client.sendall(message)
            timed_out = timed_out or b"statement timeout" in message
        client.close()


@pytest.mark.parametrize("in_transaction",
                         [False, pytest.param(True, marks=pytest.mark.libpq(14))])
def test_a_reset_whose_failure_is_known_before_its_end(script, server, in_transaction):
    """The refusal comes in time to be read at the finish, the rest when it is lent again."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        relay = Relay(server, folder)
        s = script(env={"PGHOST": folder})
        pid = s.connect("a")
        s.exec("a", "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE 'CREATE TEMP TABLE t' || i || '()';"
               " END LOOP; END $$", "SET statement_timeout = 1")
        if in_transaction:
            s.exec("a", "BEGIN")
        s.finish("a")
        assert relay.held.wait(10), "the reset did not fail"
        s.tell("connect", "a", "")
        relay.let_go.set()
        assert s.answer() != pid and s.exec("a", "SELECT to_regclass('t1')") == "NULL"
        assert s.events("session_close", backend=pid, reason="reset_failed")
        s.finish("a")
        s.end()


def test_a_reset_that_is_cancelled_from_outside(script, server):
    """The reset hangs where its lock is taken; an administrator cancels it."""
    s = script()
    pid = s.connect("a")
    s.exec("a", "CREATE TEMP TABLE t (a int)")
    blocker = psycopg2.connect(server.dsn("postgres", "app", application_name=OBSERVER))
    schema = s.exec("a", "SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
    blocker.cursor().execute("LOCK %s.t IN ACCESS SHARE MODE" % schema)
    s.finish("a")
    waiting = ("SELECT wait_event_type FROM pg_stat_activity"
               " WHERE query = 'DISCARD ALL' AND pid = " + pid)
    assert wait_until(lambda: server.sql(waiting) == [["Lock"]])
    server.sql("SELECT pg_cancel_backend(%s)" % pid)
    assert s.lease() != pid
    blocker.close()
    assert s.events("session_close", backend=pid, reason="reset_failed")


# -- cancelling --------------------------------------------------------------------------


DEFERRED = {"PGOPTIONS": "-c default_transaction_isolation=serializable "
                         "-c default_transaction_read_only=on -c default_transaction_deferrable=on"}


@pytest.mark.server(since=14)
@pytest.mark.libpq(14)
@pytest.mark.parametrize("statements", [["SELECT 1"], ["SET work_mem = '123kB'"], ["BEGIN"]],
                         ids=lambda statements: statements[0].split()[0])
def test_a_reset_waits_for_no_safe_snapshot(script, statements):
    """Which transactions that are serializable, read-only and deferrable do, DISCARD ALL too."""
    s = script(env=DEFERRED)
    other = script(pooled=False)
    other.connect("other")
    # What is sent after the first lease of all may be sent later.
    for _ in range(2):
        first = s.connect("a")
        s.exec("a", *statements)
        other.exec("other", "BEGIN ISOLATION LEVEL SERIALIZABLE", "CREATE TABLE written (v int)")
        s.finish("a")
        assert s.connect("a") == first
        assert s.exec("a", "SHOW default_transaction_deferrable") == "on"
        s.finish("a")
        other.exec("other", "ROLLBACK")
    assert not s.events("session_close")
    other.finish("other")
    for one in (s, other):
        assert one.end().stderr == ""


def is_sleeping(server, pid):
    return server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                      " AND pid = " + pid) == [["1"]]


def test_cancel_of_a_live_lease(script, server):
    s = script()
    s.lease()
    pid = s.connect("a")
    assert s.do("cancel_get", "a") == "1"
    s.do("send", "a", "SELECT pg_sleep(60)")
    assert wait_until(lambda: is_sleeping(server, pid))
    assert s.do("cancel_send", "a").startswith("1")
    assert "canceling statement due to user request" in s.do("drain", "a")
    s.do("cancel_free", "a")
    s.finish("a")


def test_cancel_kept_past_finish_is_inert(script, server):
    s = script()
    pid = s.connect("a")
    assert s.do("cancel_get", "a") == "1"
    s.finish("a")
    assert s.connect("b") == pid
    s.do("send", "b", "SELECT pg_sleep(0.5)")
    assert wait_until(lambda: is_sleeping(server, pid))
    marker = server.marker()
    assert s.do("cancel_send", "a").startswith("1")
    assert s.do("drain", "b").startswith("PGRES_TUPLES_OK")
    assert not re.search("cancel", server.log_text(marker))
    # One taken on this lease works, and the old one's end does it no harm.
    assert s.do("cancel_get", "b") == "1"
    s.do("cancel_free", "a")
    s.do("send", "b", "SELECT pg_sleep(60)")
    assert wait_until(lambda: is_sleeping(server, pid))
    assert s.do("cancel_send", "b").startswith("1")
    assert "canceling statement" in s.do("drain", "b")
    s.finish("b")
    s.do("cancel_free", "b")


# -- notices while connecting ------------------------------------------------------------


def test_notice_at_connect_comes_every_time(script, run, program, server):
    server.sql("CREATE ROLE noisy LOGIN; ALTER ROLE noisy SET default_tablespace = 'no_such'")
    argv = [program("cycle"), "3", PID]
    env = {"PGUSER": "noisy", "PGDATABASE": "app"}
    bare, pooled = run(argv, env=env, pooled=False), run(argv, env=env)
    assert bare.stderr.count("WARNING") == 3, bare
    assert pooled.stderr == bare.stderr
    assert len(set(pooled.stdout.split())) == 3
    assert len(pooled.events("release", reason="connect_notice")) == 3
    told, = pooled.events("not_kept")
    assert (told["level"], told["reason"]) == ("warning", "connect_notice")
    assert told["notice"].startswith('invalid value for parameter "default_tablespace"')
    server.sql("ALTER ROLE noisy RESET ALL")
    quiet = script(user="noisy", database="app")
    assert quiet.lease() == quiet.lease()
    quiet.end()
    assert wait_until(lambda: not server.sessions("usename = 'noisy'"))
    server.sql("DROP ROLE noisy")


@pytest.mark.parametrize("name", ["script", "stepwise"])
def test_collation_version_mismatch(script, server, name):
    """Which the server warns of at each connect, until somebody mends it."""
    if server.major < 15:
        pytest.skip("databases have had a collation version since server 15")
    server.sql("CREATE DATABASE mismatched TEMPLATE template0 LOCALE_PROVIDER icu"
               " ICU_LOCALE 'en' OWNER app")
    server.sql("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'mismatched'")
    s = script(user="app", database="mismatched", name=name)
    for _ in range(3):
        if name == "stepwise":
            s.do("start", "a")
            assert s.do("drive", "a").strip() == "a OK"
        else:
            s.connect("a")
        s.do("finish", "a")
    told, = s.events("not_kept")
    assert told["notice"] == 'database "mismatched" has a collation version mismatch'
    assert s.end().stderr.count("collation version mismatch") == 3
    server.sql("DROP DATABASE mismatched")
