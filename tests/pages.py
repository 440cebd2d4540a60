# SPDX-License-Identifier: PostgreSQL
"""Status pages as shim/trace/status_format.h lays them out, read without the tools."""
import glob
import os
import struct
from dataclasses import dataclass

import logfmt

POOLS_AT = 4096
SESSIONS_AT = POOLS_AT + 1024 * 1024
STACKS_AT = SESSIONS_AT + 8192 * 256
HEAD = struct.Struct("<8sIiQQIIII3Q64s1536s")
POOL = struct.Struct("<8I8Q48Q544s")
SESSION = struct.Struct("<IIQIiQQQQiIII184s")
LEASED = 2
NO_POOL = 0xffffffff


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
    assert magic == b"pqpool\x1a\n" and version == 1
    return Page(path, pid, text(program), pairs(text(config)), acquired, released,
                [p for p in (read_pool(data, i) for i in range(pools)) if p],
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
        "label": text(rest[-1]), "limit": limit, "size": size, "in_use": in_use, "idle": idle,
        "waiting": waiting, "peak": peak, "acquired": acquired, "released": released,
        "held_us": held_us, "waits": waits, "wait_us": wait_us, "wait_max_us": wait_max_us,
        "timeouts": timeouts, "opened": opened, "closed": sum(rest[:-1])}


def read_session(data, row):
    (generation, state, number, pool, backend, lease, began_us, _, wait_ns, tid, stack, state_of,
     spoken, statement) = SESSION.unpack_from(data, SESSIONS_AT + row * SESSION.size)
    assert generation % 2 == 0
    return {"state": state, "id": number, "pool": pool, "backend": backend, "lease": lease,
            "began_us": began_us, "wait_ns": wait_ns, "tid": tid, "stack": stack,
            "transaction": state_of, "statement": text(statement) if spoken else ""}


def read_stacks(data, length):
    at = STACKS_AT
    while at < STACKS_AT + length:
        number, size = struct.unpack_from("<II", data, at)
        yield number, pairs(data[at + 8:at + 8 + size].decode())["frames"]
        at += (8 + size + 7) // 8 * 8


def in_folder(folder):
    """The pages below XDG_RUNTIME_DIR, by their paths."""
    return sorted(p for end in ("page", "dead")
                  for p in glob.glob(os.path.join(folder, "pqpool", "*." + end)))
