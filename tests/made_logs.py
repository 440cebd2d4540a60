# SPDX-License-Identifier: PostgreSQL
"""Logs made without running a program: by hand, and of any length by chance, as programs with many threads
write them."""
import datetime
import heapq
import random

POOL = "app@db.example:5432/shop"
BEGIN = datetime.datetime(2026, 3, 1, 8, tzinfo=datetime.timezone.utc)
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
CONFIG = ("event=config format=1 profile=none size=%d max_overflow=%d timeout_ms=30000 recycle_ms=3600000 "
          "share=off log_level=info")
PLACES = 40  # stacks of a process
TIME = "time=2026-01-02T03:04:%02d.%06dZ level=info pid=%d tid=%d program=%s event="


class Log:
    """A log written by hand: lines at microseconds, of one process unless said otherwise."""

    def __init__(self, path):
        self.path, self.text = path, ""
        self.lease = 0

    def say(self, at, event, pid=7, program="shop"):
        self.text += TIME % (at // 1000000, at % 1000000, pid, pid, program) + event + "\n"
        self.path.write_text(self.text)

    def config(self, size, overflow, pid=7, share="off", timeout_ms=30000):
        self.say(0, "config format=1 size=%d max_overflow=%d timeout_ms=%d share=%s" % (
            size, overflow, timeout_ms, share), pid)

    def hold(self, comes, hold, wait=0, pid=7, session=1, pool="a@b:1/c"):
        """A lease, whose lines stand together however long it is."""
        self.lease += 1
        told = "lease=%d session=%d backend=9 pool=%s " % (self.lease, session, pool)
        self.say(comes + wait, "acquire %swait_us=%d%s" % (
            told, wait, " queued_us=%d" % wait if wait else ""), pid)
        self.say(comes + wait + hold, "release %shold_us=%d kept=yes" % (told, hold), pid)


def _stack(number):
    frames = " ".join("/srv/bin/shop+0x%x(handler_%d)" % (0x1000 + 16 * (number + depth), number + depth)
                      for depth in range(12))
    return 'event=stack stack=%d frames="%s" build_ids="/srv/bin/shop=%s"' % (number + 1, frames, BUILD_ID)


class _Process:
    """One process: what it writes, in the order of its time."""

    def __init__(self, pid, leases, size, overflow, chance):
        self.pid, self.leases, self.size, self.overflow, self.chance = pid, leases, size, overflow, chance

    def lines(self):
        """(microseconds since BEGIN, what follows the time)"""
        chance, head = self.chance, "level=info pid=%d tid=%d program=shop " % (self.pid, self.pid)
        yield 0, head + CONFIG % (self.size, self.overflow)
        yield 1, head + "event=pool_open pool=" + POOL
        for number in range(PLACES):
            yield 2, head + _stack(number)
        idle, opened, ends, now = [], 0, [], 10
        for lease in range(1, self.leases + 1):
            now += int(chance.expovariate(1 / 4000))
            while ends and ends[0][0] <= now:
                at, line, session = heapq.heappop(ends)
                idle.append(session)
                yield at, head + line
            if len(ends) == self.size + self.overflow:
                at, line, session = heapq.heappop(ends)
                idle.append(session)
                yield at, head + line
                yield at, head + "event=wait pool=%s in_use=%d waiting=1 limit=%d" % (
                    POOL, len(ends) + 1, self.size + self.overflow)
                now = max(at, now)
            if not idle:
                opened += 1
                idle.append(opened)
                yield now, head + "event=session_open session=%d backend=%d pool=%s took_us=9000" % (
                    opened, 20000 + opened, POOL)
            session = idle.pop()
            place = min(int(chance.expovariate(0.2)), PLACES - 1)
            told = "lease=%d session=%d backend=%d pool=%s" % (lease, session, 20000 + session, POOL)
            yield now, head + "event=acquire %s wait_us=%d stack=%d" % (
                told, chance.randrange(50, 2000), place + 1)
            hold = int(chance.expovariate(1 / (10000 + 500 * place))) + 100
            heapq.heappush(ends, (now + hold, "event=release %s hold_us=%d query_us=%d transaction_us=%d "
                                  "kept=yes stack=%d" % (told, hold, hold // 3, hold // 4, place + 1), session))
        while ends:
            at, line, session = heapq.heappop(ends)
            yield at, head + line


def write(path, leases, processes=4, size=5, overflow=5, seed=1):
    """Writes the log of so many leases of so many processes; how many lines it has."""
    each = [_Process(4711 + i, leases // processes, size, overflow, random.Random(seed + i))
            for i in range(processes)]
    count = 0
    with open(path, "w", encoding="ascii") as log:
        second, text = -1, ""
        for at, line in heapq.merge(*[p.lines() for p in each], key=lambda pair: pair[0]):
            if at // 1000000 != second:
                second = at // 1000000
                text = (BEGIN + datetime.timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")
            log.write("time=%s.%06dZ %s\n" % (text, at % 1000000, line))
            count += 1
    return count
