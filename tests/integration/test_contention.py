# SPDX-License-Identifier: PostgreSQL
"""What threads with sessions of their own share: nothing but what their pool is."""
import pytest

import shared_lines
from conftest import built

TWO_POOLS = ["application_name=one", "application_name=two"]
ONE_POOL = ["application_name=one"] * 2
# Lines that all leases of a process write. README.md of tests/bench says why, and what it costs.
COMMON = {"last_id"}
# What libpq and the C library allocate for two threads may lie side by side.
NEIGHBOURS = ("heap", {"libc.so.6"})
# One of sixteen, by the connection's address: two threads may have the same.
SHARD = "shards"


@pytest.fixture
def program(server):
    return built("tests/bench/contention")


@pytest.fixture
def count(program, bare_env, tmp_path):
    def counted(conninfos):
        written, shared = shared_lines.count(program, bare_env, conninfos, str(tmp_path))
        return written, [line for line in shared if line != NEIGHBOURS]

    return counted


@pytest.fixture
def bare_env(server, memory):
    return {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(memory), **server.env()}


@pytest.mark.limit(300)
def test_leases_of_two_pools_share_no_line(count):
    written, shared = count(TWO_POOLS)
    assert written > 20
    assert {where for where, _ in shared} - {SHARD} == COMMON, shared


@pytest.mark.limit(300)
def test_leases_of_one_pool_share_its_lines_alone(count):
    """The pool and its sessions' slots are on the heap, what is shown of it in its row."""
    _, shared = count(ONE_POOL)
    assert {where for where, _ in shared} - {SHARD} == COMMON | {"heap", "status page, row"}, shared


@pytest.mark.parametrize("conninfos, contended", [(TWO_POOLS, {"lease"}),
                                                  (ONE_POOL, {"lease", "pool"})])
def test_locks_of_a_lease(program, bare_env, conninfos, contended):
    """Two locks may be wanted by another thread's lease; the pool's is its own if there is one
    thread to it."""
    locks = shared_lines.locks(program, bare_env, conninfos, 500)
    taken = {rank for rank, (times, _) in locks.items() if times >= 0.5}
    assert taken == {"lease", "pool"}, locks
    assert {rank for rank, (_, waited) in locks.items() if waited > 0.02} <= contended, locks
    assert sum(waited for _, waited in locks.values()) <= 2, locks
