# SPDX-License-Identifier: PostgreSQL
"""What a program sets on its connection's socket is not there for the next lease, and costs it
nothing: the session is kept."""
import pytest

from running import PYTHON

PROGRAM = r"""
import fcntl, os, socket, struct, sys
import psycopg2

two = struct.pack("ii", 1, 0)
second = struct.pack("ll", 1, 0)
# Level, name, value, and what the kernel says of it afterwards.
options = {
    "user timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0),
    "keepalive idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33),
    "linger": (socket.SOL_SOCKET, socket.SO_LINGER, two),
    "receive timeout": (socket.SOL_SOCKET, socket.SO_RCVTIMEO, second),
    "priority": (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
    "service": (socket.IPPROTO_IP, socket.IP_TOS, 0x10),
    "low water": (socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100),
    "congestion": (socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno"),
    "receive buffer": (socket.SOL_SOCKET, socket.SO_RCVBUF, 8192),
}
BUF_LOCK = 72

def seen(s):
    values = {}
    for name, (level, option, value) in options.items():
        try:
            values[name] = s.getsockopt(level, option, 16)
        except OSError:
            values[name] = None
    # Its size grows by itself: what counts is whether it may.
    values["receive buffer"] = s.getsockopt(socket.SOL_SOCKET, BUF_LOCK)
    values["owner"] = fcntl.fcntl(s.fileno(), fcntl.F_GETOWN)
    values["signal"] = fcntl.fcntl(s.fileno(), fcntl.F_GETSIG)
    return values

def connect():
    c = psycopg2.connect("")
    # Another number for the same socket, as Python programs do it.
    return c, socket.fromfd(c.fileno(), socket.AF_INET, socket.SOCK_STREAM)

# The session has been looked at, and found in order.
c, s = connect()
s.close()
c.close()
c, s = connect()
first, pid = seen(s), c.info.backend_pid
if sys.argv[1] == "owner":
    fcntl.fcntl(s.fileno(), fcntl.F_SETOWN, os.getpid())
elif sys.argv[1] == "signal":
    fcntl.fcntl(s.fileno(), fcntl.F_SETSIG, 10)
else:
    s.setsockopt(*options[sys.argv[1]])
changed = [name for name, value in seen(s).items() if value != first[name]]
s.close()
c.close()
c, s = connect()
print("changed", *changed)
print("left", *[name for name, value in seen(s).items() if value != first[name]])
print("kept", c.info.backend_pid == pid, file=sys.stderr)
"""
EITHER = ["linger", "receive timeout", "priority", "low water", "receive buffer",
          "owner", "signal"]
TCP = ["keepalive", "user timeout", "keepalive idle", "service", "congestion"]


@pytest.mark.parametrize("transport, option",
                         [("tcp", o) for o in TCP + EITHER] + [("unix", o) for o in EITHER])
def test_is_put_back(run, server, transport, option):
    argv = [PYTHON, "-c", PROGRAM, option]
    env = server.env(tcp=transport == "tcp")
    bare = run(argv, pooled=False, env=env)
    assert bare.stdout.splitlines()[1] == "left", bare
    pooled = run(argv, env=env)
    assert option in pooled.stdout.splitlines()[0], "the option was not set"
    assert pooled.stdout == bare.stdout, pooled
    assert "kept True" in pooled.stderr
