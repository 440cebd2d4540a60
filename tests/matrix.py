#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""The integration tests against real servers and real libpqs, and the clients on Debian 13.

    tests/matrix.py                     every cell, several side by side; then the table
    tests/matrix.py 13/15.8 18/18       these alone: libpq/server
    tests/matrix.py debian-13           the clients' tests in a Debian 13 root alone

A cell is one run of FILES with programs that find that libpq (LD_LIBRARY_PATH) and servers
of that version; versions.py has both. What a libpq lacks is left out by the marker
libpq(major). Output goes to matrix/ below the build folder, a file a cell. What cannot be
run here is said in a line of its own, and counts as failed if $CI is true.

The last line is `N passed, N failed`, over all cells.
"""
import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import versions

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.environ.get("PQPOOL_BUILD", "build")
LIBPQS = ("13", "15", "17", "18")
SERVERS = ("13", "15.8", "15", "17", "18")
DEBIAN = "debian-13"
# What the protocol, the server's version or libpq's decides.
FILES = ["tests/integration/test_%s.py" % name for name in (
    "identity", "state", "client_state", "statements", "liveness", "programs", "async",
    "report")] + ["tests/fuzz/test_statements.py"]
LAST_LINE = re.compile(r"(\d+) passed, (\d+) failed")
CELL_SECONDS = 1200


class Cell:
    """One place of the table."""

    def __init__(self, name, argv):
        self.name = name
        self.argv = argv
        self.log = os.path.join(ROOT, BUILD, "matrix", name.replace("/", "-") + ".log")
        self.passed = self.failed = 0
        self.missing = None  # why it cannot be run here
        self.seconds = 0.0

    def run(self):
        begin = time.monotonic()
        with open(self.log, "w", encoding="utf-8") as log:
            try:
                done = subprocess.run(self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=subprocess.STDOUT, timeout=CELL_SECONDS,
                                      check=False)
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = -1
        self.seconds = time.monotonic() - begin
        self._read(status)
        print("%-10s %s" % (self.name, self.outcome()), flush=True)

    def _read(self, status):
        lines = self.output()
        counts = LAST_LINE.fullmatch(lines[-1]) if lines else None
        if counts:
            self.passed, self.failed = int(counts[1]), int(counts[2])
        elif lines and lines[-1].startswith("not run: "):
            self.missing = lines[-1].removeprefix("not run: ")
            return
        if status != 0:
            self.failed = max(self.failed, 1)

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read().splitlines()

    def outcome(self):
        if self.missing:
            return "NOT RUN: " + self.missing
        return "%d passed, %d failed, %.0f s" % (self.passed, self.failed, self.seconds)

    def failures(self):
        lines = [line for line in self.output() if line.startswith(("FAILED ", "ERROR "))]
        return lines or ["%s ended badly: %s" % (self.name, line) for line in self.output()[-3:]]


def cell_of(name):
    """The cell of a name: libpq/server, or the Debian root."""
    if name == DEBIAN:
        return Cell(name, [os.path.join(TESTS, "debian.sh")])
    libpq, server = name.split("/")
    cell = Cell(name, [sys.executable, os.path.join(TESTS, "run.py"), "-p", "no:cacheprovider",
                       "--libpq-version", libpq, "--server-version", server, *FILES])
    try:
        versions.libpq_of(libpq)
        versions.server_of(server)
    except versions.Unavailable as why:
        cell.missing = str(why)
    return cell


def show_table(cells):
    """Tests passed, libpqs down, servers across; what failed stands beside it."""
    found = {cell.name: cell for cell in cells}
    servers = [s for s in SERVERS if any(n.endswith("/" + s) for n in found)]
    libpqs = [v for v in LIBPQS if any(n.startswith(v + "/") for n in found)]
    if libpqs:
        print("\n%-14s" % "libpq, server" + "".join(
            "%16s" % versions.name_of(s) for s in servers))
    for libpq in libpqs:
        row = [found.get("%s/%s" % (libpq, server)) for server in servers]
        print("%-14s" % versions.name_of(libpq) + "".join("%16s" % brief(c) for c in row))
    if DEBIAN in found:
        print("%-14s%16s" % (DEBIAN, brief(found[DEBIAN])))


def brief(cell):
    if cell is None:
        return ""
    if cell.missing:
        return "not run"
    return "%d" % cell.passed if not cell.failed else "%d (-%d)" % (cell.passed, cell.failed)


def main():
    every = [DEBIAN] + ["%s/%s" % (libpq, server) for server in SERVERS for libpq in LIBPQS]
    parser = argparse.ArgumentParser(description="Run the tests against other versions.")
    parser.add_argument("cells", nargs="*", metavar="LIBPQ/SERVER", default=every)
    parser.add_argument("-j", "--jobs", type=int, default=max(2, (os.cpu_count() or 2)))
    args = parser.parse_args()
    os.makedirs(os.path.join(ROOT, BUILD, "matrix"), exist_ok=True)
    cells = [cell_of(name) for name in args.cells]
    for cell in [c for c in cells if c.missing]:
        print("%-10s %s" % (cell.name, cell.outcome()), flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(Cell.run, [c for c in cells if not c.missing]))
    for cell in cells:
        if cell.failed:
            print("\n%s, see %s" % (cell.name, os.path.relpath(cell.log, ROOT)))
            print("\n".join(cell.failures()))
    show_table(cells)
    missing = [c for c in cells if c.missing]
    for reason in sorted({c.missing for c in missing}):
        print("NOT RUN: %s: %s" % (
            ", ".join(c.name for c in missing if c.missing == reason), reason))
    passed, failed = sum(c.passed for c in cells), sum(c.failed for c in cells)
    if os.environ.get("CI") == "true":
        failed += len(missing)
    print("%d passed, %d failed" % (passed, failed), flush=True)
    sys.exit(0 if passed and not failed else 1)


if __name__ == "__main__":
    main()
