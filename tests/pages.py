# SPDX-License-Identifier: PostgreSQL
"""Status pages as shim/trace/status/status_format.h lays them out, read and made without the tools."""
import contextlib
import fcntl
import glob
import os
import struct
import time
from dataclasses import dataclass

import logfmt

POOLS_AT = 4096
SESSIONS_AT = POOLS_AT + 1024 * 1024
STACKS_AT = SESSIONS_AT + 8192 * 256
HEAD = struct.Struct("<8sIiQQIIII3Q64s1536s")
POOL = struct.Struct("<8I8Q48Q328s24Q3Q")
LABEL_AT = struct.calcsize("<8I8Q48Q")
SESSION = struct.Struct("<IIQIiQQQQiIII168sQI4x")
STACK = struct.Struct("<II")
GIVEN_BACK = 1 << 31  # in the number of a stack
REASON_BYTES = 24
IDLE, LEASED = 1, 2
NO_POOL = NO_LIMIT = 0xffffffff
F_OFD_SETLK = 37


def text(raw):
    return raw.split(b"\0")[0].decode()


@dataclass
class Page:
    path: str
    pid: int
    program: str
    config: dict
    acquired: int
    released: int
    pools: list  # dicts
    sessions: list  # dicts, free rows left out
    stacks: dict  # number -> frames

    @property
    def leases(self):
        return [s for s in self.sessions if s["state"] == LEASED]


def read_page(path):
    with open(path, "rb") as f:
        data = f.read()
    (magic, version, pid, _, _, pools, sessions, stack_bytes, _,
     acquired, released, _, program, config) = HEAD.unpack_from(data)
    assert magic == b"pqpool\x1a\n" and version == 4
    pools = [p for p in (read_pool(data, i) for i in range(pools)) if p]
    return Page(path, pid, text(program), pairs(text(config)),
                acquired + sum(p["acquired"] for p in pools),
                released + sum(p["released"] for p in pools), pools,
                [s for s in (read_session(data, i) for i in range(sessions)) if s["state"]],
                dict(read_stacks(data, stack_bytes)))


def pairs(line):
    return logfmt.parse_line(line.encode()) if line else {}


def read_pool(data, row):
    (generation, state, limit, size, in_use, idle, waiting, peak, acquired, released, held_us,
     waits, wait_us, wait_max_us, timeouts, opened, *rest) = POOL.unpack_from(
         data, POOLS_AT + row * POOL.size)
    assert generation % 2 == 0
    return state and {
        "label": text(rest[48]), "limit": limit, "size": size, "in_use": in_use, "idle": idle,
        "waiting": waiting, "peak": peak, "acquired": acquired, "released": released,
        "held_us": held_us, "waits": waits, "wait_us": wait_us, "wait_max_us": wait_max_us,
        "timeouts": timeouts, "opened": opened, "closed": sum(rest[:48]),
        "holds": rest[49:61], "waited": rest[61:73],
        "drain": rest[-3], "drained": rest[-2]}


def read_session(data, row):
    (generation, state, number, pool, backend, lease, began_us, _, wait_ns, tid, stack, state_of,
     spoken, statement, _, shared) = SESSION.unpack_from(data, SESSIONS_AT + row * SESSION.size)
    assert generation % 2 == 0
    return {"state": state, "id": number, "pool": pool, "backend": backend, "lease": lease,
            "began_us": began_us, "wait_ns": wait_ns, "tid": tid, "stack": stack,
            "shared": shared, "transaction": state_of, "statement": text(statement) if spoken else ""}


def read_stacks(data, length):
    at = STACKS_AT
    while at < STACKS_AT + length:
        number, size = STACK.unpack_from(data, at)[:2]
        at += STACK.size
        yield number & ~GIVEN_BACK, pairs(data[at:at + size].decode())["frames"]
        at += (size + 7) // 8 * 8


# ---- made ----------------------------------------------------------------------------


def made_pool(label, generation=2, state=1, limit=0, size=0, in_use=0, idle=0, waiting=0, peak=0,
              acquired=0, released=0, held_us=0, waits=0, wait_us=0, wait_max_us=0, timeouts=0,
              opened=0, closed=(), holds=(), waited=(), drain=0, drained=0, drained_ns=0):
    return POOL.pack(generation, state, limit, size, in_use, idle, waiting, peak, acquired, released,
                     held_us, waits, wait_us, wait_max_us, timeouts, opened,
                     *closed, *[0] * (48 - len(closed)), label.encode(),
                     *holds, *[0] * (12 - len(holds)), *waited, *[0] * (12 - len(waited)),
                     drain, drained, drained_ns)


def made_old_pool(label, **numbers):
    """As before version 4, which had a longer label, and nothing behind it."""
    row = made_pool("", **numbers)
    return row[:LABEL_AT] + label.encode().ljust(520, b"\0")[:520] + row[LABEL_AT + 520:]


def made_session(held=0, generation=2, state=LEASED, number=1, pool=0, backend=0, lease=1, tid=0,
                 stack=0, transaction=1, spoken=1, statement="", opened_ns=0,
                 shared=0):
    """A row of the page; the lease was taken `held` seconds ago."""
    began_us = int((time.time() - held) * 1e6)
    return SESSION.pack(generation, state, number, pool, backend, lease, began_us, 0, 0, tid, stack,
                        transaction, spoken, statement.encode(), opened_ns, shared)


def made_stack(number, pairs, length=None, given_back=False):
    data = STACK.pack(number | (GIVEN_BACK if given_back else 0), length or len(pairs)) + (
        pairs.encode())
    return data + bytes(-len(data) % 8)


def made_page(pid, pools=(), sessions=(), stacks=(), program="made", acquired=0, released=0,
              untold=0, created_us=0, reasons=(), version=4):
    """The bytes of a page with such rows."""
    stacks = b"".join(stacks)
    head = HEAD.pack(b"pqpool\x1a\n", version, pid, created_us, 0, len(pools), len(sessions),
                     len(stacks), 0, acquired, released, untold, program.encode(), b"")
    head += b"".join(word.encode().ljust(REASON_BYTES, b"\0") for word in reasons)
    data = head.ljust(POOLS_AT, b"\0") + b"".join(pools)
    return (data.ljust(SESSIONS_AT, b"\0") + b"".join(sessions)).ljust(STACKS_AT, b"\0") + stacks


@contextlib.contextmanager
def living(path):
    """The page of that path is as of a process that lives, which we are then."""
    with open(path, "rb+") as f:
        fcntl.fcntl(f, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        yield


def nobody_has_looked(folder):
    """The next process that makes a page looks what ended ones left: of those that follow each
    other quickly not each does (shim/trace/status/page_dir.h)."""
    os.utime(os.path.join(folder, "pqpool"), (0, 0))


def in_folder(folder):
    """The pages below XDG_RUNTIME_DIR, by their paths."""
    return sorted(p for end in ("page", "dead")
                  for p in glob.glob(os.path.join(folder, "pqpool", "*." + end)))
