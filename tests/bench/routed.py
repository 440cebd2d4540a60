# SPDX-License-Identifier: PostgreSQL
"""pgbench -C with sixteen clients: bare, pooled, through PgBouncer, and pooled through PgBouncer."""
from measure import Table
from server import wait_until
from services import counted
from whole import WAYS, poolers, run_pgbench

CLIENTS = "c=16 -j 16"


def routed(bench):
    rates = Table("routed", "pgbench -S -n -C -c 16 -j 16", "transactions per second", "bare")
    opened = Table("routed-opened", "The same in a second, the log on: sessions that the server opened, "
                   "and the most at one time", "sessions")
    for way in ("unix", "tcp"):
        with poolers(bench, way) as bouncers:
            rows = {"bare": bench.env(way), "pqpool": bench.env(way, {})}
            for mode, bouncer in bouncers.items():
                rows["PgBouncer, " + mode] = bouncer.env(bench.env(way))
                where = bouncer.env(bench.env(way))
                rows["pqpool, PgBouncer, " + mode] = bench.env(
                    way, {"PQPOOL_ROUTE": "%s:%s" % (where["PGHOST"], where["PGPORT"])})
            found = bench.rounds.run(
                {name: lambda env=env: run_pgbench(bench, (env, True), CLIENTS)[1]
                 for name, env in rows.items()},
                {"server": bench.server.process.pid,
                 **{mode: bouncer.process.pid for mode, bouncer in bouncers.items()}})
        for name, rounds in found.items():
            rates.add(name, WAYS[way], [tps for tps, _ in rounds])
        with counted(bench.server):
            for name in rows:
                with poolers(bench, way) as bouncers:
                    env = dict(rows[name])
                    for mode, bouncer in bouncers.items():
                        where = bouncer.env(bench.env(way))
                        if name == "PgBouncer, " + mode:
                            env = where
                        elif name.endswith(mode):
                            env["PQPOOL_ROUTE"] = "%s:%s" % (where["PGHOST"], where["PGPORT"])
                    marker = bench.server.marker()
                    run_pgbench(bench, (env, True), CLIENTS)
                wait_until(lambda: not bench.server.sessions())
                opened.add(name, WAYS[way] + ", in all", [bench.server.connections_since(marker)])
                opened.add(name, WAYS[way] + ", at once", [bench.server.most_at_once(marker)])
    return [rates, opened]
