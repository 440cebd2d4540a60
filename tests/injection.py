# SPDX-License-Identifier: PostgreSQL
"""Runs a program again and again, and each time the next call of the shim's, or of libpq's, into the
C library fails: memory, files, sockets, threads (programs/modules/inject.c counts and fails them).

    points = Points(module, folder, argv, env)
    clean = points.clean()              # nothing fails; also says how many points there are
    for n in range(clean.counted):
        outcome = points.fail(n)
"""
import os
import struct
import subprocess
from dataclasses import dataclass, field

import logfmt

OUR_MEMORY, OUR_CALLS, LIBPQ_MEMORY, LIBPQ_CALLS = 1, 2, 4, 8
OURS, LIBPQS = OUR_MEMORY | OUR_CALLS, LIBPQ_MEMORY | LIBPQ_CALLS
ORDERS = struct.Struct("=8Q64s")
NEVER = 1 << 60
SECONDS = 60


@dataclass
class Outcome:
    """How one run went, and what failed in it."""

    point: int
    status: int
    lines: list
    stderr: str
    counted: int
    failed: int
    call: str  # what failed last, with its errno and where in the object it was called
    log: list = field(default_factory=list)

    def before(self):
        return self.lines[:self.lines.index("again")] if "again" in self.lines else self.lines

    def after(self):
        return self.lines[self.lines.index("again"):] if "again" in self.lines else []

    def descriptors(self):
        return int(self.lines[-1].split()[1])

    def events(self, name):
        return [event for event in self.log if event["event"] == name]

    def lost(self):
        """Lines that the log says it has not."""
        return sum(int(event.get("lost", 0)) for event in self.log)

    def __str__(self):
        return "point %d, %s: status %d\n--- stdout\n%s\n--- stderr\n%s" % (
            self.point, self.call, self.status, "\n".join(self.lines), self.stderr)


class Points:
    shares = False  # then all have one name, and so one pool

    def __init__(self, folder, argv, env, whose=OURS):
        self.folder, self.argv, self.env, self.whose = folder, argv, env, whose

    def clean(self):
        return self.fail(NEVER, 0)

    def fail(self, point, fails=1):
        """The run in which the calls from this one on fail, so many of them."""
        tag = "n%d-%d" % (point, self.whose) if point != NEVER else "clean"
        orders = os.path.join(self.folder, tag + ".orders")
        log = os.path.join(self.folder, tag + ".log")
        with open(orders, "wb") as f:
            f.write(ORDERS.pack(self.whose, point, fails, 0, 0, 0, 0, 0, b"").ljust(4096, b"\0"))
        env = {"XDG_RUNTIME_DIR": self.folder, "PQPOOL_LOG": log, **self.env, "INJECT": orders,
               "PGAPPNAME": "shared" if self.shares else tag}
        done = subprocess.run(self.argv, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SECONDS, check=False)
        with open(orders, "rb") as f:
            _, _, _, counted, failed, _, at, error, name = ORDERS.unpack(f.read(ORDERS.size))
        call = "%s: %s at %#x" % (name.rstrip(b"\0").decode(), os.strerror(error), at)
        outcome = Outcome(point, done.returncode, done.stdout.splitlines(), done.stderr, counted, failed,
                          call)
        outcome.log = logfmt.read(log, torn=True)
        return outcome
