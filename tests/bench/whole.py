# SPDX-License-Identifier: PostgreSQL
"""A whole program: PostgreSQL's own pgbench, unmodified, that connects for every transaction."""
import contextlib
import re

from bouncer import Bouncer
from measure import Table, fail

CLIENTS = (1, 4, 16)
COMPARED = 4  # clients: whom the ratios are of
TIMES = 3     # the rounds, there
FAST = {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"}
WAYS = {"unix": "Unix socket", "tcp": "TCP, scram", "tls": "TLS, scram"}
TPS = re.compile(r"^tps = ([\d.]+)", re.M)
DONE = re.compile(r"transactions actually processed: (\d+)")


def _one(bench, env, clients, anew):
    """One run of pgbench: (transactions, transactions per second)."""
    argv = bench.pgbench("-S", "-n", "-c", str(clients), "-j", str(min(clients, 2)), "-T",
                         str(bench.seconds), *(["-C"] if anew else []))
    text = bench.output(argv, env)
    tps = TPS.search(text)
    if not tps:  # what it does not print where there was not a single one
        fail("no transaction at all, %s, LD_PRELOAD=%s:\n%s" % (
            " ".join(argv), env.get("LD_PRELOAD"), text))
    return int(DONE.search(text).group(1)), float(tps.group(1))


def _rows(bench, way, poolers):
    """name -> (environment, connects for every transaction)."""
    floor = bench.env(way, LD_PRELOAD=bench.program("floor.so"))
    proven = {**floor, "FLOOR_PROVEN": "1"}
    return {
        "direct": (bench.env(way), True),
        "pqpool": (bench.env(way, {}), True),
        "pqpool, fast": (bench.env(way, FAST), True),
        "floor": (floor, True),
        "floor, proven": (proven, True),
        "PgBouncer, session": (poolers["session"].env(bench.env(way)), True),
        "PgBouncer, transaction": (poolers["transaction"].env(bench.env(way)), True),
        "persistent": (bench.env(way), False),
    }


def _measure(bench, way, clients):
    """row -> [(transactions, tps, Cpu)]."""
    with contextlib.ExitStack() as stack:
        poolers = {mode: stack.enter_context(Bouncer(bench.server, way, mode))
                   for mode in ("session", "transaction")}
        rows = _rows(bench, way, poolers)
        services = {"server": bench.server.process.pid,
                    **{mode: pooler.process.pid for mode, pooler in poolers.items()}}
        found = bench.rounds.run(
            {name: lambda env=env, anew=anew: _one(bench, env, clients, anew)
             for name, (env, anew) in rows.items()}, services,
            TIMES if clients == COMPARED else 1)
    return found


def _cpu_tables(way, found):
    """Milliseconds of CPU for 1000 transactions: program, pooler, server."""
    table = Table("cpu-" + way, "CPU of pgbench -S -n -C -c %d, %s" % (COMPARED, WAYS[way]),
                  "ms for 1000 transactions", digits=0)
    for row, results in found.items():
        parts = {"program": [], "pooler": [], "server": [], "all": []}
        for (transactions, _), cpu in results:
            pooler = cpu.services["session"] + cpu.services["transaction"]
            for name, seconds in (("program", cpu.client), ("pooler", pooler),
                                  ("server", cpu.services["server"]),
                                  ("all", cpu.client + pooler + cpu.services["server"])):
                parts[name].append(seconds * 1e6 / transactions)
        for name, figures in parts.items():
            table.add(row, name, figures)
    return table


def programs(bench):
    tables = []
    shares = Table("shares", "pgbench -S -n -C -c %d: who against whom" % COMPARED, "times",
                   digits=2)
    for way, title in WAYS.items():
        tps = Table("tps-" + way, "pgbench -S -n -C, " + title, "transactions per second",
                    "persistent")
        for clients in CLIENTS:
            found = _measure(bench, way, clients)
            for row, results in found.items():
                tps.add(row, "c=%d" % clients, [result[1] for result, _ in results])
            if clients == COMPARED:
                cpu = _cpu_tables(way, found)
        for ours in ("pqpool", "pqpool, fast"):
            for other in tps.rows:
                if other != ours:
                    shares.add("%s / %s" % (ours, other), title,
                               tps.ratios(ours, other, "c=%d" % COMPARED))
        tables += [tps, cpu]
    return [*tables, shares]
