#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""make bench: what pqpool costs and what it saves. README.md beside it says what is measured.

    make bench                  every table, into build/bench/: tables.md, and a picture of each
    make bench T='cycles'       some of them; see TABLES below
    make bench ROUNDS=3         fewer rounds than 5
    make bench AGAINST=v1.0     this build and that revision's side by side
"""
import os
import subprocess
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from server import Interrupted, bare_environ, interrupt_on_signals  # noqa: E402
from tls import TlsServer  # noqa: E402

import against  # noqa: E402
import contention  # noqa: E402
import cycles  # noqa: E402
import growth  # noqa: E402
import once  # noqa: E402
import parts  # noqa: E402
import plot  # noqa: E402
import prefork  # noqa: E402
import ratios  # noqa: E402
import routed  # noqa: E402
import sampled  # noqa: E402
import services  # noqa: E402
import share  # noqa: E402
import surplus  # noqa: E402
import whole  # noqa: E402
from measure import CPUS, Rounds, fail, say  # noqa: E402

TABLES = {
    "whole": whole.programs,       # pgbench -C: unix, tcp, tls
    "ratios": ratios.ratios,       # who against whom, in turns; what a burst leaves
    "once": once.once,             # a program that connects once, from its start to its end
    "share": share.share,          # such programs that share sessions through a keeper
    "prefork": prefork.prefork,    # a web server's workers, which connect for each request
    "recipes": services.recipes,   # web servers as tools/recipes set them up
    "routed": routed.routed,       # through PgBouncer, by PQPOOL_ROUTE
    "record": growth.record,       # what the log and the stacks cost
    "cycles": cycles.cycles,       # connect, ask, finish in N threads; other languages' pools
    "growth": growth.growth,       # against sessions, pools, waiters, environment
    "presence": growth.presence,   # programs without libpq; queries on one connection
    "memory": growth.memory,
    "contention": contention.contention,  # lines and locks that threads share
    "profile": parts.profile,      # a transaction, by instructions and system calls
    "samples": sampled.samples,    # and by time, in the kernel and in each library
    "traces": surplus.traces,      # rules for the sessions above size, played against traces
    "against": against.against,    # another revision's library; only with AGAINST
}
# No log of connections: it would be most of what the server does.
SETTINGS = {"log_connections": "off", "log_disconnections": "off", "log_min_messages": "warning",
            "max_connections": "1200", "shared_buffers": "256MB"}


class Bench:
    """What all tables are measured with."""

    def __init__(self, server):
        self.server = server
        self.root = ROOT
        self.build = os.path.join(ROOT, os.environ.get("PQPOOL_BUILD", "build"))
        self.shim = os.path.join(self.build, "libpqpool.so")
        self.programs = os.path.join(self.build, "tests/bench")
        self.rounds = Rounds(int(os.environ.get("ROUNDS") or 5))
        self.seconds = 1

    def env(self, way="unix", pool=None, **more):
        """pool: None = direct; else the PQPOOL_ variables of a program under the shim.
        more: variables that win."""
        shim = {} if pool is None else {"LD_PRELOAD": self.shim, "PQPOOL_LOG_LEVEL": "off", **pool}
        return {**bare_environ(), **self.server.ways()[way], **shim, **more}

    def program(self, name):
        return os.path.join(self.programs, name)

    @staticmethod
    def output(argv, env):
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=600, check=False)
        if done.returncode:
            fail("%s failed:\n%s%s" % (" ".join(argv), done.stdout[-2000:], done.stderr[-2000:]))
        return done.stdout

    def pgbench(self, *args):
        return [os.path.join(self.server.bindir, "pgbench"), *args]


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    kernel = os.uname()
    return "%d × %s, %s %s" % (CPUS, model, kernel.sysname, kernel.release)


def show(bench, tables, folder):
    text = "Measured on %s; %d rounds, %d measurements thrown away, %d kept though others were " \
           "busy.\n" % (machine(), bench.rounds.rounds, bench.rounds.thrown_away,
                        bench.rounds.kept_busy)
    for table in tables:
        text += table.markdown()
        with open(os.path.join(folder, table.name + ".svg"), "w", encoding="utf-8") as f:
            f.write(plot.svg(table))
    with open(os.path.join(folder, "tables.md"), "w", encoding="utf-8") as f:
        f.write(text)
    say(text)


def main():
    every = ["against"] if os.environ.get("AGAINST") else [n for n in TABLES if n != "against"]
    wanted = os.environ.get("T", "").split() or every
    unknown = [name for name in wanted if name not in TABLES]
    if unknown:
        fail("T=%s: must be some of: %s" % (" ".join(unknown), ", ".join(TABLES)))
    tables = []
    with TlsServer(settings=SETTINGS) as server:
        bench = Bench(server)
        folder = os.path.join(bench.build, "bench")
        os.makedirs(folder, exist_ok=True)
        bench.output(bench.pgbench("-i", "-q"), bench.env())
        for name in wanted:
            say("measuring: " + name)
            tables += TABLES[name](bench)
        show(bench, tables, folder)


if __name__ == "__main__":
    interrupt_on_signals()
    try:
        main()
    except Interrupted as e:
        traceback.clear_frames(e.__traceback__)
        sys.exit(128 + e.signum)
