# SPDX-License-Identifier: PostgreSQL
"""Which sessions above PQPOOL_SIZE to keep: rules, played against traces of connects.

A trace is a list of (seconds, +1 or -1): a connect begins, a finish ends. Recorded ones come
from the log of a program with sessions enough; made ones are drawn with a fixed seed. A rule
says after each finish how many sessions may lie idle; what is above that is closed. It knows
how many are on lease and how many have been, not the time. The optimum knows the future: it
keeps a session over a gap in its use if that lasts less than what an open is worth.
"""
import heapq
import os
import random
import re
import tempfile

from measure import Table

SIZE, LIMIT = 10, 30  # the defaults
OPEN_WORTH = 1.0      # seconds of an idle session that an open is worth, to the optimum
EVENT = re.compile(r"^time=\S+T(\d+):(\d+):([\d.]+)Z .* event=(acquire|release) .*?"
                   r"(?:wait_us=(\d+)|hold_us=)", re.M)
DAY = 86400


# ---- traces ----

def _of_leases(leases):
    """The trace of (begin, seconds) pairs, no more than LIMIT of them at once: others wait."""
    trace, running = [], []
    for begin, seconds in sorted(leases):
        while running and running[0] <= begin:
            heapq.heappop(running)
        if len(running) == LIMIT:
            begin = max(begin, heapq.heappop(running))
        heapq.heappush(running, begin + seconds)
        trace += [(begin, 1), (begin + seconds, -1)]
    return sorted(trace)


def _threads(dice, count, until, hold, pause):
    """Threads that connect, hold and pause, over and over."""
    leases = []
    for _ in range(count):
        at = dice.expovariate(1 / pause)
        while at < until:
            seconds = dice.expovariate(1 / hold)
            leases.append((at, seconds))
            at += seconds + dice.expovariate(1 / pause)
    return leases


def _poisson(dice, rate, until, hold):
    leases, at = [], 0.0
    while at < until:
        at += dice.expovariate(rate)
        leases.append((at, dice.expovariate(1 / hold)))
    return leases


def _bursts(dice, every, until):
    return [(at * every + dice.uniform(0, 0.02), dice.uniform(0.01, 0.1))
            for at in range(int(until / every)) for _ in range(30)]


def made_traces():
    dice = random.Random(15)
    long_lease = [(0.0, 60.0)]
    return {
        "steady, 20 threads": _of_leases(_threads(dice, 20, 20, 0.005, 0.002)),
        "bursts, ten a second": _of_leases(_bursts(dice, 0.1, 20)),
        "Poisson, 9 on lease": _of_leases(_poisson(dice, 450, 20, 0.02)),
        "Poisson, 15 on lease": _of_leases(_poisson(dice, 750, 20, 0.02)),
        "a long lease beside bursts": _of_leases(long_lease + _bursts(dice, 5, 60)),
    }


def read_trace(text):
    """Of a log: a connect began as long before its line as it waited."""
    trace = []
    for hours, minutes, seconds, event, wait_us in EVENT.findall(text):
        at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        trace.append((at - int(wait_us or 0) / 1e6, 1 if event == "acquire" else -1))
    trace.sort()
    # Over midnight.
    if trace and trace[-1][0] - trace[0][0] > DAY / 2:
        trace = sorted((at + DAY if at < DAY / 2 else at, what) for at, what in trace)
    return trace


def recorded_traces(bench):
    """Of programs that connect for all they do, with as many sessions as they want."""
    programs = {
        "pgbench -c 16 -j 2": bench.pgbench("-S", "-n", "-C", "-c", "16", "-j", "2",
                                               "-t", "300"),
        "pgbench -c 16 -j 16": bench.pgbench("-S", "-n", "-C", "-c", "16", "-j", "16",
                                                "-t", "300"),
        "pgbench -c 64 -j 64": bench.pgbench("-S", "-n", "-C", "-c", "64", "-j", "64",
                                                "-t", "100"),
        "cycles, 24 threads": [bench.program("cycles"), "24", "0.3", "SELECT 1"],
    }
    traces = {}
    for name, argv in programs.items():
        with tempfile.TemporaryDirectory(prefix="pqpool-trace-") as folder:
            log = os.path.join(folder, "log")
            bench.output(argv, bench.env(pool={
                "PQPOOL_SIZE": str(LIMIT), "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_LOG": log,
                "PQPOOL_LOG_LEVEL": "info", "PQPOOL_STACK_DEPTH": "0"}))
            with open(log, encoding="utf-8") as f:
                traces[name] = read_trace(f.read())
    return traces


