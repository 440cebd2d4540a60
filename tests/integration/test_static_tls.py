# SPDX-License-Identifier: PostgreSQL
"""What each thread of a program has of us, beside what others want of the same memory."""
import pytest

from running import find_library, same

LIBRARIES = 12
SIZE = 96  # of each one's thread-local variables


@pytest.fixture
def audit(module):
    return {"LD_AUDIT": module("audit", "audit.so")}


@pytest.fixture
def others(module):
    """Preloaded libraries that have static thread-local memory, an allocator among them."""
    return [find_library("libjemalloc.so.2")] + [
        module("static_tls", "other%d.so" % i, "-DSIZE=%d" % SIZE) for i in range(LIBRARIES)]


def test_program_is_audited(run, program, audit):
    assert same(run, [program("threads"), "cycles"], env=audit).events("acquire")


def test_other_libraries_are_preloaded(run, program, shim, others):
    bare = run([program("threads"), "cycles"], pooled=False, env={"LD_PRELOAD": ":".join(others)})
    for order in ([shim, *others], [*others, shim]):
        done = run([program("threads"), "cycles"], env={"LD_PRELOAD": ":".join(order)})
        assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, ""), done
        assert done.events("acquire")


def test_destructors_of_a_thread_connect(run, program):
    """Before and after what was kept for the thread is gone."""
    done = same(run, [program("threadend"), "20"])
    assert len(done.events("acquire")) > 150
    assert len(done.events("session_open")) <= 3, "one here, and one in the child"
