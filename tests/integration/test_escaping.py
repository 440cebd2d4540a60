# SPDX-License-Identifier: PostgreSQL
"""PQescapeString and PQescapeBytea escape as if every connect were a real one."""
import pytest

from running import same


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_events(run, program, seed):
    pooled = same(run, [program("escapes"), "walk", str(seed), "400"])
    opened, leased = len(pooled.events("session_open")), len(pooled.events("acquire"))
    assert leased > 50 and opened < leased * 0.75, "hardly anything was pooled"


@pytest.mark.parametrize("variables", [
    {"PQPOOL_PRE_PING": "off"}, {"PQPOOL_PRE_PING": "auto"}, {"PQPOOL_ORDER": "fifo"}],
    ids=lambda v: " ".join(v.values()))
def test_however_it_is_pooled(run, program, variables):
    same(run, [program("escapes"), "walk", "77", "400"], env=variables)


def test_every_two_encodings(run, program):
    """Whatever libpq tells apart, the shim does."""
    pooled = same(run, [program("escapes"), "pairs"])
    assert len(set(line.split()[-1] for line in pooled.stdout.splitlines())) > 8
    assert len(pooled.events("session_open")) < len(pooled.events("acquire")) / 10


def test_no_thread_sees_the_way_there(run, program):
    assert same(run, [program("escapes"), "threads"]).stdout == ""


def test_the_same_settings_cost_nothing(script, server):
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.sql("SELECT pg_reload_conf()")
    s = script()
    first = s.lease()
    begin = server.marker()
    assert {s.lease("") for _ in range(10)} == {first}
    assert "client_encoding" not in server.log_text(begin)
    server.sql("ALTER SYSTEM RESET log_statement")
    server.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("statement, reason", [
    ("SET client_encoding = 'LATIN1'", None),
    ("SET standard_conforming_strings = off", "escaping")])
def test_what_a_lease_may_set(script, statement, reason):
    s = script()
    first = s.connect("a")
    s.exec("a", statement)
    s.finish("a")
    assert (s.lease() == first) == (reason is None)
    assert bool(s.events("release", reason="escaping")) == (reason is not None)
