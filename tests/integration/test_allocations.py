# SPDX-License-Identifier: PostgreSQL
"""A connect answered from the pool asks for no memory, and a finish that keeps the session."""
import pytest

TIMES = 200
OURS = "libpqpool.so"
# No round trips, in which libpq itself asks for memory.
ALONE = {"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": "off"}
WAYS = {
    "defaults": {},
    "auto": {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"},
    "fifo": {"PQPOOL_ORDER": "fifo"},
    "rollback": {"PQPOOL_RESET": "rollback"},
    "quiet": {"PQPOOL_LOG_LEVEL": "off"},
}


def askers(run, program, *args, **options):
    done = run([program("allocs"), *args], timeout=60, **options)
    assert done.returncode == 0, done
    return {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.parametrize("how", ["once", "steps"])
def test_nobody_asks_for_memory(run, program, how):
    bare = askers(run, program, how, "2", pooled=False)
    assert bare["all"] > 100, "what is asked for is counted"
    assert askers(run, program, how, str(TIMES), env=ALONE) == {"all": 0}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["once", "steps"])
@pytest.mark.parametrize("statement", [[], ["SELECT 1"], ["BEGIN"]], ids=["nothing", "select", "begin"])
def test_pqpool_asks_for_no_memory(run, program, how, way, statement):
    found = askers(run, program, how, str(TIMES), *statement, env=WAYS[way])
    assert OURS not in found, found
