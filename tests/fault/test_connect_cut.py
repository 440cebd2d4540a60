# SPDX-License-Identifier: PostgreSQL
"""A connection that ends, or stays silent, while it begins: in the middle of what the server says."""
import pytest

from fault.cutter import Cutter
from server import wait_until

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def cutter(server):
    made = Cutter(server.port)
    yield made
    Cutter.shut(made.listener)
    made.listener.close()


# The answer to the first packet; the head of a message, its middle, its end; the parameters; all but
# the last byte is not the same for each server, and so not here.
BUDGETS = [0, 1, 5, 9, 40, 150, 300]


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["script", "stepwise"])
def test_cut(script, server, cutter, name, budget):
    """Bare and pooled, in one call and in steps: the same words; and the next one is well."""
    where = {**server.env(tcp=True), "PGPORT": str(cutter.port), "PGSSLMODE": "disable",
             "PGGSSENCMODE": "disable"}
    programs = [script(name=name, pooled=pooled, env=where) for pooled in (False, True)]

    in_steps = name == "stepwise"

    def connect(s, name="new"):
        if in_steps:
            s.do("start", name)
            return s.do("drive", name)
        return s.do("connect", name)

    for s in programs:
        connect(s, "held")
    cutter.budget = budget
    seen = [connect(s) for s in programs]
    assert wait_until(lambda: cutter.cuts >= 2), "the fault did not happen"
    assert seen[0] == seen[1] and ("FAILED" if in_steps else "BAD") in seen[0]
    cutter.budget = None
    for s in programs:
        s.finish("held", "new")
        for _ in range(2):
            assert "FAILED" not in connect(s) and "BAD" not in connect(s, "other")
            s.finish("new", "other")
        assert s.end().stderr == ""
