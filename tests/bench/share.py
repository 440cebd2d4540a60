# SPDX-License-Identifier: PostgreSQL
"""Programs that are started to do one thing and share sessions through a keeper, next to those that
do not, and to the least that sharing could cost; and queries on a session that was handed over."""
import contextlib
import os
import statistics
import subprocess
import tempfile
import time

from bouncer import Bouncer
from keeper import Keeper
from measure import Table, fail
from once import start
from server import wait_until
from whole import WAYS, run_pgbench

RUNS = 50       # of a program in a row
AT_A_TIME = 8
TIMES = 3       # the rounds
ORDERS = ("one after the other", "%d at a time" % AT_A_TIME)
IDLE = "it does not connect"
CLIENTS = "c=1"  # of pgbench: with four, it counts most which processor each is put on
COUNTED = 1000   # programs of which the server's sessions are counted


def _in_turn(argv, env, runs=RUNS):
    """Milliseconds of one program, of `runs` that follow each other."""
    return statistics.median(start(argv, env) for _ in range(runs))


def _at_a_time(argv, env, runs=RUNS):
    """Milliseconds for each program, of `runs`, of which AT_A_TIME live at any moment."""
    begin, alive = time.perf_counter(), set()
    for left in range(runs, -AT_A_TIME, -1):
        if len(alive) == AT_A_TIME or left <= 0:
            pid = next(iter(alive))  # its turn comes; the others go on meanwhile
            alive.discard(pid)
            if os.waitpid(pid, 0)[1]:
                fail("%s failed, LD_PRELOAD=%s" % (" ".join(argv), env.get("LD_PRELOAD")))
        if left > 0:
            alive.add(os.posix_spawn(argv[0], argv, env))
    return (time.perf_counter() - begin) * 1000 / runs


@contextlib.contextmanager
def _keeper(bench):
    with tempfile.TemporaryDirectory(prefix="pqpool-bench-", dir="/dev/shm") as folder:
        with Keeper(os.path.join(bench.build, "pqpool"), folder,
                    {"PQPOOL_LOG_LEVEL": "warning"}) as keeper:
            yield keeper


@contextlib.contextmanager
def _floor(bench, way):
    """(argv, environment) of a program that is lent a session by programs/handover.c."""
    with tempfile.TemporaryDirectory(prefix="pqpool-bench-", dir="/dev/shm") as folder:
        handover, path, env = bench.program("handover"), os.path.join(folder, "socket"), bench.env(way)
        with subprocess.Popen([handover, "keep", path], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) as keeping:
            try:
                if keeping.stdout.readline() != "ready\n":
                    fail("the floor has no sessions")
                yield [handover, "take", path], {**env, "LD_PRELOAD": bench.program("empty.so")}
            finally:
                keeping.kill()


def _log_connections(server, value):
    """Whether the server does so, for connections from now on."""
    server.sql("ALTER SYSTEM SET log_connections = " + value)
    server.sql("SELECT pg_reload_conf()")
    if not wait_until(lambda: server.sql("SHOW log_connections")[0][0] == value):
        fail("the server does not read its settings")


def _count_sessions(bench, way):
    """How many the server opens for COUNTED programs, half of them in each order, and a keeper that
    has none."""
    with _keeper(bench) as keeper:
        program = [bench.program("once")], bench.env(way, {"PQPOOL_SHARE": keeper.path})
        _log_connections(bench.server, "on")
        begin = bench.server.marker()
        for run in (_in_turn, _at_a_time):
            run(*program, COUNTED // 2)
        opened = bench.server.connections_since(begin)
        _log_connections(bench.server, "off")
    return opened


def _programs(bench, way, keeper, bouncer, floor):
    """name -> (argv, environment)."""
    once, bare = [bench.program("once")], bench.env(way)
    return {IDLE: ([*once, "none"], bare),
            "bare": (once, bare),
            "pqpool": (once, bench.env(way, {})),
            "keeper": (once, bench.env(way, {"PQPOOL_SHARE": keeper.path})),
            "floor": floor,
            "PgBouncer, session": (once, bouncer.env(bare))}


def _measure_programs(bench, way, keeper, bouncer, floor, times, ratios):
    programs = _programs(bench, way, keeper, bouncer, floor)
    services = {"server": bench.server.process.pid, "keeper": keeper.process.pid,
                "PgBouncer": bouncer.process.pid}
    functions = {(name, order): lambda program=program, run=run: run(*program)
                 for name, program in programs.items()
                 for order, run in zip(ORDERS, (_in_turn, _at_a_time))}
    found = bench.rounds.run(functions, services, TIMES)
    for order in ORDERS:
        column = "%s, %s" % (WAYS[way], order)
        figures = {name: [ms for ms, _ in found[name, order]] for name in programs}
        for name, values in figures.items():
            times.add(name, column, values)
            if name not in (IDLE, "bare"):
                ratios.add(name, column, [
                    (ms - idle) / (bare - idle)
                    for ms, idle, bare in zip(values, figures[IDLE], figures["bare"])])


def _measure_queries(bench, way, keeper, bouncer, queries):
    rows = {"bare": (bench.env(way), False),
            "keeper": (bench.env(way, {"PQPOOL_SHARE": keeper.path}), False),
            "PgBouncer, session": (bouncer.env(bench.env(way)), False)}
    run_pgbench(bench, rows["keeper"], CLIENTS)
    kept = {session["backend"] for session in keeper.show("session")}
    found = bench.rounds.run({name: lambda row=row: run_pgbench(bench, row, CLIENTS)
                              for name, row in rows.items()},
                             {"server": bench.server.process.pid,
                              "PgBouncer": bouncer.process.pid}, TIMES)
    if {session["backend"] for session in keeper.show("session")} != kept:
        fail("the keeper's sessions were not handed over")
    for name, results in found.items():
        queries.add(name, WAYS[way], [tps for (_, tps), _ in results])


def share(bench):
    times = Table("share", "A program that connects once: connect, SELECT 1, finish, exit",
                  "ms", digits=2)
    ratios = Table("share-ratio", "Time over that of the program that does not connect, by that of "
                   "the bare one", "share", digits=3)
    sessions = Table("share-sessions", "Sessions that the server opens for %d such programs"
                     % COUNTED, "sessions")
    queries = Table("share-queries", "pgbench -S -n, %s, which connects once; with a keeper, on a "
                    "session that was handed over" % CLIENTS, "transactions per second",
                    reference="bare")
    for way in ("unix", "tcp"):
        with _keeper(bench) as keeper, Bouncer(bench.server, way, "session") as bouncer:
            with _floor(bench, way) as floor:
                _measure_programs(bench, way, keeper, bouncer, floor, times, ratios)
            _measure_queries(bench, way, keeper, bouncer, queries)
        sessions.add("keeper", WAYS[way], [_count_sessions(bench, way)])
    return [times, ratios, sessions, queries]
