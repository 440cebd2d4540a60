# SPDX-License-Identifier: PostgreSQL
"""Real clients on a small database, bare and pooled; with --share all that are pooled share
sessions through a keeper.

run         run(argv, ...), see tests/conftest.py
tool        tool("psql"): path of one of PostgreSQL's own programs
same        same(argv, at_most=2): runs it bare and pooled, compares, counts sessions
"""
import os

import pytest

from running import assert_same

SETUP = """
CREATE TABLE fruit (id int PRIMARY KEY, name text);
INSERT INTO fruit SELECT i, 'apple ' || i FROM generate_series(1, 20) i;
CREATE VIEW apples AS SELECT * FROM fruit WHERE name LIKE 'apple%';
CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b';
"""


@pytest.fixture(scope="module", autouse=True)
def fruit(server):
    """Something to look at; of user app, so that app can dump it."""
    server.sql(SETUP, database="app", user="app")
    yield
    server.sql("DROP FUNCTION plus; DROP VIEW apples; DROP TABLE fruit", database="app")


@pytest.fixture
def run(run):
    keeper = run.common_keeper()
    if not keeper:
        yield run
        return
    with run.sharing(keeper):
        yield run


@pytest.fixture
def tool(server):
    return lambda name: os.path.join(server.bindir, name)


@pytest.fixture
def same(run, server):
    """The result is the pair (bare, pooled), which differ in nothing a user sees.

    Each has `begun`, the server sessions that it began; those that the server refused
    for want of the database do not count.

    With --share it is run once more, and is lent what the one before has left to the keeper.

    at_most   the most server sessions it may begin when pooled; bare it begins more,
              and one for every lease of the pooled run. None: not counted.
    tidy      takes out of the output what differs between any two runs
    """
    def begin(argv, options):
        marker = server.marker()
        done = run(argv, **options)
        done.begun = (server.connections_since(marker)
                      - server.log_text(marker).count("FATAL:  database"))
        return done

    def check(argv, at_most=None, tidy=lambda text: text, **options):
        bare = begin(argv, {"pooled": False, **options})
        pooled = begin(argv, options)
        assert_same(pooled, bare, tidy)
        if at_most is not None:
            assert pooled.begun <= at_most < bare.begun, pooled.begun
            assert len(pooled.events("acquire")) == bare.begun
        if run.keeper:
            lent = begin(argv, options)
            assert_same(lent, bare, tidy)
            if at_most is not None and pooled.events("session_close", reason="shared"):
                assert lent.events("session_borrow"), lent.log
        return bare, pooled

    return check
