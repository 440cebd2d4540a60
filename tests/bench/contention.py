# SPDX-License-Identifier: PostgreSQL
"""What the leases of two threads share, counted: cache lines that both write, and locks."""
import collections
import tempfile

import shared_lines
from measure import Table

CASES = {"two pools": ["application_name=one", "application_name=two"],
         "one pool": ["application_name=one"] * 2}
LEASES = 5000


def contention(bench):
    program, env = bench.program("contention"), bench.env()
    lines = Table("shared-lines", "Cache lines that a lease with SELECT 1 writes, and those of them "
                  "that another thread's lease writes", "number")
    locks = Table("shared-locks", "Locks of a lease with SELECT 1, two threads at once", "number",
                  digits=4)
    for case, conninfos in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            written, shared = shared_lines.count(program, env, conninfos, folder)
        lines.add("all", case, [written])
        for where, number in collections.Counter(where for where, _ in shared).items():
            lines.add(where, case, [number])
        found = bench.rounds.run({case: lambda conninfos=conninfos: shared_lines.locks(
            program, env, conninfos, LEASES)}, {"server": bench.server.process.pid})[case]
        for rank in found[0][0]:
            for i, what in enumerate(("taken", "waited for")):
                figures = [counts[rank][i] for counts, _ in found]
                if any(counts[rank][0] >= 0.5 for counts, _ in found):
                    locks.add(rank, "%s, %s" % (case, what), figures)
    return [lines, locks]
