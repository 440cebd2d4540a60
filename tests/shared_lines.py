# SPDX-License-Identifier: PostgreSQL
"""Which cache lines the leases of two threads both write, and which locks they take: counted, so that
it holds for machines with more cores than this one.

bench/programs/contention.c leases in turns under valgrind's lackey, which tells each store. What a
thread writes is what is stored between two stores to the words by which the program says whose
turn it is. Lines of a thread's stack, where its thread-local storage is, are left out.
"""
import bisect
import collections
import os
import re
import subprocess

LINE = 64
OWN = {"marks", "turns"}  # of the program itself
POOLS_AT = 4096           # in the status page: rows of pools from here, the head before
NM = re.compile(r"^(\w+) \w (\S+)$", re.M)
MAP = re.compile(r"^(\w+)-(\w+) \S+ \w+ \S+ \d+ *(.*)$", re.M)


class Places:
    """What lies at an address of the traced program."""

    def __init__(self, program, said):
        found = subprocess.run(["nm", "-n", program], capture_output=True, text=True, check=True)
        symbols = [(int(address, 16), name) for address, name in NM.findall(found.stdout)]
        self.addresses, self.names = zip(*symbols)
        self.end = dict(zip(self.names, self.addresses))["_end"]
        self.maps = [(int(low, 16), int(high, 16), path) for low, high, path in MAP.findall(said)]

    def name(self, address):
        """A variable or function of the program or the shim; else "heap", the status page's head or
        a pool's row in it, or a library's file."""
        if self.addresses[0] <= address < self.end:
            return self.names[bisect.bisect_right(self.addresses, address) - 1]
        for low, high, path in self.maps:
            if low <= address < high and path.endswith(".page"):
                return "status page, head" if address - low < POOLS_AT else "status page, row"
            if low <= address < high:
                return os.path.basename(path) if path.startswith("/") else "heap"
        return "?"


def _stores(trace):
    """(instruction, address) of each store, of lackey's lines."""
    instruction = None
    for line in trace:
        if line.startswith("I "):
            instruction = line
        elif line.startswith((" S", " M")):
            yield instruction, int(line[3:line.index(",")], 16)


def _written(trace, marks, stacks):
    """For each thread: line -> (instruction, address) of the stores to it."""
    lines = [collections.defaultdict(set) for _ in stacks]
    turn = None
    for instruction, address in _stores(trace):
        if address in marks:
            turn = marks.index(address)
        elif turn is not None and turn < len(lines) and not any(
                low <= address < high for low, high in stacks):
            lines[turn][address // LINE].add((instruction, address))
    return lines


def count(program, env, conninfos, folder):
    """(lines that a lease writes, {where: {functions that write there}} of each line that both
    threads' leases write)."""
    trace = os.path.join(folder, "trace")
    done = subprocess.run(
        ["valgrind", "--tool=lackey", "--trace-mem=yes", "--log-file=" + trace, program, "trace",
         "1", *conninfos], env=env, capture_output=True, text=True, check=True)
    marks, stacks = ([line.split()[1:] for line in done.stdout.splitlines() if line.startswith(what)]
                     for what in ("mark", "stack"))
    places = Places(program, done.stdout)
    with open(trace, encoding="ascii", errors="replace") as f:
        first, second = _written(f, [int(mark, 16) for mark, in marks],
                                 [(int(low, 16), int(high, 16)) for low, high in stacks])
    os.unlink(trace)
    shared = []
    for line in sorted(first.keys() & second.keys()):
        stores = first[line] | second[line]
        where = {places.name(address) for _, address in stores} - OWN
        if where:
            shared.append((" and ".join(sorted(where)), {
                places.name(int(instruction[3:instruction.index(",")], 16))
                for instruction, _ in stores}))
    return len(first), shared


def locks(program, env, conninfos, leases):
    """rank -> (taken, waited for) by one lease, two threads leasing at once."""
    done = subprocess.run([program, "run", str(leases), *conninfos], env=env, capture_output=True,
                          text=True, check=True)
    return {rank: (int(taken) / leases / 2, int(waited) / leases / 2)
            for rank, taken, waited in (line.split() for line in done.stdout.splitlines())}
