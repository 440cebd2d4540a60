# SPDX-License-Identifier: PostgreSQL
"""A program that does something to the descriptor of a connection before it finishes it."""
import pytest

from running import PYTHON

PROGRAM = r"""
import ctypes, os, sys
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = ctypes.c_void_p
pq.PQexec.restype = ctypes.c_void_p
for name in ("PQclear", "PQfinish", "PQsocket", "PQbackendPID", "PQstatus"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
what, says, path = sys.argv[1:]

def connect():
    conn = pq.PQconnectdb(b"")
    assert pq.PQstatus(conn) == 0
    if says:
        pq.PQclear(pq.PQexec(conn, says.encode()))
    return conn, pq.PQbackendPID(conn), pq.PQsocket(conn)

conn, first, fd = connect()
if what == "close":
    os.close(fd)
elif what == "replace":
    os.dup2(os.open(path, os.O_RDWR), fd)
elif what == "block":
    os.set_blocking(fd, True)
elif what == "inherit":
    os.set_inheritable(fd, True)
pq.PQfinish(conn)
conn, second, fd = connect()
print("kept" if first == second else "new", os.get_blocking(fd), os.get_inheritable(fd))
pq.PQfinish(conn)
"""
FAST = {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"}


@pytest.mark.parametrize("env", [{}, FAST], ids=["default", "fast"])
@pytest.mark.parametrize("says", ["", "SELECT 1", "SET work_mem = '1MB'"])
@pytest.mark.parametrize("what", ["nothing", "close", "replace", "block", "inherit"])
def test_changed_descriptor(run, tmp_path, what, says, env):
    path = tmp_path / "precious"
    path.write_text("precious")
    done = run([PYTHON, "-c", PROGRAM, what, says, str(path)], env=env)
    kept = "kept" if what == "nothing" else "new"
    assert (done.stdout, done.stderr) == (kept + " False False\n", "")
    assert path.read_text() == "precious"
    closed = [e["reason"] for e in done.events("session_close")]
    assert (closed == ["exit"]) == (what == "nothing")
    assert closed.count("descriptor") == (what != "nothing")
