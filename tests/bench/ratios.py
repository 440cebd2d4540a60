# SPDX-License-Identifier: PostgreSQL
"""Whom a program that connects for every transaction should be compared with: each ratio of two
that are measured in turns, in one run; and what a burst of connects leaves on the server."""
import subprocess

from measure import Table, fail
from server import wait_until
from whole import WAYS, poolers, rows, run_pgbench, services

TIMES = 3    # the rounds
BURST = 30
SIZE = 10    # PQPOOL_SIZE as it comes
SETTLE = 5   # seconds for the server to end what was closed

# (way, (row, clients), (row, clients)): the first over the second.
PAIRS = (
    *(("unix", ("pqpool", clients), (other, clients))
      for clients in ("c=16", "c=16 -j 16")
      for other in ("floor, proven", "PgBouncer, transaction", "PgBouncer, session")),
    ("unix", ("pqpool", "c=64 -j 64"), ("pqpool", "c=16 -j 16")),
    *((way, ("pqpool, fast", "c=4"), ("floor", "c=4")) for way in WAYS),
)


def _pairs(bench, table, way):
    """Adds the ratios of one way in."""
    pairs = [pair[1:] for pair in PAIRS if pair[0] == way]
    with poolers(bench, way) as bouncers:
        programs = rows(bench, way, bouncers)
        found = bench.rounds.run(
            {(row, clients): lambda row=row, clients=clients: run_pgbench(
                bench, programs[row], clients)[1]
             for pair in pairs for row, clients in pair}, services(bench, bouncers), TIMES)
    for upper, lower in pairs:
        table.add("%s, %s / %s, %s" % (*upper, *lower), WAYS[way],
                  [a / b for (a, _), (b, _) in zip(found[upper], found[lower])])


def _burst(bench):
    """(sessions on the server during a burst of so many, and once the last one is back)."""
    def sessions():
        return len(bench.server.sessions("usename = 'app'"))

    program = subprocess.Popen([bench.program("growth"), "burst", str(BURST), "0"],
                               env=bench.env("unix", {}), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    with program:
        if program.stdout.readline() != "taken\n":
            fail("the burst failed")
        during = sessions()
        program.stdin.write("\n")
        program.stdin.flush()
        program.stdout.readline()
        wait_until(lambda: sessions() <= SIZE, SETTLE)
        after = sessions()
        program.stdin.close()
    return during, after


def ratios(bench):
    times = Table("ratios", "pgbench -S -n -C: who against whom", "times", digits=2)
    for way in WAYS:
        _pairs(bench, times, way)
    left = Table("burst", "A burst of %d connects at once, PQPOOL_SIZE=%d" % (BURST, SIZE),
                 "sessions on the server")
    found = bench.rounds.run({"burst": lambda: _burst(bench)}, {})
    for i, name in enumerate(("during", "when the last one is back")):
        left.add("pqpool", name, [counts[i] for counts, _ in found["burst"]])
    return [times, left]
