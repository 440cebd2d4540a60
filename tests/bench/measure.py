# SPDX-License-Identifier: PostgreSQL
"""Measuring in turns, on a machine that others use as well.

Every figure is measured in rounds, A B C A B C ..., so that what the machine does meanwhile
meets all of them. A measurement during which others kept the machine busy is thrown away and
taken again.
"""
import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass, field

TICKS = os.sysconf("SC_CLK_TCK")
CPUS = os.cpu_count()
FOREIGN_SHARE = 0.08  # of the machine, used by others
TRIES = 4


def _stat(pid):
    """(parent, CPU seconds of its own, CPU seconds of its buried children)."""
    with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as f:
        words = f.read().rpartition(")")[2].split()
    own, buried = int(words[11]) + int(words[12]), int(words[13]) + int(words[14])
    return int(words[1]), own / TICKS, buried / TICKS


def tree_cpu(root):
    """CPU seconds that a living process and all below it have used so far."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stats[int(name)] = _stat(name)
            except OSError:
                continue
    total = sum(stats[root][1:]) if root in stats else 0.0
    below = [root]
    while below:
        parent = below.pop()
        for pid, (ppid, own, buried) in stats.items():
            if ppid == parent:
                total += own + buried
                below.append(pid)
    return total


def _busy():
    """CPU seconds that the whole machine has spent on anything at all."""
    with open("/proc/stat", encoding="ascii") as f:
        words = [int(w) for w in f.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = words
    return (user + nice + system + irq + softirq + steal) / TICKS


def _own_cpu():
    mine = resource.getrusage(resource.RUSAGE_SELF)
    return mine.ru_utime + mine.ru_stime


def children_cpu():
    """CPU seconds of the children that have ended."""
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return theirs.ru_utime + theirs.ru_stime


@dataclass
class Cpu:
    """CPU seconds of one measurement: of the programs it ran, and of who served them."""

    client: float = 0.0
    services: dict = field(default_factory=dict)  # name -> seconds


def observed(function, services):
    """(what function() returned, its Cpu, the share of the machine that others used).
    services: name -> pid."""
    before = {name: tree_cpu(pid) for name, pid in services.items()}
    client, own, busy, begin = children_cpu(), _own_cpu(), _busy(), time.monotonic()
    result = function()
    seconds = time.monotonic() - begin
    cpu = Cpu(children_cpu() - client,
              {name: tree_cpu(pid) - before[name] for name, pid in services.items()})
    known = cpu.client + sum(cpu.services.values()) + _own_cpu() - own
    foreign = max(0.0, _busy() - busy - known) / (seconds * CPUS)
    return result, cpu, foreign


class Rounds:
    """name -> a list of (result, Cpu), of functions that are called in turns."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.thrown_away = 0
        self.kept_busy = 0

    def run(self, functions, services, times=1):
        """services: name -> pid, or a function of the name that gives such a dict. times: so many
        times the rounds."""
        found = {name: [] for name in functions}
        for _ in range(self.rounds * times):
            for name, function in functions.items():
                whom = services(name) if callable(services) else services
                found[name].append(self._one(function, whom))
        return found

    def _one(self, function, services):
        for _ in range(TRIES):
            result, cpu, foreign = observed(function, services)
            if foreign <= FOREIGN_SHARE:
                return result, cpu
            self.thrown_away += 1
        self.kept_busy += 1
        return result, cpu


class Table:
    """Rows by columns of lists of figures."""

    def __init__(self, name, title, unit, reference=None, digits=0):
        self.name = name
        self.title = title
        self.unit = unit
        self.reference = reference  # the row that all others are compared with
        self.digits = digits
        self.cells = {}  # (row, column) -> figures
        self.rows, self.columns = [], []

    def add(self, row, column, figures):
        if row not in self.rows:
            self.rows.append(row)
        if column not in self.columns:
            self.columns.append(column)
        self.cells[row, column] = list(figures)

    def median(self, row, column):
        figures = self.cells.get((row, column))
        return statistics.median(figures) if figures else None

    def ratios(self, row, other, column):
        """The ratios of two rows, round by round."""
        pairs = zip(self.cells.get((row, column), []), self.cells.get((other, column), []))
        return [a / b for a, b in pairs if b]

    def ratio(self, row, column):
        """The median of the ratios to the reference."""
        ratios = self.ratios(row, self.reference, column)
        return statistics.median(ratios) if ratios else None

    def _cell(self, row, column):
        figures = self.cells.get((row, column))
        if not figures:
            return ""
        text = "%.*f (%.*f–%.*f)" % (self.digits, statistics.median(figures), self.digits,
                                     min(figures), self.digits, max(figures))
        ratio = self.ratio(row, column) if self.reference else None
        return text + (" %.2f×" % ratio if ratio is not None else "")

    def markdown(self):
        head = "%s; %s, median (min–max)%s" % (
            self.title, self.unit, ", times “%s”" % self.reference if self.reference else "")
        lines = ["", "**%s**" % head, "", "| | %s |" % " | ".join(self.columns),
                 "|---|%s" % ("---|" * len(self.columns))]
        for row in self.rows:
            cells = [self._cell(row, column) for column in self.columns]
            lines.append("| %s | %s |" % (row, " | ".join(cells)))
        return "\n".join(lines) + "\n"


def say(text):
    print(text, flush=True)


def fail(text):
    sys.exit("bench: " + text)
