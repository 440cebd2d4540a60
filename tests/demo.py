#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""make demo: what pqpool does for a program, shown on a private server.

First PostgreSQL's own pgbench, unmodified, connecting anew for every transaction,
without and with pqpool in turns; then a program that forgets connections.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile

from server import Interrupted, Server, ServerError, bare_environ, interrupt_on_signals

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("PQPOOL_BUILD", "build"))
SHIM = os.path.join(BUILD, "libpqpool.so")
LEAKY = os.path.join(BUILD, "tests/programs/leaky")
ROUNDS = 3
PGBENCH = ["-S", "-n", "-C", "-c", "4", "-j", "2", "-T", "2"]


def say(text=""):
    print(text, flush=True)


def run(server, argv, pooled=False):
    """Runs a program to its end; the shim, if any, is loaded into that program only."""
    env = {**bare_environ(), **server.env()}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if pooled:
            env.update(LD_PRELOAD=SHIM, XDG_RUNTIME_DIR=folder)  # for the status page
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit("demo: %s failed:\n%s%s" % (" ".join(argv), done.stdout, done.stderr))
    return done


def pgbench(server, *args, pooled=False):
    """(transactions per second, connections that the server saw)."""
    marker = server.marker()
    # Not the pgbench on PATH: Debian's is a Perl script that starts the real one.
    done = run(server, [os.path.join(server.bindir, "pgbench"), *args], pooled)
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
    return float(tps.group(1)) if tps else 0.0, server.connections_since(marker)


def show_speed(server):
    say("1. Speed: pgbench, unmodified, opens a new connection for every transaction")
    say("   (pgbench %s). The only difference is LD_PRELOAD." % " ".join(PGBENCH))
    say()
    say("               without pqpool               with pqpool")
    say("   round    per second  connections    per second  connections    faster")
    ratios = []
    for number in range(1, ROUNDS + 1):
        bare, bare_connections = pgbench(server, *PGBENCH)
        fast, fast_connections = pgbench(server, *PGBENCH, pooled=True)
        ratios.append(fast / bare)
        say("   %5d    %10.0f  %11d    %10.0f  %11d  %7.1f x"
            % (number, bare, bare_connections, fast, fast_connections, ratios[-1]))
    say()
    say("   Transactions per second, and connections as the server counted them.")
    say("   With pqpool: %.1f times as fast (median of %d rounds)."
        % (statistics.median(ratios), ROUNDS))


def show_leaks(server):
    say("2. Leaks: tests/programs/leaky.c opens ten connections and forgets three of them,")
    say("   at two places. Under pqpool it says the following when it ends:")
    say()
    marker = server.marker()
    done = run(server, [LEAKY], pooled=True)
    for line in (done.stdout + done.stderr).splitlines():
        say("   | " + line)
    say()
    say("   For its ten connections the server saw %d." % server.connections_since(marker))


def main():
    interrupt_on_signals()
    try:
        say("Starting a private PostgreSQL server; it is gone again when the demo ends.")
        with Server() as server:
            pgbench(server, "-i", "-q", "-s", "1")
            say("It runs: version %s, reached over a Unix socket."
                % server.sql("SHOW server_version")[0][0].split()[0])
            say()
            show_speed(server)
            say()
            show_leaks(server)
    except Interrupted as stop:
        say("\nStopped; the private server is gone.")
        sys.exit(128 + stop.signum)
    except (ServerError, OSError) as error:
        sys.exit("demo: %s" % error)


if __name__ == "__main__":
    main()
