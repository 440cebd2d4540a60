# SPDX-License-Identifier: PostgreSQL
"""This build side by side with that of another revision: both libraries in turns, in one run."""
import io
import os
import subprocess
import tarfile

import once
from measure import Table, fail, say
from whole import WAYS, run_pgbench

CLIENTS = ("c=4", "c=16", "c=64 -j 64")
TIMES = 3  # the rounds


def _git(root, *args):
    done = subprocess.run(["git", "-C", root, *args], capture_output=True, check=False)
    if done.returncode:
        fail("AGAINST: git " + " ".join(args) + ":\n" + done.stderr.decode())
    return done.stdout


def _library(bench, revision):
    """Path of the library as that revision builds it, below build/bench/."""
    commit = _git(bench.root, "rev-parse", "--short", revision + "^{commit}").decode().strip()
    folder = os.path.join(bench.build, "bench", "against-" + commit)
    if not os.path.isdir(folder):
        with tarfile.open(fileobj=io.BytesIO(_git(bench.root, "archive", commit))) as tree:
            tree.extractall(folder)
    say("building " + folder)
    # Not with what this make was called with, nor its jobs.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-s", "-C", folder, "build/libpqpool.so"], env=env,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        fail("%s does not build:\n%s" % (revision, done.stderr[-2000:]))
    return os.path.join(folder, "build/libpqpool.so")


def against(bench):
    revision = os.environ.get("AGAINST")
    if not revision:
        fail("the table `against` needs AGAINST=REVISION")
    shims = {revision: _library(bench, revision), "this build": bench.shim}
    shares = Table("against", "This build / %s, pgbench -S -n -C" % revision, "times", digits=2)
    tables = [shares]
    for way, title in WAYS.items():
        table = Table("against-" + way, "pgbench -S -n -C, " + title, "transactions per second",
                      revision)
        found = bench.rounds.run(
            {(name, clients): lambda shim=shim, clients=clients, way=way: run_pgbench(
                bench, (bench.env(way, {}, LD_PRELOAD=shim), True), clients)[1]
             for clients in CLIENTS for name, shim in shims.items()},
            {"server": bench.server.process.pid}, TIMES)
        for (name, clients), results in found.items():
            table.add(name, clients, [tps for tps, _ in results])
        for clients in CLIENTS:
            shares.add(clients, title, table.ratios("this build", revision, clients))
        tables.append(table)
    return tables + once.measure(bench, shims)
