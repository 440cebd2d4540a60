# SPDX-License-Identifier: PostgreSQL
"""Pipelines that a program leaves without a Sync: what they have done is undone when the session
ends, and so when it is given back."""
import pytest

from running import PYTHON

pytestmark = pytest.mark.libpq(14)

PROGRAM = r"""
import ctypes, sys
pq = ctypes.CDLL("libpq.so.5")
for name in ("PQconnectdb", "PQexec", "PQgetResult"):
    getattr(pq, name).restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
P, S, I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
for name in ("PQfinish", "PQgetResult", "PQclear", "PQenterPipelineMode", "PQexitPipelineMode",
             "PQsendFlushRequest", "PQpipelineSync", "PQtransactionStatus", "PQflush"):
    getattr(pq, name).argtypes = [P]
pq.PQexec.argtypes = [P, S]
pq.PQgetvalue.argtypes = [P, I, I]
pq.PQprepare.argtypes = [P, S, S, I, P]
pq.PQprepare.restype = P
pq.PQsendQueryParams.argtypes = [P, S, I, P, P, P, P, I]
pq.PQsendQueryPrepared.argtypes = [P, S, I, P, P, P, I]
UPDATE = b"UPDATE unsynced SET value = value + 1"

def results(conn):
    while result := pq.PQgetResult(conn):
        pq.PQclear(result)

def ask(conn, statement):
    result = pq.PQexec(conn, statement)
    value = pq.PQgetvalue(result, 0, 0)
    pq.PQclear(result)
    return value

conn = pq.PQconnectdb(b"")
ask(conn, b"DROP TABLE IF EXISTS unsynced")
ask(conn, b"CREATE TABLE unsynced AS SELECT 0 AS value")
pq.PQfinish(conn)
for way in sys.argv[1:]:
    conn = pq.PQconnectdb(b"")
    pq.PQclear(pq.PQprepare(conn, b"", UPDATE, 0, None))
    assert pq.PQenterPipelineMode(conn) == 1
    if way == "synced before":
        pq.PQsendQueryParams(conn, UPDATE, 0, None, None, None, None, 0)
        pq.PQpipelineSync(conn)
        results(conn), results(conn)
    if way == "prepared":
        pq.PQsendQueryPrepared(conn, b"", 0, None, None, None, 0)
    else:
        pq.PQsendQueryParams(conn, UPDATE, 0, None, None, None, None, 0)
    if way == "synced":
        pq.PQpipelineSync(conn)
        results(conn)
    else:
        pq.PQsendFlushRequest(conn)
        pq.PQflush(conn)
    results(conn)
    print(way, pq.PQexitPipelineMode(conn), pq.PQtransactionStatus(conn))
    if way == "statement":
        ask(conn, b"SELECT 1")
    pq.PQfinish(conn)
    conn = pq.PQconnectdb(b"")
    print(ask(conn, b"SELECT value FROM unsynced").decode())
    pq.PQfinish(conn)
"""
WAYS = ["unsynced", "prepared", "synced before", "synced", "statement"]


@pytest.mark.parametrize("reset", ["discard", "auto", "rollback", "off"])
@pytest.mark.parametrize("ping", ["on", "off"])
def test_left(run, reset, ping):
    argv = [PYTHON, "-c", PROGRAM, *WAYS]
    quiet = {"PGOPTIONS": "-c client_min_messages=error"}
    bare = run(argv, env=quiet, pooled=False)
    assert bare.stdout.split("\n")[:4] == ["unsynced 1 0", "0", "prepared 1 0", "0"], bare
    done = run(argv, env={**quiet, "PQPOOL_RESET": reset, "PQPOOL_PRE_PING": ping})
    assert (done.stdout, done.stderr, done.returncode) == (bare.stdout, bare.stderr, 0)
    # All but the one that ends with a Sync.
    assert len(done.events("session_close", reason="pipeline")) == len(WAYS) - 1
