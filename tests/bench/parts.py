# SPDX-License-Identifier: PostgreSQL
"""What a transaction of pgbench -S -n -C is made of on the program's side: instructions by where
they are written, and system calls; and what these calls cost by themselves."""
import collections
import os
import re
import subprocess
import tempfile

from measure import Table, fail
from whole import FAST

INSTRUCTIONS_OF = (200, 600)  # transactions; the difference is what one is made of
CALLS_OF = (1000, 5000)
SMALL = 60  # instructions; files with fewer are in the sum only
CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.M)
SOCKETS = (1, 100, 1000)
TIMES = 100000


def _rows(bench):
    floor = bench.env(LD_PRELOAD=bench.program("floor.so"))
    return {"floor": floor, "floor, proven": {**floor, "FLOOR_PROVEN": "1"},
            "pqpool, fast": bench.env("unix", FAST), "pqpool": bench.env("unix", {})}


def _under(bench, tool, env, transactions):
    """What a tool that writes to its last argument's file has to say of so many."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        done = subprocess.run(
            [word.replace("OUT", out) for word in tool]
            + bench.pgbench("-S", "-n", "-C", "-c", "1", "-t", str(transactions)),
            env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            fail("%s failed:\n%s" % (tool[0], done.stderr[-2000:]))
        with open(out, encoding="utf-8") as f:
            return f.read()


def _place(obj, source):
    """What is told of code in this object, from this source file."""
    name = os.path.basename(obj)
    if name == "libpqpool.so":
        parts = source.split("shim/")
        return parts[-1] if len(parts) > 1 else "other code of the shim"
    for begin, place in (("libpq.", "libpq"), ("libc.", "the C library"),
                         ("floor.", "the floor"), ("pgbench", "pgbench")):
        if name.startswith(begin):
            return place
    return "other libraries"


def _instructions(text):
    """place -> instructions, of callgrind's output; its names are told once, then by number."""
    names = {"ob": {}, "fl": {}}
    obj = source = ""
    costs = collections.Counter()
    called = False
    for line in text.splitlines():
        key, _, value = line.partition("=")
        kind = {"ob": "ob", "cob": "ob", "fl": "fl", "fi": "fl", "fe": "fl", "cfi": "fl",
                "cfl": "fl"}.get(key)
        if kind:
            number, _, name = value.partition(" ")
            if name:
                names[kind][number] = name
            if key == "ob":
                obj = names["ob"][number]
            elif key in ("fl", "fi", "fe"):
                source = names["fl"][number]
        elif key == "calls":
            called = True  # the next line is what the callee cost
        elif line[:1] in "+-*0123456789" and line:
            if not called:
                costs[_place(obj, source)] += int(line.split()[1])
            called = False
    return costs


def _calls(text):
    """name -> how often, of strace -c's summary."""
    return collections.Counter({name: int(count) for count, name in CALL.findall(text)
                                if name != "total"})


def _of_one(bench, tool, read, transactions):
    """row -> what one transaction is made of."""
    parts = {}
    for name, env in _rows(bench).items():
        few, many = (read(_under(bench, tool, env, n)) for n in transactions)
        parts[name] = {what: (count - few[what]) / (transactions[1] - transactions[0])
                       for what, count in many.items()}
    return parts


def _by_amount(table, found, small):
    """Fills a table with what was found, those with the most first; the small ones only count."""
    rows = sorted({what for parts in found.values() for what in parts},
                  key=lambda what: -max(parts.get(what, 0) for parts in found.values()))
    for what in rows:
        if max(parts.get(what, 0) for parts in found.values()) >= small:
            for column, parts in found.items():
                table.add(what, column, [parts.get(what, 0)])
    for column, parts in found.items():
        table.add("all", column, [sum(parts.values())])
    return table


def profile(bench):
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=OUT"]
    strace = ["strace", "-f", "-c", "-o", "OUT"]
    instructions = _of_one(bench, callgrind, _instructions, INSTRUCTIONS_OF)
    calls = _of_one(bench, strace, _calls, CALLS_OF)
    alone = Table("profile-alone", "The system calls of a fast lease, and its memory, by "
                  "themselves, in a loop, by number of sessions", "ns", digits=0)
    found = bench.rounds.run(
        {n: lambda n=n: dict(line.split("\t") for line in bench.output(
            [bench.program("calls"), str(n), str(TIMES)], bench.env()).splitlines())
         for n in SOCKETS}, {})
    for n, results in found.items():
        for call in results[0][0]:
            alone.add(call, str(n), [float(r[call]) for r, _ in results])
    return [
        _by_amount(Table("profile-instructions", "Instructions of one pgbench -S -n -C "
                         "transaction in the program", "number"), instructions, SMALL),
        _by_amount(Table("profile-calls", "System calls of one pgbench -S -n -C transaction in "
                         "the program", "number", digits=1), calls, 0.05),
        alone,
    ]
