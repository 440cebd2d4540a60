# SPDX-License-Identifier: PostgreSQL
"""Where the time of a transaction of pgbench -S -n -C goes in the program, by samples of perf:
the floor and pqpool in fast mode side by side, in the kernel and in each library."""
import collections
import os
import re
import subprocess
import tempfile

from measure import Table, fail, say
from whole import DONE, FAST, WAYS

HERTZ = 4999  # not in step with anything that comes by the millisecond
CLIENTS = 4
LINE = re.compile(r"^\s*[\d.]+%\s+(\d+)\s+pgbench\s+(\S+)")
PLACES = (("libpqpool.", "pqpool"), ("floor.", "the floor"), ("libpq.", "libpq"),
          ("libc.", "the C library"), ("libssl.", "OpenSSL"), ("libcrypto.", "OpenSSL"),
          ("pgbench", "pgbench"), ("[kernel", "the kernel"))


def _run(argv, env):
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def _place(name):
    for begin, place in PLACES:
        if name.startswith(begin):
            return place
    return "others"


def _sampled(bench, env, folder):
    """place -> µs of one transaction."""
    data = os.path.join(folder, "samples")
    code, out, err = _run(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-o", data, "--"]
        + ["env", *("%s=%s" % pair for pair in env.items())]
        + bench.pgbench("-S", "-n", "-C", "-c", str(CLIENTS), "-j", "2", "-T",
                        str(bench.seconds)), bench.env())
    if code:
        fail("perf record failed:\n" + err[-2000:])
    transactions = int(DONE.search(out).group(1))
    code, out, err = _run(["perf", "report", "-i", data, "--sort", "comm,dso", "--stdio", "-n",
                           "-q"], bench.env())
    if code:
        fail("perf report failed:\n" + err[-2000:])
    spent = collections.Counter()
    for found in filter(None, map(LINE.match, out.splitlines())):
        spent[_place(found.group(2))] += int(found.group(1)) / HERTZ * 1e6 / transactions
    return spent


def _perf_works():
    code, _, err = _run(["perf", "record", "-q", "-e", "cpu-clock", "-o", os.devnull, "true"],
                        os.environ)
    if code:
        say("no table of samples, for perf does not work here: " + err.strip()[-300:])
    return code == 0


def samples(bench):
    if not _perf_works():
        return []
    columns = {}
    for way, title in WAYS.items():
        name = title.split(",")[0]
        columns[name + ", floor"] = bench.env(way, LD_PRELOAD=bench.program("floor.so"))
        columns[name + ", fast"] = bench.env(way, FAST)
    with tempfile.TemporaryDirectory() as folder:
        found = bench.rounds.run(
            {column: lambda env=env: _sampled(bench, env, folder)
             for column, env in columns.items()}, {"server": bench.server.process.pid})
    spent = {column: [one for one, _ in results] for column, results in found.items()}
    table = Table("profile-samples", "Where the time of one pgbench -S -n -C -c 4 transaction "
                  "goes in the program", "µs", digits=1)
    seen = {place for rounds in spent.values() for one in rounds for place in one}
    for place in ("the kernel", *(place for _, place in PLACES), "others"):
        if place in seen and place not in table.rows:
            for column, rounds in spent.items():
                table.add(place, column, [one[place] for one in rounds])
    for column, rounds in spent.items():
        table.add("all", column, [sum(one.values()) for one in rounds])
    return [table]
