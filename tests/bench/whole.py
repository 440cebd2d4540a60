# SPDX-License-Identifier: PostgreSQL
"""A whole program: PostgreSQL's own pgbench, unmodified, that connects for every transaction."""
import contextlib
import re

from bouncer import Bouncer
from measure import Table, fail

# Of pgbench: clients, threads. Where there are more clients than sessions each has a thread of its
# own: one that waits for a session must not have to serve the client that holds it.
CLIENTS = {"c=1": (1, 1), "c=4": (4, 2), "c=16": (16, 2), "c=16 -j 16": (16, 16),
           "c=64 -j 64": (64, 64)}
COMPARED = "c=4"  # whom the ratios are of
TIMES = 3     # the rounds, there
FAST = {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"}
WAYS = {"unix": "Unix socket", "tcp": "TCP, scram", "tls": "TLS, scram"}
TPS = re.compile(r"^tps = ([\d.]+)", re.M)
DONE = re.compile(r"transactions actually processed: (\d+)")


def run_pgbench(bench, row, clients):
    """One run of pgbench: (transactions, transactions per second). row: its environment, and
    whether it connects for every transaction; clients: of CLIENTS."""
    env, anew = row
    count, threads = CLIENTS[clients]
    argv = bench.pgbench("-S", "-n", "-c", str(count), "-j", str(threads), "-T",
                         str(bench.seconds), *(["-C"] if anew else []))
    text = bench.output(argv, env)
    tps = TPS.search(text)
    if not tps:  # what it does not print where there was not a single one
        fail("no transaction at all, %s, LD_PRELOAD=%s:\n%s" % (
            " ".join(argv), env.get("LD_PRELOAD"), text))
    return int(DONE.search(text).group(1)), float(tps.group(1))


@contextlib.contextmanager
def poolers(bench, way):
    """mode -> a PgBouncer."""
    with contextlib.ExitStack() as stack:
        yield {mode: stack.enter_context(Bouncer(bench.server, way, mode))
               for mode in ("session", "transaction")}


def rows(bench, way, bouncers):
    """name -> (environment, connects for every transaction)."""
    floor = bench.env(way, LD_PRELOAD=bench.program("floor.so"))
    proven = {**floor, "FLOOR_PROVEN": "1"}
    return {
        "direct": (bench.env(way), True),
        "pqpool": (bench.env(way, {}), True),
        "pqpool, fast": (bench.env(way, FAST), True),
        "floor": (floor, True),
        "floor, proven": (proven, True),
        **{"PgBouncer, " + mode: (bouncer.env(bench.env(way)), True)
           for mode, bouncer in bouncers.items()},
        "persistent": (bench.env(way), False),
    }


def services(bench, bouncers):
    """name -> pid of whoever serves these programs."""
    return {"server": bench.server.process.pid,
            **{mode: bouncer.process.pid for mode, bouncer in bouncers.items()}}


def _measure(bench, way, clients):
    """row -> [(transactions, tps, Cpu)]."""
    with poolers(bench, way) as bouncers:
        return bench.rounds.run(
            {name: lambda row=row: run_pgbench(bench, row, clients)
             for name, row in rows(bench, way, bouncers).items()},
            services(bench, bouncers), TIMES if clients == COMPARED else 1)


def _cpu_tables(way, found):
    """Milliseconds of CPU for 1000 transactions: program, pooler, server."""
    table = Table("cpu-" + way, "CPU of pgbench -S -n -C, %s, %s" % (COMPARED, WAYS[way]),
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
    shares = Table("shares", "pgbench -S -n -C, %s: who against whom" % COMPARED, "times",
                   digits=2)
    for way, title in WAYS.items():
        tps = Table("tps-" + way, "pgbench -S -n -C, " + title, "transactions per second",
                    "persistent")
        for clients in CLIENTS:
            found = _measure(bench, way, clients)
            for row, results in found.items():
                tps.add(row, clients, [result[1] for result, _ in results])
            if clients == COMPARED:
                cpu = _cpu_tables(way, found)
        for ours in ("pqpool", "pqpool, fast"):
            for other in tps.rows:
                if other != ours:
                    shares.add("%s / %s" % (ours, other), title,
                               tps.ratios(ours, other, COMPARED))
        tables += [tps, cpu]
    return [*tables, shares]
