# SPDX-License-Identifier: PostgreSQL
"""Programs that are started to do one thing: what the library adds to a program that connects
once, and to one that never does."""
import os
import statistics
import time

from measure import Table, fail
from whole import WAYS

RUNS = 100  # of each program a round
TIMES = 3   # the rounds


def start(argv, env):
    """Milliseconds from a program's start to its end."""
    begin = time.perf_counter()
    _, status = os.waitpid(os.posix_spawn(argv[0], argv, env), 0)
    if status:
        fail("%s failed, LD_PRELOAD=%s" % (" ".join(argv), env.get("LD_PRELOAD")))
    return (time.perf_counter() - begin) * 1000


def starts(programs):
    """name -> the median of RUNS runs, in ms, of programs that are started in turns.
    programs: name -> (argv, environment)."""
    found = {name: [] for name in programs}
    for _ in range(RUNS):
        for name, (argv, env) in programs.items():
            found[name].append(start(argv, env))
    return {name: statistics.median(times) for name, times in found.items()}


def measure(bench, shims):
    """The table of times, and of what each library adds as a share of what connecting costs the
    bare program. shims: name -> path of a library."""
    argv = [bench.program("once")]
    times = Table("once", "A program that connects once: connect, SELECT 1, finish, exit", "ms",
                  digits=2)
    added = Table("once-added", "What preloading adds to it, by what connecting and the work cost "
                  "it bare", "share", digits=3)
    for way in ("unix", "tcp"):
        bare = bench.env(way)
        programs = {"it does not connect": ([*argv, "none"], bare), "bare": (argv, bare),
                    **{name: (argv, bench.env(way, LD_PRELOAD=shim))
                       for name, shim in shims.items()}}
        found = bench.rounds.run({way: lambda programs=programs: starts(programs)},
                                 {"server": bench.server.process.pid}, TIMES)
        rounds = [medians for medians, _ in found[way]]
        for name in programs:
            times.add(name, WAYS[way], [medians[name] for medians in rounds])
        for name in shims:
            added.add(name, WAYS[way], [(m[name] - m["bare"]) / (m["bare"] - m["it does not connect"])
                                        for m in rounds])
    return [times, added]


def once(bench):
    return measure(bench, {"an empty library": bench.program("empty.so"), "preloaded": bench.shim})
