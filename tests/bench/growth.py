# SPDX-License-Identifier: PostgreSQL
"""What grows with what: an acquire with its release against the number of everything there may be
many of; and what the shim costs those who do not need it."""
import glob
import os
import re
import subprocess
import tempfile

from measure import Table, fail
from once import starts

# No round trips: what is left is pqpool's own work.
ALONE = {"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": "off", "PQPOOL_SIZE": "2000",
         "PQPOOL_TIMEOUT": "600"}
GROWTH = {
    "sessions": (1, 10, 100, 1000),
    "pools": (1, 10, 100, 1000),
    "waiting": (1, 4, 16, 64, 256),
    "environ": (1, 10, 100, 1000),
}
TIMES = 20000
IR = re.compile(r"Collected : (\d+)")


def growth(bench):
    tables = []
    for what, counts in GROWTH.items():
        table = Table("growth-" + what, "An acquire with its release, by number of " + what, "ns")
        pool = {**ALONE, **({"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
                            if what == "waiting" else {})}
        functions = {
            str(n): lambda n=n, pool=pool, what=what: float(bench.output(
                [bench.program("growth"), what, str(n), str(TIMES)], bench.env("unix", pool)))
            for n in counts}
        found = bench.rounds.run(functions, {"server": bench.server.process.pid})
        for n, results in found.items():
            table.add("pqpool", n, [r for r, _ in results])
        tables.append(table)
    return tables


def record(bench):
    """What the record costs a cycle that does nothing else."""
    log = os.path.join(bench.build, "bench", "cycle.log")
    table = Table("record-cycle", "The record's cost: an acquire with its release", "µs",
                  "no log, no stacks", digits=2)
    pools = {
        "no log, no stacks": {"PQPOOL_STACK_DEPTH": "0", "PQPOOL_REPORT": "off"},
        "no log, stacks": {},
        "log at info": {"PQPOOL_LOG": log, "PQPOOL_LOG_LEVEL": "info"},
        "log at debug": {"PQPOOL_LOG": log, "PQPOOL_LOG_LEVEL": "debug"},
    }
    found = bench.rounds.run({
        name: lambda env=bench.env("unix", {**ALONE, **pool}): float(bench.output(
            [bench.program("growth"), "sessions", "1", str(TIMES)], env)) / 1000
        for name, pool in pools.items()}, {"server": bench.server.process.pid})
    for row, results in found.items():
        table.add(row, "a cycle", [r for r, _ in results])
    for path in glob.glob(glob.escape(log) + "*"):
        os.unlink(path)
    return [table]


def _instructions(bench, argv, env):
    """Counted by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.path.join(folder, "out"),
             *argv], env=env, capture_output=True, text=True, check=False)
    found = IR.search(done.stderr)
    if not found:
        fail("callgrind does not count:\n" + done.stderr[-2000:])
    return float(found.group(1))


def presence(bench):
    true = ["/bin/true"]
    bare = {"PATH": "/usr/bin:/bin"}
    start = Table("presence-start", "Start of a program without libpq (/bin/true)",
                   "thousand instructions; ms", "an empty library",
                   digits=2)
    query = Table("presence-query", 'PQexec("") on one connection, Unix socket',
                  "ns; instructions", "bare", digits=0)
    preloads = {"bare": "", "an empty library": bench.program("empty.so"),
                "preloaded": bench.shim}
    programs = {name: (true, {**bare, "LD_PRELOAD": path}) for name, path in preloads.items()}
    found = bench.rounds.run({"start": lambda: starts(programs)}, {})
    for name, program in programs.items():
        start.add(name, "instructions", [_instructions(bench, *program) / 1000])
        start.add(name, "ms", [medians[name] for medians, _ in found["start"]])
    envs = {"bare": bench.env(), "preloaded": bench.env("unix", {})}
    argv = [bench.program("growth"), "query", "0"]
    found = bench.rounds.run(
        {name: lambda env=env: float(bench.output(argv + [str(TIMES)], env))
         for name, env in envs.items()}, {"server": bench.server.process.pid})
    for name, env in envs.items():
        few, many = (_instructions(bench, argv + [n], env) for n in ("1000", "3000"))
        query.add(name, "ns", [r for r, _ in found[name]])
        query.add(name, "instructions", [(many - few) / 2000])
    return [start, query]


def _kilobytes(bench, what, n, env):
    """What the program prints of its memory: a list of figures for each round."""
    argv = [bench.program("growth"), what, str(n), "100"]
    return [r for r, _ in bench.rounds.run({what: lambda: [
        float(w) for w in bench.output(argv, env).split()]}, {})[what]]


def memory(bench):
    each = Table("memory", "Memory of the program for each session", "kB", digits=1)
    first = Table("memory-first", "Memory that the program alone has written to", "kB")
    for name, pool, many in (("bare", None, None), ("pqpool", {}, ALONE)):
        found = _kilobytes(bench, "memory", 200, bench.env("unix", many))
        each.add(name, "on lease", [r[0] for r in found])
        each.add(name, "idle", [r[1] for r in found])
        found = _kilobytes(bench, "first", 0, bench.env("unix", pool))
        first.add(name, "after its first connect", [r[0] for r in found])
    return [each, first]
