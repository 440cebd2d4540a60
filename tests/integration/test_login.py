# SPDX-License-Identifier: PostgreSQL
"""What a login does to a session is still done for its second lease: the role it gives, and
the event triggers it runs. On servers whose DISCARD ALL loses it, and on others."""
import pytest

from server import wait_until

LOSING, KEEPING = ["11.22", "15.8", "16.4", "17.0"], ["15.18", "17.10", "18.4"]
WHO = "SELECT session_user, current_user, current_setting('role')"
WAYS = {
    "options": {"user": "app", "database": "app", "options": "-c role=owner"},
    "role": {"user": "as_role", "database": "app"},
    "database": {"user": "app", "database": "as_database"},
    "superuser": {"user": "as_super", "database": "app"},
    "none": {"user": "app", "database": "app"},
}


def roles_on(server):
    """Once a server."""
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'owner'"):
        server.sql("CREATE ROLE owner; CREATE ROLE as_role LOGIN; GRANT owner TO app, as_role;"
                   "ALTER ROLE as_role SET role = 'owner';"
                   "CREATE ROLE as_super LOGIN SUPERUSER; ALTER ROLE as_super SET role = 'owner'")
        server.sql("CREATE DATABASE as_database")
        server.sql("ALTER DATABASE as_database SET role = 'owner'")
    return server


def begin(script, server, way, **env):
    where = WAYS[way]
    options = {"PGOPTIONS": where["options"]} if "options" in where else {}
    return script(server=server, user=where["user"], database=where["database"],
                  env={**options, **env})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", LOSING + KEEPING)
def test_the_role_of_a_login_is_there_for_every_lease(script, server_at, version, way):
    s = begin(script, roles_on(server_at(version)), way)
    pid = s.connect("a")
    born = s.exec("a", WHO)
    assert (born.split("|")[1] == "owner") == (way != "none")
    s.finish("a")
    for changes in ([], ["SET ROLE none"], ["BEGIN", "SET ROLE none"], ["RESET ROLE"], []):
        assert s.connect("a") == pid and s.exec("a", WHO) == born
        for change in changes:
            s.exec("a", change)
        s.finish("a")
        # What a libpq before 14 does with an open transaction.
        if s.events("session_close", backend=pid, reason="open_transaction"):
            pid = s.lease()
    assert s.connect("a") == pid
    s.exec("a", "RESET ROLE")
    assert s.exec("a", WHO) == born
    s.finish("a")
    assert s.end().stderr == ""


@pytest.mark.parametrize("version", LOSING)
def test_after_another_session_authorization(script, server_at, version):
    s = begin(script, roles_on(server_at(version)), "superuser")
    pid = s.connect("a")
    born = s.exec("a", WHO)
    s.exec("a", "SET SESSION AUTHORIZATION app")
    s.finish("a")
    assert s.connect("a") == pid and s.exec("a", WHO) == born
    s.finish("a")


@pytest.mark.parametrize("version", LOSING)
def test_a_connect_in_steps_brings_it_back_too(script, server_at, version):
    s = script(server=roles_on(server_at(version)), name="stepwise", user="as_role",
               database="app")
    pids = set()
    for _ in range(3):
        s.do("start", "a")
        assert s.do("drive", "a") .strip() == "a OK"
        pids.add(s.do("pid", "a"))
        assert "owner" in s.do("exec", "a", "SELECT current_user")
        s.do("finish", "a")
    assert len(pids) == 1
    s.end()


def test_the_question_is_put_once_a_session(script, server_at):
    """Where no role was given."""
    server = server_at("15.8")
    s = script(server=server, user="postgres", env={"PGOPTIONS": "-c log_statement=all"})
    marker = server.marker()
    for _ in range(4):
        s.connect("a")
        s.exec("a", "SELECT 1")
        s.finish("a")
    s.end()
    text = server.log_text(marker)
    assert text.count("RESET ROLE; SHOW role") == 1 and text.count("DISCARD ALL") == 4


# -- event triggers ----------------------------------------------------------------------

TRIGGERING = ["17.0", "17.10", "18.4"]
AUDITED = "SELECT count(*) FROM audit"
MAKE = """
CREATE TABLE IF NOT EXISTS audit (who text);
GRANT ALL ON audit TO PUBLIC;
CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.audit VALUES (session_user);
    PERFORM set_config('app.seen', 'yes', false);
END $$;
CREATE EVENT TRIGGER seen ON login EXECUTE FUNCTION on_login();
ALTER EVENT TRIGGER seen ENABLE ALWAYS"""


