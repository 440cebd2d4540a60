# SPDX-License-Identifier: PostgreSQL
"""What a lease's time was spent on: the log's query_us, transaction_us, and what is left of hold_us.

The clock is the server: while pg_sleep runs on one connection, another one is left as it is. A thing
that took at least so long must have been counted as that, so each part has a lower bound, and all of
them make up the hold.
"""
import pytest

SLEEP = "SELECT pg_sleep(0.2)"
LEAST = 200_000  # microseconds that it takes


def parts(event):
    """(query, idle in transaction, idle)"""
    query, transaction = int(event["query_us"]), int(event["transaction_us"])
    return query, transaction, int(event["hold_us"]) - query - transaction


def pause(s):
    """Time passes."""
    s.exec("clock", SLEEP)


@pytest.fixture
def s(script):
    started = script()
    started.connect("clock")
    return started


@pytest.fixture
def released(s):
    def release(name="a"):
        s.finish(name)
        return parts(s.events("release")[-1])

    return release


def test_a_hold_is_split(s, released):
    s.connect("a")
    pause(s)
    s.exec("a", SLEEP, "BEGIN", SLEEP)
    pause(s)
    s.exec("a", "COMMIT")
    query, transaction, idle = released()
    assert query >= 2 * LEAST and transaction >= LEAST and idle >= LEAST
    query, transaction, idle = released("clock")
    assert query >= 2 * LEAST and transaction == 0 and idle >= 2 * LEAST


def test_a_lease_that_asks_nothing_was_idle(s, released):
    s.connect("a")
    assert released()[:2] == (0, 0)
    # And nothing is left of it, nor of the one before.
    s.connect("a")
    s.exec("a", "BEGIN")
    pause(s)
    assert released()[1] >= LEAST
    s.connect("a")
    assert released()[:2] == (0, 0)


def test_a_failed_transaction_is_one(s, released):
    s.connect("a")
    s.exec("a", "BEGIN")
    assert s.do("exec", "a", "SELECT 1/0").startswith("PGRES_FATAL_ERROR")
    pause(s)
    s.exec("a", "ROLLBACK")
    assert released()[1] >= LEAST


def test_parameters_and_prepared_statements(s, released):
    s.connect("a")
    s.do("extended", "a", SLEEP)
    assert s.do("unnamed", "a").startswith("PGRES_TUPLES_OK")
    s.do("prepare", "a", SLEEP)
    s.exec("a", "EXECUTE prepared")
    query, transaction, _ = released()
    assert query >= 3 * LEAST and transaction == 0


def test_a_statement_runs_until_its_answer_was_read(s, released):
    s.connect("a")
    assert s.do("send", "a", SLEEP) == "1"
    pause(s)
    pause(s)
    assert s.do("consume", "a") == "1"
    s.do("drain", "a")
    pause(s)
    query, transaction, idle = released()
    assert query >= 2 * LEAST and transaction == 0 and idle >= LEAST


@pytest.mark.libpq(14)
def test_a_pipeline_ends_with_its_last_answer(s, released):
    s.connect("a")
    assert s.do("pipeline", "a") == "1"
    pause(s)
    for _ in range(2):
        assert s.do("send", "a", SLEEP) == "1"
    assert s.do("sync", "a") == "1"
    while "SYNC" not in s.do("get", "a"):
        pass
    pause(s)
    query, transaction, idle = released()
    assert query >= 2 * LEAST and transaction == 0 and idle >= 2 * LEAST


def test_copy_is_a_statement(s, released):
    s.connect("a")
    assert s.do("send", "a", "COPY (SELECT pg_sleep(0.2)) TO STDOUT") == "1"
    s.do("drain", "a")
    query, _, _ = released()
    assert query >= LEAST


def test_a_function_called_by_its_number(run, compiled):
    """As libpq calls those of large objects."""
    program = compiled("""
        #include <libpq-fe.h>
        int main(void)
        {
            PGconn *c = PQconnectdb("");
            /* pg_sleep(double precision), 0.25 as the network has it */
            PQArgBlock arg = {8, 0, {.ptr = (int *)"\\x3f\\xd0\\0\\0\\0\\0\\0\\0"}};
            int buf[4], len, bad;

            PQclear(PQexec(c, "BEGIN"));
            bad = PQresultStatus(PQfn(c, 2626, buf, &len, 0, &arg, 1)) != PGRES_COMMAND_OK;
            PQfinish(c);
            return bad;
        }""", "-I/usr/include/postgresql", "-lpq")
    event, = run([program]).events("release")
    query, transaction, _ = parts(event)
    assert query >= 250_000 > transaction


def test_after_a_reset_it_is_idle(s, released):
    s.connect("a")
    s.exec("a", "BEGIN")
    pause(s)
    s.do("reset", "a")
    pause(s)
    pause(s)
    _, transaction, idle = released()
    assert LEAST <= transaction and idle >= 2 * LEAST


def test_what_two_processes_used_is_not_told(s):
    s.connect("a")
    s.exec("a", "SELECT 1")
    assert s.do("fork") == "0"
    s.finish("a")
    event, = s.events("release")
    assert "query_us" not in event and "transaction_us" not in event


def test_a_leak_is_split_too(s):
    s.connect("a")
    s.exec("a", SLEEP, "BEGIN")
    s.connect("b")
    assert s.do("send", "b", SLEEP) == "1"
    pause(s)
    s.finish("clock")
    leaks = {e["lease"]: parts(e) for e in s.end().events("leak")}
    assert leaks["2"][0] >= LEAST and leaks["2"][1] >= LEAST
    # It is in the middle of it.
    assert leaks["3"][0] >= LEAST and leaks["3"][1] == 0
