# SPDX-License-Identifier: PostgreSQL
"""Variables that say what is pooled and where it goes, and what happens to wrong ones."""
import socket

import pytest

from server import wait_until

PID = "SELECT pg_backend_pid()"


def cycle(run, program, env, pooled=True):
    return run([program("cycle"), "3", PID], env=env, pooled=pooled)


def is_pooled(result):
    assert result.returncode == 0, result
    pids = result.stdout.split()
    assert len(pids) == 3
    return len(set(pids)) == 1


# -- whether -----------------------------------------------------------------------------


@pytest.mark.parametrize("env, pooled", [
    ({}, True),
    ({"PQPOOL_DISABLE": "on"}, False),
    ({"PQPOOL_DISABLE": "1"}, False),
    ({"PQPOOL_DISABLE": "off"}, True),
    ({"PQPOOL_ONLY": "cycle"}, True),
    ({"PQPOOL_ONLY": "psql,cy*"}, True),
    ({"PQPOOL_ONLY": "psql,pg_*"}, False),
    ({"PQPOOL_SKIP": "psql,c?cle"}, False),
    ({"PQPOOL_SKIP": "psql"}, True),
    ({"PQPOOL_ONLY": "cycle", "PQPOOL_SKIP": "cycle"}, False),
])
def test_which_programs(run, program, env, pooled):
    done = cycle(run, program, env)
    assert is_pooled(done) == pooled
    assert done.stderr == ""
    assert bool(done.log) == pooled


BAD = [
    ("PQPOOL_SIZE", "ten"), ("PQPOOL_SIZE", "-2"), ("PQPOOL_MAX_OVERFLOW", "20 "),
    ("PQPOOL_TIMEOUT", "1 fortnight"), ("PQPOOL_RECYCLE", "never"), ("PQPOOL_PRE_PING", "maybe"),
    ("PQPOOL_CONNECT_TIMEOUT", "1.5"), ("PQPOOL_RESET", "all"), ("PQPOOL_ORDER", "filo"),
    ("PQPOOL_PROFILE", "production"), ("PQPOOL_PING_TIMEOUT", "0"), ("PQPOOL_ROUTE", "a,b"),
]


@pytest.mark.parametrize("name, value", BAD)
def test_bad_value(run, program, name, value):
    statement = "SELECT 'the same'"
    bare = run([program("cycle"), "2", statement], pooled=False)
    done = run([program("cycle"), "2", statement], env={name: value})
    assert (done.stdout, done.returncode) == (bare.stdout, 0)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and name in lines[0] and value in lines[0], done
    assert "must be" in lines[0] and "unpooled" in lines[0]
    assert not is_pooled(cycle(run, program, {name: value}))


def test_unknown_variable(run, program):
    done = cycle(run, program, {"PQPOOL_SIZES": "3"})
    assert is_pooled(done)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "PQPOOL_SIZES" in lines[0]
    assert "PQPOOL_SIZE" in lines[0].replace("PQPOOL_SIZES", "")


# -- profiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("env, expected", [
    ({}, {"size": "10", "max_overflow": "20"}),
    ({"PQPOOL_PROFILE": "dev"}, {"profile": "dev", "size": "5", "max_overflow": "10",
                                 "recycle_ms": "1800000"}),
    ({"PQPOOL_PROFILE": "test"}, {"profile": "test", "size": "10", "max_overflow": "15",
                                  "recycle_ms": "3600000"}),
    ({"PQPOOL_PROFILE": "prod"}, {"profile": "prod", "size": "20", "max_overflow": "30",
                                  "recycle_ms": "1800000", "idle_timeout_ms": "600000",
                                  "pre_ping": "on"}),
    ({"PQPOOL_PROFILE": "prod", "PQPOOL_SIZE": "7"}, {"size": "7", "max_overflow": "30"}),
])
def test_profiles(run, program, env, expected):
    done = cycle(run, program, env)
    assert is_pooled(done)
    config, = done.events("config")
    assert {key: config.get(key) for key in expected} == expected