# ---- rules ----
# Each is made once a trace, and asked at each finish, while more than `size` lie idle: whether to
# close the one that has lain idle longest; `idle_for` is for how long. `in_use` is what is on
# lease after that finish.

def at_once():
    return lambda in_use, idle_for: True


def below(of_size):
    """All are closed by the finish after which less than that share of `size` is on lease."""
    return lambda in_use, idle_for: in_use < of_size * SIZE


def idle_for_long(seconds):
    """Each is closed by the first finish after that time; all, with none on lease."""
    return lambda in_use, idle_for: in_use == 0 or idle_for >= seconds


def any_of(*rules):
    return lambda *seen: any([rule(*seen) for rule in rules])


def crowd_before(finishes):
    """All are closed once so many finishes in a row found no more than `size` on lease; with
    none on lease, all."""
    left = 0

    def rule(in_use, idle_for):
        nonlocal left
        left = finishes if in_use >= SIZE else left - 1
        return left <= 0 or in_use == 0
    return rule


RULES = {
    "at once": at_once,
    "none on lease": lambda: below(0.1),
    "below a fifth": lambda: below(0.2),
    "below half": lambda: below(0.5),
    "20 finishes without a crowd": lambda: crowd_before(20),
    "idle for 1 s": lambda: idle_for_long(1),
    "below a fifth, or idle for 0.1 s": lambda: any_of(below(0.2), idle_for_long(0.1)),
    "below a fifth, or idle for 1 s": lambda: any_of(below(0.2), idle_for_long(1)),
}
OPTIMUM = "knows the future"


# ---- playing ----

def play(trace, rule):
    """(opens for 1,000 leases, mean number of idle sessions above size in all)."""
    in_use = opens = leases = 0
    idle_since = []  # the one idle longest first
    surplus_seconds, last = 0.0, trace[0][0]
    for at, what in trace:
        surplus = max(0, min(len(idle_since), in_use + len(idle_since) - SIZE))
        surplus_seconds += (at - last) * surplus
        last = at
        in_use += what
        if what > 0:
            leases += 1
            opens += not idle_since
            del idle_since[-1:]
        else:
            idle_since.append(at)
            while rule(in_use, at - idle_since[0]) and len(idle_since) > SIZE:
                del idle_since[0]
    return opens * 1000 / leases, surplus_seconds / (last - trace[0][0])


def play_optimum(trace):
    """The same; a session is used the more often the lower its number."""
    free_since, in_use = {}, 0
    opens = leases = 0
    surplus_seconds = 0.0
    for at, what in trace:
        if what > 0:
            in_use, leases = in_use + 1, leases + 1
            gap = at - free_since.get(in_use, float("-inf"))
            if in_use > SIZE and gap < OPEN_WORTH:
                surplus_seconds += gap
            opens += in_use not in free_since or in_use > SIZE and gap >= OPEN_WORTH
        else:
            free_since[in_use] = at
            in_use -= 1
    return opens * 1000 / leases, surplus_seconds / (trace[-1][0] - trace[0][0])


def traces(bench):
    opens = Table("surplus-opens", "Sessions opened, by when those above size are closed",
                  "for 1,000 leases", digits=1)
    idle = Table("surplus-idle", "Sessions that lie idle above size, by when they are closed",
                 "mean number", digits=2)
    for column, trace in {**recorded_traces(bench), **made_traces()}.items():
        for row, make in RULES.items():
            for table, figure in zip((opens, idle), play(trace, make())):
                table.add(row, column, [figure])
        for table, figure in zip((opens, idle), play_optimum(trace)):
            table.add(OPTIMUM, column, [figure])
    return [opens, idle]
