# SPDX-License-Identifier: PostgreSQL
"""Several hosts, and target_session_attrs: a lease is where a connect would have landed."""
import pytest

from server import REPLICATION_HBA, Standby, wait_until

PORT = "SHOW port"


@pytest.fixture
def pair(new_server):
    """A primary and its hot standby."""
    primary = new_server(hba=REPLICATION_HBA)
    with Standby(primary) as standby:
        yield primary, standby


@pytest.fixture
def two(new_server):
    """Two servers that have nothing to do with each other."""
    return new_server(), new_server()


@pytest.fixture
def listed(script):
    """listed(first, second, attributes, **variables): a program that lists both hosts."""

    def start(first, second, attributes=None, pooled=True, **variables):
        env = {"PGHOST": "%s,%s" % (first.folder.path, second.folder.path),
               "PGPORT": "%d,%d" % (first.port, second.port),
               "PGTARGETSESSIONATTRS": attributes, **variables}
        return script(pooled, server=first, env=env)

    return start


def landed(s, name="-"):
    """Connects; the port of the server it got to."""
    s.connect(name)
    return int(s.exec(name, PORT))


def lease(s):
    port = landed(s)
    s.finish("-")
    return port


def be_read_only(server, value="on"):
    server.sql("ALTER SYSTEM SET default_transaction_read_only = %s" % value)
    server.sql("SELECT pg_reload_conf()")
    assert wait_until(lambda: server.sql("SHOW default_transaction_read_only") == [[value]])


# -- target_session_attrs --------------------------------------------------------------------


@pytest.mark.parametrize("ping", ["on", "auto", "off"])
def test_failover_of_a_server_that_still_answers(pair, listed, ping):
    old, new = pair
    s = listed(old, new, "read-write", PQPOOL_PRE_PING=ping)
    for name in "ab":
        assert landed(s, name) == old.port
    s.finish(*"ab")
    be_read_only(old)
    new.promote()
    assert lease(s) == new.port
    assert s.events("session_close", reason="attributes")
    # Its sibling goes with it, unasked.
    assert wait_until(lambda: lease(s) == new.port and not old.sessions())
    kept = s.lease()
    # And back: there is nothing wrong with the sessions on the new one, ...
    be_read_only(old, "off")
    assert s.lease() == kept
    # ... until a connect shows that the first one is available again.
    assert landed(s, "a") == new.port and landed(s, "b") == old.port
    s.finish(*"ab")
    assert landed(s, "a") == old.port and landed(s, "b") == old.port
    s.finish(*"ab")


def test_failover_by_a_crash(pair, listed):
    old, new = pair
    s = listed(old, new, "read-write")
    assert lease(s) == old.port
    old.halt("kill")
    new.promote()
    assert {lease(s) for _ in range(3)} == {new.port}
    assert len(s.events("session_open")) == 2
    # It comes back as something that is not to be written to.
    old.launch()
    be_read_only(old)
    for name in "abc":
        assert landed(s, name) == new.port
    s.finish(*"abc")


def test_attributes_in_a_service_file(pair, listed, tmp_path):
    old, new = pair
    services = tmp_path / "services"
    services.write_text("[pair]\ntarget_session_attrs=read-write\n")
    s = listed(old, new, PGSERVICEFILE=str(services), PGSERVICE="pair", PQPOOL_PRE_PING="off")
    assert lease(s) == old.port
    be_read_only(old)
    new.promote()
    assert lease(s) == new.port


@pytest.mark.parametrize("attributes, before, after", [
    ("any", "old", "old"), ("primary", "old", "old"), ("standby", "new", None),
    ("read-only", "new", "old"), ("prefer-standby", "new", "old")])
def test_promotion(pair, listed, attributes, before, after):
    """The standby becomes a primary, and the old primary read-only by default."""
    servers = dict(zip(("old", "new"), pair))
    s = listed(*pair, attributes)
    bare = listed(*pair, attributes, pooled=False)
    for _ in range(2):
        assert lease(s) == lease(bare) == servers[before].port
    assert len(s.events("session_open")) == 1
    be_read_only(servers["old"])
    servers["new"].promote()
    if after is None:
        # On every host in turn; the text names both.
        assert s.refused("-") == bare.refused("-")
        s.finish("-")
        bare.finish("-")
    else:
        assert lease(s) == lease(bare) == servers[after].port
    assert bool(s.events("session_close", reason="attributes")) == (before != after)


def test_one_that_does_not_do_condemns_the_others(script, new_server):
    server = new_server()
    s = script(server=server, env={"PGTARGETSESSIONATTRS": "read-write"})
    for name in "abcd":
        s.connect(name)
    s.finish(*"abcd")
    be_read_only(server)
    for name in "ab":
        s.refused(name)
    assert wait_until(lambda: not server.sessions())
    assert s.events("session_close", reason="invalidated")


def test_what_a_lease_does_to_its_session(pair, listed):
    s = listed(*pair, "read-write")
    first = s.connect("a")
    s.exec("a", "SET default_transaction_read_only = on")
    s.finish("a")
    assert s.lease() == first


# -- several hosts, any of them ---------------------------------------------------------------


def test_the_first_comes_back(two, listed):
    first, second = two
    s = listed(first, second)
    assert lease(s) == first.port
    first.halt("fast")
    for name in "abc":
        assert landed(s, name) == second.port
    s.finish(*"abc")
    first.launch()
    # Nobody knows yet.
    assert [landed(s, name) for name in "abc"] == [second.port] * 3
    assert landed(s, "d") == first.port
    s.finish("a")
    s.finish("d", "b", "c")
    assert [landed(s, name) for name in "abc"] == [first.port] * 3
    s.finish(*"abc")
    assert wait_until(lambda: not second.sessions())
    assert s.events("release", reason="invalidated")


def test_idle_ones_on_the_second_host(two, listed):
    first, second = two
    s = listed(first, second, PQPOOL_RECYCLE="-1")
    first.halt("fast")
    for name in "ab":
        landed(s, name)
    s.finish("a")
    first.launch()
    # One idle on the second, one leased; the next but one lands on the first.
    assert landed(s, "a") == second.port and landed(s, "c") == first.port
    s.finish("a", "b", "c")
    assert {lease(s) for _ in range(4)} == {first.port}


def test_the_first_refuses(new_server, listed):
    """That is an answer: libpq asks no other host."""
    first, second = new_server(), new_server()
    s = listed(first, second)
    bare = listed(first, second, pooled=False)
    assert lease(s) == lease(bare) == first.port
    first.terminate()
    first.sql("ALTER ROLE app NOLOGIN")
    assert s.refused("-") == bare.refused("-")
    for each in (s, bare):
        each.finish("-")


def test_load_balancing_is_left_to_libpq(two, listed, libpq_of):
    first, second = two
    s = listed(first, second, LD_LIBRARY_PATH=libpq_of("18"), PGLOADBALANCEHOSTS="random")
    assert {lease(s) for _ in range(60)} == {first.port, second.port}
    assert len(s.events("acquire", pooled="no")) == 60


def test_one_host_is_no_matter(script, server):
    s = script()
    pids = set()
    for name in "abcdef":
        pids.add(s.connect(name))
    s.finish(*"abcdef")
    for name in "abcdef":
        pids.add(s.connect(name))
    s.finish(*"abcdef")
    assert len(pids) == 6
