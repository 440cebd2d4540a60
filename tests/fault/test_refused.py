# SPDX-License-Identifier: PostgreSQL
"""Accounts, databases and rules that change under a program: what is new is refused as it is to
the bare program; what is idle is lent on, as README's limits say."""
import pytest

from server import HBA, Server, wait_until

PID = "SELECT pg_backend_pid()"


@pytest.fixture(scope="module", name="own")
def _own():
    with Server(settings={"shared_buffers": "1MB"}) as made:
        yield made


def both(script, server, **env):
    where = {**server.env("tester", tcp=True), "PGPASSWORD": "first", **env}
    return [script(server=server, pooled=pooled, env=where) for pooled in (False, True)]


def refused_alike(bare, s, server, said):
    """A new connection is; the program's first one is leased."""
    begin = server.marker()
    reasons = [each.refused("new") for each in (bare, s)]
    assert said in reasons[0], "the fault did not happen"
    assert server.log_text(begin).count(said) >= 2
    assert reasons[0] == reasons[1]
    bare.finish("new")
    s.finish("new")


def leave(each):
    """One is held; the shim has no other."""
    pid = each.connect("held")
    assert each.exec("held", PID) == pid
    return pid


def test_password_changed(script, account):
    bare, s = both(script, account)
    leave(bare)
    held = leave(s)
    account.sql("ALTER ROLE tester PASSWORD 'second'")
    refused_alike(bare, s, account, "password authentication failed")
    for each in (bare, s):
        assert each.exec("held", "SELECT 1") == "1"
        each.finish("held")
    # Idle, and so lent; with the new password it is another pool's.
    assert s.lease() == held
    assert s.lease("password=second") != held
    assert bare.lease("password=second")
    # Once it is ended, the old one is worth nothing.
    account.terminate("usename = 'tester'")
    refused_alike(bare, s, account, "password authentication failed")


def test_role_may_no_longer_log_in(script, account):
    bare, s = both(script, account)
    leave(bare), leave(s)
    account.sql("ALTER ROLE tester NOLOGIN")
    refused_alike(bare, s, account, "not permitted to log in")
    for each in (bare, s):
        each.finish("held")
    account.terminate("usename = 'tester'")
    refused_alike(bare, s, account, "not permitted to log in")


def test_role_dropped(script, account):
    """And made again: it is another role, whatever its name."""
    bare, s = both(script, account)
    leave(bare)
    held = leave(s)
    account.sql("ALTER DATABASE tester OWNER TO postgres")
    account.sql("DROP ROLE tester")
    refused_alike(bare, s, account, "authentication failed")
    # A lease goes on alike.
    asked = [each.do("exec", "held", "SELECT current_user") for each in (bare, s)]
    assert "invalid role OID" in asked[0] and asked[0] == asked[1]
    for each in (bare, s):
        each.finish("held")
    # Idle, and so lent, until it is ended.
    assert s.lease() == held
    account.terminate("pid = %s" % held)
    refused_alike(bare, s, account, "authentication failed")
    account.sql("CREATE ROLE tester LOGIN PASSWORD 'first'")
    for each in (bare, s):
        each.connect("new")
        assert each.exec("new", "SELECT current_user") == "tester"
        each.finish("new")


def test_database_dropped(script, account):
    bare, s = both(script, account)
    for each in (bare, s):
        leave(each)
    held = s.lease()
    begin = account.marker()
    account.sql("DROP DATABASE tester WITH (FORCE)")
    assert account.log_text(begin).count("terminating connection") >= 3, "the fault did not happen"
    assert bare.do("exec", "held", PID) == s.do("exec", "held", PID)
    refused_alike(bare, s, account, 'database "tester" does not exist')
    for each in (bare, s):
        each.finish("held")
    account.sql("CREATE DATABASE tester OWNER tester")
    assert s.lease() != held and bare.lease()


def test_rules_changed(script, account):
    bare, s = both(script, account)
    leave(bare)
    held = leave(s)
    path = account.data + "/pg_hba.conf"
    with open(path, "w", encoding="ascii") as f:
        f.write("host  all  tester  all  reject\n" + HBA)
    try:
        begin = account.marker()
        account.sql("SELECT pg_reload_conf()")
        assert wait_until(lambda: "received SIGHUP" in account.log_text(begin))
        said = "pg_hba.conf rejects connection"
        assert wait_until(lambda: said in bare.do("connect", "new"))
        bare.finish("new")
        refused_alike(bare, s, account, said)
        for each in (bare, s):
            assert each.exec("held", "SELECT 1") == "1"
            each.finish("held")
        assert s.lease() == held
    finally:
        with open(path, "w", encoding="ascii") as f:
            f.write(HBA)
        account.sql("SELECT pg_reload_conf()")
    assert wait_until(lambda: bare.do("connect", "new").isdigit())
    bare.finish("new")
    s.lease()


def test_reserved_connections(script, new_server, server_of):
    """From 16 on some are kept for a role: idle sessions make room for the others' as well."""
    there = new_server(programs=server_of("17.10"), settings={
        "max_connections": "5", "superuser_reserved_connections": "1",
        "reserved_connections": "2", "max_wal_senders": "0"})
    bare = script(server=there, pooled=False)
    for name in "ab":
        bare.connect(name)
    assert "pg_use_reserved_connections" in bare.refused("c"), "the fault did not happen"
    bare.end()
    s = script(server=there)
    assert wait_until(lambda: not there.sessions())
    for name in "ab":
        s.connect(name, "application_name=" + name)
    s.finish("a")
    pid = s.connect("c", "application_name=c")
    assert s.exec("c", PID) == pid
    assert s.events("session_close", reason="make_room")
    s.finish("b", "c")
    s.end()
