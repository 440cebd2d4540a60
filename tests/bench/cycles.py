# SPDX-License-Identifier: PostgreSQL
"""Threads that take a connection, ask for something, and give it back: pqpool, the simplest pool
in C, and the pools of other languages."""
import os
import shutil

from measure import Table
from whole import FAST

# What is asked -> how it is called, and by how many threads.
STATEMENTS = {"": ("nothing asked", (1, 4, 16, 64)), "SELECT 1": ("SELECT 1", (4, 16))}
JARS = ["HikariCP.jar", "postgresql.jar", "slf4j-api.jar", "slf4j-nop.jar"]
ALCHEMY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "alchemy.py")
# As much as it can do without: no round trip, no record.
BARE = {"PQPOOL_PRE_PING": "off", "PQPOOL_RESET": "off", "PQPOOL_STACK_DEPTH": "0",
        "PQPOOL_REPORT": "off"}
NAMES = ("cycles per second", "p50", "p99", "p99.9")


def _hikari(bench, bypass_ms):
    env = bench.env("tcp")
    path = ":".join([bench.program("hikari")] + ["/usr/share/java/" + jar for jar in JARS])
    url = "jdbc:postgresql://127.0.0.1:%s/%s?user=%s&password=%s&sslmode=disable" % (
        env["PGPORT"], env["PGDATABASE"], env["PGUSER"], env["PGPASSWORD"])
    flags = [] if bypass_ms is None else [
        "-Dcom.zaxxer.hikari.aliveBypassWindowMs=%d" % bypass_ms]
    return [shutil.which("java"), *flags, "-cp", path, "Hikari", url], env


def _rows(bench, threads):
    """name -> (argv before and behind the common arguments, environment)."""
    size = {"PQPOOL_SIZE": str(threads), "PQPOOL_MAX_OVERFLOW": "0"}
    program = [bench.program("cycles")]
    rows = {
        "pqpool": (program, [], bench.env("tcp", size)),
        "pqpool, fast": (program, [], bench.env("tcp", {**size, **FAST})),
        "pqpool, no checks": (program, [], bench.env("tcp", {
            **size, **BARE})),
        "mutex and list, with checks": (program, ["own"], bench.env("tcp")),
        "floor, proven": (program, [], bench.env("tcp", LD_PRELOAD=bench.program("floor.so"),
                                                 FLOOR_PROVEN="1")),
    }
    for name, bypass in (("HikariCP, checked", -1), ("HikariCP", None)):
        argv, env = _hikari(bench, bypass)
        rows[name] = (argv, [], env)
    rows["SQLAlchemy"] = (["/usr/bin/python3", ALCHEMY], [], bench.env("tcp"))
    return rows


def _measure(bench, threads, statement):
    common = [str(threads), str(bench.seconds), statement]
    functions = {
        name: lambda argv=before + common + behind, env=env: [
            float(word) for word in bench.output(argv, env).split()]
        for name, (before, behind, env) in _rows(bench, threads).items()}
    return bench.rounds.run(functions, {"server": bench.server.process.pid})


def cycles(bench):
    tables = []
    for statement, (title, counts) in STATEMENTS.items():
        many = Table("cycles" + ("-select" if statement else ""),
                     "Connect, %s, finish; TCP" % title, "cycles per second", "HikariCP, checked")
        wait = Table(many.name + "-wait", "What a connect takes at 16 threads; %s; TCP" % title,
                     "µs", digits=1)
        for threads in counts:
            found = _measure(bench, threads, statement)
            for row, results in found.items():
                many.add(row, "%d threads" % threads, [r[0] for r, _ in results])
                for i in (1, 2, 3) if threads == 16 else ():
                    wait.add(row, NAMES[i], [r[i] for r, _ in results])
        tables += [many, wait]
    return tables
