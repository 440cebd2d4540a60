# SPDX-License-Identifier: PostgreSQL
"""What a soak looks at while it lasts and afterwards: the shim's log, the server's, its processes.

Record    reads the shim's log as it grows and is rotated: which leases have no end
sessions  the sessions of a server's log, each from its begin to its end
most      the most of them at one time, by application_name
Growth    what memory and descriptors of a process grew by
"""
import collections
import glob
import os
import re
import threading

import logfmt

SERVER_LINE = re.compile(
    r"(?m)^(\S+ \S+) \S+ \[(\d+)\] (?:LOG|FATAL):  (connection authorized|disconnection"
    r"|database system is ready)(.*)")
LEASE = re.compile(rb"time=(\S+) .*?\bpid=(\d+) .*?event=(acquire|release|leak|kept|given_away) (.*)")
LOST = re.compile(rb" lost=(\d+)")
LEASE_NUMBER = re.compile(rb"\blease=(\d+)")
SESSION = re.compile(rb"time=(\S+) .*?event=session_(open|close) (.*)")
BACKEND = re.compile(rb"\bbackend=(\d+)")


class Record:
    """A context manager; what it found is whole after it."""

    def __init__(self, path):
        self.path = path
        self.acquired = self.released = self.lost = 0
        self.without_end = set()        # (pid, lease)
        self.opened = collections.defaultdict(list)  # by backend, times in ms
        self.closed = collections.defaultdict(list)
        self.files = {}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._follow)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def _follow(self):
        """A file is known by its inode, as its name changes, and left once it has no name: what
        is not found may have been renamed between two looks."""
        last = False
        while not last:
            last = self.ending.wait(0.1)
            for path in glob.glob(glob.escape(self.path) + "*"):
                try:
                    file = open(path, "rb")
                except FileNotFoundError:
                    continue
                about = os.fstat(file.fileno())
                if (about.st_dev, about.st_ino) in self.files:
                    file.close()
                else:
                    self.files[about.st_dev, about.st_ino] = [file, b""]
            for key, entry in list(self.files.items()):
                nameless = os.fstat(entry[0].fileno()).st_nlink == 0
                self._read(entry)
                if nameless:
                    self.files.pop(key)[0].close()

    def _read(self, entry):
        file, rest = entry
        while data := file.read(1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.note(line)
        entry[1] = rest

    def note(self, line):
        if match := LOST.search(line):
            self.lost += int(match.group(1))
        if match := LEASE.match(line):
            _, pid, what, pairs = match.groups()
            number = LEASE_NUMBER.search(pairs)
            # In either order: a line may be in the older of two files.
            self.without_end ^= {(pid, number.group(1))}
            self.acquired += what == b"acquire"
            self.released += what != b"acquire"
        elif match := SESSION.match(line):
            at, what, pairs = match.groups()
            # One that is lent to another process has no end by that.
            if b" reason=shared" not in pairs and (backend := BACKEND.search(pairs)):
                times = self.opened if what == b"open" else self.closed
                times[int(backend.group(1))].append(logfmt.wall_ms(at.decode()))


def sessions(log_text):
    """(backend, application_name, begin, end) of each, in ms; one without an end lasts on."""
    here, found = {}, []
    last = 0
    for at, pid, what, rest in SERVER_LINE.findall(log_text):
        last = logfmt.wall_ms(at)
        pid = int(pid)
        if what.startswith("database"):  # after a crash, and after a restart
            found += [(*session, last) for session in here.values()]
            here = {}
        else:
            if pid in here:
                found.append((*here.pop(pid), last))
            if what.startswith("connection"):
                name = re.search(r"application_name=(\S+)", rest)
                here[pid] = (pid, name.group(1) if name else "", last)
    return found + [(*session, last + 1) for session in here.values()]


def most(log_text, record, stopped):
    """The most sessions at one time of each application_name, and how many connects came to
    nothing. A session counts until the server or the shim says that it ended, or its server
    process was stopped (`stopped`: (backend, ms)): that cannot say so."""
    changes = collections.defaultdict(list)
    vain = 0
    for backend, name, begin, end in sessions(log_text):
        if not any(begin <= ms <= end + 1000 for ms in record.opened[backend]):
            vain += 1
            continue
        end = min([end, *(ms for ms in record.closed[backend] if ms >= begin),
                   *(ms for pid, ms in stopped if pid == backend and ms >= begin)])
        changes[name] += [(begin, 1), (end, 0)]
    found = {}
    for name, times in changes.items():
        here = found[name] = 0
        for _, begins in sorted(times):
            here += 1 if begins else -1
            found[name] = max(found[name], here)
    return found, vain


class Growth:
    """Of one process, from the first third to the end: the least of each, as all is dirtied and
    given back all the time."""

    def __init__(self, pid):
        self.pid, self.samples = pid, []

    def sample(self, part):
        """`part` of the time is over."""
        try:
            with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
                memory = int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))
            self.samples.append((part, memory, len(os.listdir("/proc/%d/fd" % self.pid))))
        except (OSError, AttributeError):  # it has ended
            pass

    def grown(self):
        """(kB, descriptors)"""
        after = [s for s in self.samples if s[0] >= 0.3]
        early, late = after[:len(after) // 2] or self.samples[:1], after[len(after) // 2:]
        return tuple(min(s[i] for s in late) - min(s[i] for s in early) for i in (1, 2))
