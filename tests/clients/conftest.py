# SPDX-License-Identifier: PostgreSQL
"""Real clients on a small database, bare and pooled.

tool        tool("psql"): path of one of PostgreSQL's own programs
same        same(argv, at_most=2): runs it bare and pooled, compares, counts sessions
"""
import os

import pytest

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
def tool(server):
    return lambda name: os.path.join(server.bindir, name)


@pytest.fixture
def same(run, server):
    """The result is the pair (bare, pooled), which differ in nothing a user sees.

    Each has `begun`, the server sessions that it began; those that the server refused
    for want of the database do not count.

    at_most   the most server sessions it may begin when pooled; bare it begins more,
              and one for every lease of the pooled run. None: not counted.
    tidy      takes out of the output what differs between any two runs
    """
    def check(argv, at_most=None, tidy=lambda text: text, **options):
        results = []
        for pooled in (False, True):
            marker = server.marker()
            results.append(run(argv, pooled=pooled, **options))
            results[-1].begun = (server.connections_since(marker)
                                 - server.log_text(marker).count("FATAL:  database"))
        bare, pooled = results
        assert tidy(pooled.stdout) == tidy(bare.stdout)
        assert tidy(pooled.stderr) == tidy(bare.stderr)
        assert pooled.returncode == bare.returncode
        if at_most is not None:
            assert pooled.begun <= at_most < bare.begun, pooled.begun
            assert len(pooled.events("acquire")) == bare.begun
        return bare, pooled

    return check
