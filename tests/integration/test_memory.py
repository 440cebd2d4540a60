# SPDX-License-Identifier: PostgreSQL
"""How much memory of its own a program gets that connects once."""
import os
import statistics

# It is 56 to 64 kB: 12 of the status page, and what relocations, locks, caches and the heap take.
# Where the loader puts things decides about 8 kB.
MOST_KB = 80


def private_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))


def test_of_the_first_pooled_connect(script, shim):
    def kb(pooled):
        program = script(pooled=pooled, env={"PQPOOL_LOG_LEVEL": "off"})
        program.connect("a")
        found = private_kb(program.process.pid)
        program.finish("a")
        program.end()
        return found

    # Pages of a file that are not on the disk yet count as a program's own.
    with open(shim, "rb") as f:
        os.fsync(f.fileno())
    more = [kb(True) - kb(False) for _ in range(5)]
    assert statistics.median(more) < MOST_KB, more
