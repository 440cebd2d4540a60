# SPDX-License-Identifier: PostgreSQL
"""Reads the leak report that the shim writes to stderr; strict, as logfmt.py is."""
import os
import re
from dataclasses import dataclass, field

LEAKED = "leaked"
BY_EXIT = "released only by exit"
CONNECTING = "never finished while connecting"
KEPT = "kept to the end"
KINDS = [LEAKED, BY_EXIT, CONNECTING, KEPT]
HEAD = re.compile(r"pqpool: (\d+) connections? (leaked|released only by exit|"
                  r"never finished while connecting|kept to the end), "
                  r"taken at (\d+) places?(?: \((.+): (\d+) acquired, (\d+) released\))?")
GROUP = re.compile(r"  (\d+) connections?, (?:oldest )?held (.+), taken at(?: (.+))?")
FRAME = re.compile(r"    #(\d+) (?:.+\+0x[0-9a-f]+|(.+:\d+|/.+?))(?: in (.+))?")
LEFT_OUT = "    ..."  # frames of a script's libraries
LEASE = re.compile(r"    (?:lease|connect) (\d+): (?:backend (\d+), )?thread (\d+), held (.+?), "
                   r"(pool|not pooled) (.+?)(?:, (idle|active|idle in transaction|"
                   r"idle in transaction \(aborted\)))?(?:, last statement: (.+))?")
TOTALS = re.compile(r"pqpool: in all (\d+) sessions? opened, (\d+) closed(?: \((.+)\))?; "
                    r"(?:at most (\d+)(?: of (\d+))? in use at once; )?"
                    r"(\d+) waits?(?:, the longest (.+))?, (\d+) timeouts?")
SUPPRESSED = re.compile(r"pqpool: (\d+) leaks? suppressed by (.+)")
SPAN = re.compile(r"\d+(\.\d+)? (ns|us|ms|s|min|h)")


@dataclass
class Place:
    """The leaks of one place: its functions from the inside, and its leases."""

    kind: str
    count: int
    script: str  # "/srv/app.py:12" or None
    functions: list = field(default_factory=list)
    leases: list = field(default_factory=list)


@dataclass
class Report:
    """A leak report, taken apart. Every line must be one that it may have."""

    pid: int
    leaked: dict = field(default_factory=dict)  # how many of each kind
    head: tuple = ()  # (program, acquired, released)
    places: list = field(default_factory=list)
    totals: dict = field(default_factory=dict)
    suppressed: tuple = None  # (how many, by which file)

    def at(self, function):
        found = [p for p in self.places if function in p.functions]
        assert len(found) == 1, "%s is in %d places" % (function, len(found))
        return found[0]

    @property
    def leases(self):
        return [lease for place in self.places for lease in place.leases]

    @property
    def backends(self):
        return {lease["backend"] for lease in self.leases}


def read_report(stderr):
    lines = stderr.splitlines()
    pids = {re.match(r"==(\d+)== ", line).group(1) for line in lines}
    assert len(pids) == 1, stderr
    report = Report(int(pids.pop()))
    places = {}
    for line in lines:
        read_line(report, places, line.split("== ", 1)[1])
    for kind, count in report.leaked.items():
        mine = [p for p in report.places if p.kind == kind]
        assert len(mine) == places[kind] and sum(p.count for p in mine) == count
    assert report.leaked and report.totals and list(report.leaked) == [
        kind for kind in KINDS if kind in report.leaked]
    return report


def read_line(report, places, line):
    if match := HEAD.fullmatch(line):
        assert bool(match.group(4)) == (not report.leaked), "the first tells of the program"
        if match.group(4):
            report.head = (match.group(4), int(match.group(5)), int(match.group(6)))
        report.leaked[match.group(2)] = int(match.group(1))
        places[match.group(2)] = int(match.group(3))
    elif match := GROUP.fullmatch(line):
        kind = list(report.leaked)[-1]
        report.places.append(Place(kind, int(match.group(1)), match.group(3)))
        assert SPAN.fullmatch(match.group(2)), line
    elif match := FRAME.fullmatch(line):
        assert int(match.group(1)) == len(report.places[-1].functions), line
        report.places[-1].functions.append(match.group(3))
    elif line == LEFT_OUT:
        assert report.places[-1].functions
    elif match := TOTALS.fullmatch(line):
        assert not report.totals
        report.totals = dict(zip(["opened", "closed", "reasons", "peak", "limit", "waits",
                                  "longest", "timeouts"], match.groups()))
    elif match := SUPPRESSED.fullmatch(line):
        report.suppressed = (int(match.group(1)), match.group(2))
    else:
        match = LEASE.fullmatch(line)
        assert match, "not a line of a report: %r" % line
        assert SPAN.fullmatch(match.group(4)), line
        report.places[-1].leases.append(dict(
            zip(["lease", "backend", "thread", "held", "pooled", "pool", "state", "statement"],
                match.groups())))


# ---- of programs/holds.c ----------------------------------------------------------------------

HOLDS_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "holds.c")


def line_of(place):
    """The line of holds.c that is marked so."""
    with open(HOLDS_SOURCE, encoding="utf-8") as f:
        found = [n for n, line in enumerate(f, 1) if "/* place: %s */" % place in line]
    assert len(found) == 1
    return found[0]


def held(stdout):
    return {int(line.split()[0]) for line in stdout.splitlines()}


def check_seven(said, stdout, inlined=True):
    """Seven leases at the three places of holds.c, and just those."""
    assert said.returncode == 1 and said.document["leaked"] == 7, said.stderr
    assert [p["count"] for p in said.places] == [4, 2, 1]
    assert {p["kind"] for p in said.places} == {"never_released"}
    assert said.backends == held(stdout) and len(said.backends) == 7
    four, two, one = said.places
    assert said.lines(four)[0] == ("holds.c", line_of("four"), "four_times", False)
    if inlined:
        assert said.lines(two)[:2] == [
            ("holds.c", line_of("inlined"), "inlined", True),
            ("holds.c", line_of("two"), "twice", False)]
    assert said.lines(one)[0] == ("holds.c", line_of("one"), "once", False)
    threads = {line.split()[0]: int(line.split()[1]) for line in stdout.splitlines()}
    for lease in (lease for p in said.places for lease in p["leases"]):
        assert lease["thread"] == threads[str(lease["backend"])]