@pytest.fixture(name="triggers", params=TRIGGERING)
def _triggers(request, server_at):
    """triggers(True) makes the database's triggers, triggers(False) takes them away."""
    server = server_at(request.param)
    server.sql("CREATE DATABASE triggered OWNER app")

    def switch(on):
        server.sql(MAKE if on else "DROP EVENT TRIGGER IF EXISTS seen;"
                   "DROP FUNCTION IF EXISTS on_login()", database="triggered")

    switch.server = server
    switch.audited = lambda: int(server.sql(
        "SELECT count(*) FROM audit WHERE who = 'app'", database="triggered")[0][0])
    yield switch
    server.sql("DROP DATABASE triggered WITH (FORCE)")


@pytest.mark.parametrize("env", [{}, {"PQPOOL_PRE_PING": "off"}, {"PQPOOL_RESET": "rollback"},
                                 {"PQPOOL_PREWARM": "3"}], ids=str)
def test_login_triggers_run_for_every_connect(script, triggers, env):
    triggers(True)
    s = script(server=triggers.server, user="app", database="triggered", env=env)
    for _ in range(5):
        s.connect("a")
        assert s.exec("a", "SELECT current_setting('app.seen', true)") == "yes"
        s.finish("a")
    backends = {e["backend"] for e in s.events("acquire")}
    assert len(backends) == 5
    assert triggers.audited() == len(s.events("session_open"))
    told, = s.events("not_kept")
    assert told["reason"] == "login_trigger" and told["level"] == "warning"
    assert s.end().stderr == ""


def test_triggers_that_somebody_makes_later(script, triggers):
    """They are noticed a second later."""
    s = script(server=triggers.server, user="app", database="triggered")
    pid = s.lease()
    assert s.lease() == pid
    triggers(True)
    assert wait_until(lambda: s.lease() != pid)
    assert s.events("session_close", backend=pid, reason="login_trigger")
    s.end()


def test_triggers_that_the_program_makes(script, triggers):
    s = script(server=triggers.server, user="postgres", database="triggered")
    s.connect("a")
    idle = s.lease()
    s.exec("a", "CREATE TABLE audit (who text)")
    s.exec("a", "CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS"
           " 'BEGIN INSERT INTO public.audit VALUES (session_user); END'")
    s.exec("a", "CREATE EVENT TRIGGER seen ON login EXECUTE FUNCTION on_login()")
    assert s.events("session_close", backend=idle, reason="altered")
    s.connect("b")
    assert s.exec("b", AUDITED) == "1"
    s.exec("b", "DROP EVENT TRIGGER seen")
    s.finish("a", "b")
    s.end()


def test_the_question_waits_for_no_safe_snapshot(script, triggers):
    """As it would where transactions are serializable, read-only and deferrable by default."""
    server = triggers.server
    other = script(server=server, user="postgres", database="triggered", pooled=False)
    other.connect("other")
    other.exec("other", "BEGIN ISOLATION LEVEL SERIALIZABLE", "CREATE TABLE written (v int)")
    s = script(server=server, user="postgres", database="triggered", env={
        "PGOPTIONS": "-c default_transaction_isolation=serializable "
                     "-c default_transaction_read_only=on -c default_transaction_deferrable=on "
                     "-c log_statement=all"})
    marker = server.marker()
    assert len({s.lease() for _ in range(3)}) == 1
    assert "dathasloginevt" in server.log_text(marker)
    assert s.connect("a") and s.exec("a", "SHOW transaction_isolation") == "serializable"
    s.finish("a")
    other.exec("other", "ROLLBACK")
    other.finish("other")
    for one in (s, other):
        assert one.end().stderr == ""


def test_no_triggers_cost_one_question(script, triggers):
    s = script(server=triggers.server, user="postgres", database="triggered",
               env={"PGOPTIONS": "-c log_statement=all"})
    marker = triggers.server.marker()
    assert len({s.lease() for _ in range(5)}) == 1
    s.end()
    assert triggers.server.log_text(marker).count("dathasloginevt") == 1
