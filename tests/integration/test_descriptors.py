# SPDX-License-Identifier: PostgreSQL
"""A program that does something to the descriptor of a connection before it finishes it."""
import pytest

from running import PYTHON

PROGRAM = r"""
import ctypes, fcntl, os, select, signal, socket, sys
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = ctypes.c_void_p
pq.PQexec.restype = ctypes.c_void_p
for name in ("PQclear", "PQfinish", "PQsocket", "PQbackendPID", "PQstatus", "PQntuples"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
what, says, path = sys.argv[1:]

def connect():
    conn = pq.PQconnectdb(b"")
    assert pq.PQstatus(conn) == 0
    if says:
        pq.PQclear(pq.PQexec(conn, says.encode()))
    return conn, pq.PQbackendPID(conn), pq.PQsocket(conn)

def is_there(conn, pid):
    result = pq.PQexec(conn, b"SELECT 1 FROM pg_stat_activity WHERE pid = %d" % pid)
    rows = pq.PQntuples(result)
    pq.PQclear(result)
    return rows > 0

# The session has been looked at, and found in order.
pq.PQfinish(connect()[0])
conn, first, fd = connect()
near, far = socket.socketpair()
near.setblocking(False)
if what == "close":
    os.close(fd)
elif what == "replace":
    os.dup2(os.open(path, os.O_RDWR), fd)
elif what in ("twin", "watched twin"):
    # Behaves like the one it stands for.
    os.dup2(near.fileno(), fd, inheritable=False)
    if what == "watched twin":
        loop = select.epoll()
        loop.register(fd, select.EPOLLIN)
elif what == "block":
    os.set_blocking(fd, True)
elif what == "inherit":
    os.set_inheritable(fd, True)
elif what == "signals":
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
pq.PQfinish(conn)
signal.signal(signal.SIGIO, signal.SIG_DFL)
if what == "watched twin":
    try:
        os.fstat(fd)
        print("still open")
    except OSError:
        pass
conn, second, fd = connect()
while first != second and what == "signals" and is_there(conn, first):
    pass
print("kept" if first == second else "new", os.get_blocking(fd), os.get_inheritable(fd))
pq.PQfinish(conn)
far.setblocking(False)
try:
    print("the twin heard", far.recv(100))
except BlockingIOError:
    pass
"""
FAST = {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"}
ROLLBACK = {"PQPOOL_RESET": "rollback"}
CHANGES = ["nothing", "close", "replace", "twin", "watched twin", "block", "inherit", "signals"]
SAYS = ["", "SELECT 1", "SET work_mem = '1MB'", "BEGIN"]


@pytest.mark.parametrize("env", [{}, FAST, ROLLBACK], ids=["default", "fast", "rollback"])
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("what", CHANGES)
def test_changed_descriptor(run, tmp_path, what, says, env):
    path = tmp_path / "precious"
    path.write_text("precious")
    done = run([PYTHON, "-c", PROGRAM, what, says, str(path)], env=env)
    kept = "kept" if what == "nothing" else "new"
    # What libpq itself says to whoever is there when it is finished.
    heard = "the twin heard b'X\\x00\\x00\\x00\\x04'\n"
    said = done.stdout.replace(heard, "") if "twin" in what else done.stdout
    assert (said, done.stderr) == (kept + " False False\n", "")
    assert path.read_text() == "precious"
    closed = [e["reason"] for e in done.events("session_close")]
    assert (closed == ["exit"]) == (what == "nothing")
    assert closed.count("descriptor") == (what != "nothing")


# ---- the number of a connection that is finished ------------------------------------------------

CLOSES_AGAIN = r"""
import ctypes, errno, fcntl, os, sys
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = ctypes.c_void_p
for name in ("PQfinish", "PQsocket", "PQbackendPID", "PQstatus", "PQuntrace"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
pq.PQtrace.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
libc = ctypes.CDLL(None, use_errno=True)

def close(fd):
    done = libc.close(fd)
    return "closed" if done == 0 else errno.errorcode[ctypes.get_errno()]

def use(spoil=lambda conn, fd: None):
    conn = pq.PQconnectdb(b"")
    assert pq.PQstatus(conn) == 0
    fd = pq.PQsocket(conn)
    spoil(conn, fd)
    pq.PQfinish(conn)
    return fd

there = fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_DUPFD, 200)
# As a channel of Tcl's on the same number.
for _ in range(5):
    print("finished:", close(use()), close(use()))
# In a child; the parent goes on.
fd = use()
child = os.fork()
if child == 0:
    print("in a child:", close(fd), flush=True)
    os._exit(0)
os.waitpid(child, 0)
# While it is leased it is the program's.
print("leased:", end=" ")
use(lambda conn, fd: print(close(fd)))
# A session that is not kept: the number is anybody's.
fd = use(lambda conn, fd: pq.PQtrace(conn, None))
os.dup2(there, fd)
print("another's:", close(fd), close(fd))
# And of one whose socket was replaced while it lay idle.
fd = use()
os.dup2(there, fd)
print("replaced:", close(fd), close(fd))
use()
os.write(there, b"precious")
"""


def test_closed_again_after_the_finish(run, tmp_path):
    path = tmp_path / "precious"
    path.touch()
    argv = [PYTHON, "-c", CLOSES_AGAIN, str(path)]
    bare = run(argv, pooled=False)
    assert path.read_text() == "precious"
    done = run(argv)
    assert (done.stdout, done.stderr, done.returncode) == (bare.stdout, "", 0)
    assert done.stdout.count("finished: EBADF EBADF") == 5
    reasons = [e["reason"] for e in done.events("session_close")]
    assert reasons.count("descriptor") == 2, "the leased and the replaced one"
    assert len(done.events("session_open")) == 4


# ---- the numbers of the standard streams --------------------------------------------------------

CLOSED_STREAM = r"""
import ctypes, errno, os, sys
pq = ctypes.CDLL("libpq.so.5")
libc = ctypes.CDLL(None, use_errno=True)
for name in ("PQconnectdb", "PQconnectStart"):
    getattr(pq, name).restype = ctypes.c_void_p
for name in ("PQfinish", "PQsocket", "PQstatus", "PQconnectPoll"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
out = os.dup(1)

def done(result):
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]

def connect(steps):
    conn = pq.PQconnectStart(b"") if steps else pq.PQconnectdb(b"")
    while steps and pq.PQconnectPoll(conn) != 3:
        pass
    assert pq.PQstatus(conn) == 0
    return conn

for stream in range(3):
    os.close(stream)
    for steps in (False, True):
        conn = connect(steps)
        at = pq.PQsocket(conn)
        pq.PQfinish(conn)
        said = done(libc.write(stream, b"to nobody", 9)), done(libc.close(stream))
        os.write(out, b"%d %s %s\n" % (at, *map(str.encode, said)))
    # As daemons do.
    again = os.open("/dev/null", os.O_RDWR)
    os.write(out, b"again %d\n" % again)
"""


@pytest.mark.parametrize("env", [{}, {"PQPOOL_PREWARM": "2"}], ids=["plain", "prewarm"])
def test_closed_standard_stream(run, env):
    """What the program still writes to it, or opens in its place, goes where it goes without us."""
    argv = [PYTHON, "-c", CLOSED_STREAM]
    bare = run(argv, pooled=False)
    assert bare.stdout.startswith("0 EBADF EBADF\n0 EBADF EBADF\nagain 0\n1 ")
    done = run(argv, env=env)
    assert (done.stderr, done.returncode) == ("", 0)
    said = [line.split(" ", 1)[1] for line in done.stdout.splitlines()]
    assert said == [line.split(" ", 1)[1] for line in bare.stdout.splitlines()]
    if not env:
        assert done.stdout == bare.stdout