def test_profile_limits_the_pool(script):
    s = script(env={"PQPOOL_PROFILE": "dev", "PQPOOL_TIMEOUT": "0"})
    names = ["c%d" % i for i in range(15)]
    for name in names:
        s.connect(name)
    assert "limit of 15 sessions is reached (PQPOOL_SIZE 5 + PQPOOL_MAX_OVERFLOW 10)" in s.refused("x")
    s.finish("x", *names)


def test_prod_refuses_to_go_without_pre_ping(run, program):
    env = {"PQPOOL_PROFILE": "prod", "PQPOOL_PRE_PING": "off"}
    done = cycle(run, program, env)
    assert not is_pooled(done)
    assert len(done.stderr.splitlines()) == 1 and "PQPOOL_PRE_PING" in done.stderr


# -- where to ----------------------------------------------------------------------------


def dead_port():
    """A port that nobody listens on, and the socket that keeps it so."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


def test_route(run, program, server):
    holder, port = dead_port()
    dead = {"PGHOST": "127.0.0.1", "PGPORT": str(port)}
    bare = cycle(run, program, dead, pooled=False)
    assert bare.returncode == 1 and "refused" in bare.stderr
    routes = ["127.0.0.1:%d" % server.port, "%s:%d" % (server.env()["PGHOST"], server.port)]
    for route in routes:
        env = {**dead, "PGPASSWORD": server.password, "PQPOOL_ROUTE": route}
        assert is_pooled(cycle(run, program, env)), route
    holder.close()


def test_route_without_a_port_keeps_the_programs(run, program, server):
    env = {"PGHOST": "192.0.2.1", "PQPOOL_ROUTE": server.env()["PGHOST"]}
    assert is_pooled(cycle(run, program, env))


# -- connect_timeout ---------------------------------------------------------------------


@pytest.fixture
def silent():
    """host and port of somebody who takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield "hostaddr=127.0.0.1 port=%d dbname=x user=x" % listener.getsockname()[1]


def test_connect_timeout(script, silent):
    # libpq never waits for less than two seconds.
    ours = script(env={"PQPOOL_CONNECT_TIMEOUT": "2"})
    theirs = script(env={"PQPOOL_CONNECT_TIMEOUT": "60"})
    by_variable = script(env={"PQPOOL_CONNECT_TIMEOUT": "60", "PGCONNECT_TIMEOUT": "2"})
    left_alone = script(env={"PQPOOL_CONNECT_TIMEOUT": "0"})
    bare = script(pooled=False)
    ours.do("begin", "a", silent)
    theirs.do("begin", "a", silent + " connect_timeout=2")
    by_variable.do("begin", "a", silent)
    for patient in (left_alone, bare, theirs):
        patient.do("begin", "b", silent)
    ours.do("begin", "b", silent + " connect_timeout=0")
    for s in (ours, theirs, by_variable):
        assert wait_until(lambda s=s: s.done("a"), 20)
        seconds, error = s.join("a")
        assert seconds >= 1.9 and error.startswith("BAD ") and "timeout expired" in error
        s.finish("a")
    for patient in (left_alone, bare, theirs, ours):
        assert not patient.done("b")
        patient.kill()


def test_connect_timeout_of_arrays_and_login(script, silent):
    words = dict(word.split("=") for word in silent.split())
    params = ["0"] + [text for pair in words.items() for text in pair]
    login = ["127.0.0.1", words["port"], r"\N", "x", "x", r"\N"]
    one, other = (script(env={"PQPOOL_CONNECT_TIMEOUT": "2"}) for _ in range(2))
    one.tell("params", "a", "\t".join(params))
    other.tell("login", "a", "\t".join(login))
    for s in (one, other):
        assert "timeout expired" in s.answer()
        s.finish("a")
