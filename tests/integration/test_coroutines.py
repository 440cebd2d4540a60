# SPDX-License-Identifier: PostgreSQL
"""Coroutines: other stacks run on a thread between any two calls, and within them."""
import pytest

from reports import KEPT, LEAKED, read_report
from running import same


@pytest.fixture
def coroutines(run, program, server):
    """coroutines(way, ...): runs the program bare and pooled; the pooled result, with `begun`,
    the sessions that it opened."""
    def check(way, count=5, rounds=3, status=0, **options):
        marker = server.marker()
        argv = [program("coroutines"), way, str(count), str(rounds)]
        result = same(run, argv, status, **options)
        pids = {e["backend"] for e in result.events("session_open")}
        result.begun = len(pids)
        assert server.connections_since(marker) >= result.begun
        return result

    return check


@pytest.mark.parametrize("way", ["calls", "depths"])
def test_switching_between_calls(coroutines, way):
    """The outermost frame of each stack would return to no code at all."""
    result = coroutines(way, count=6, rounds=20)
    assert result.begun == 6
    assert len(result.events("acquire")) == len(result.events("release")) == 6 * 20
    # Frames of another coroutine's, or what lies above the stack, would make many. One of
    # six has the address of a function there, and so a frame more than the others.
    stacks = {e["stack"] for e in result.events("acquire")}
    assert len(stacks) == 2 * (4 if way == "depths" else 1), stacks


@pytest.mark.parametrize("way, count, rounds", [("poll", 8, 10), ("three", 3, 1)])
def test_switching_within_calls(coroutines, way, count, rounds):
    """Another connects, asks and finishes while one is in the midst of libpq's calls."""
    result = coroutines(way, count, rounds)
    assert 1 <= result.begun <= count
    assert not result.events("leak")
    assert len(result.events("acquire")) == len(result.events("release")) == count * rounds


def test_exit_from_a_coroutine(run, program):
    """exit(3) is called from a stack that does not lead to it."""
    bare = run([program("coroutines"), "exit", "4"], pooled=False)
    done = run([program("coroutines"), "exit", "4"], env={"PQPOOL_REPORT": "all"})
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert done.returncode == 3 and "finished at exit: 8" in done.stdout
    report = read_report(done.stderr)
    assert report.leaked == {LEAKED: 3, KEPT: 1}
    kept = [place for place in report.places if place.kind == KEPT]
    assert [place.functions[0] for place in kept] == ["exit_from_here"]
    assert len(done.events("release", at_exit="yes")) == 1
