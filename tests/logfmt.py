# SPDX-License-Identifier: PostgreSQL
"""Reads the shim's log: one event a line, key=value pairs, as shim/trace/log/record.h says.

It is strict: a line that the shim must not write is a ValueError.
"""
import datetime
import glob
import os
import re

PAIR = re.compile(rb'([A-Za-z_][A-Za-z0-9_]*)=(?:"((?:[^"\\\x00-\x1f\x7f]|\\.)*)"'
                  rb'|([^ "=\x00-\x1f\x7f]+))( |$)')
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)")
PLAIN = {b'"': b'"', b"\\": b"\\", b"n": b"\n", b"t": b"\t"}


def _unescape(match):
    code = match.group(1)
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    if code not in PLAIN:
        raise ValueError("unknown escape %r" % match.group(0))
    return PLAIN[code]


def wall_ms(text):
    """Milliseconds of a time in a log, ours or a server's, rounded down as the server does."""
    at = datetime.datetime.fromisoformat(text.rstrip("Z") + "+00:00")
    return int(at.timestamp() * 1000)


def parse_line(line):
    """One line, bytes without the newline, as a dict of strings."""
    pairs = {}
    at = 0
    while at < len(line) or not pairs or line.endswith(b" "):
        match = PAIR.match(line, at)
        if not match:
            raise ValueError("not logfmt at byte %d: %r" % (at, line))
        key = match.group(1).decode()
        if key in pairs:
            raise ValueError("key %s twice: %r" % (key, line))
        quoted, bare = match.group(2), match.group(3)
        value = bare if quoted is None else ESCAPE.sub(_unescape, quoted)
        pairs[key] = value.decode("utf-8", "surrogateescape")
        at = match.end()
        if match.group(4) == b"":
            break
    return pairs


def parse_torn(line):
    """The same of one that may stand right behind the half of another process's."""
    try:
        if not line.startswith(b"time="):  # a half of less than a word, and then a whole line
            raise ValueError("no line begins like this: %r" % line)
        return parse_line(line)
    except ValueError:
        begin = line.find(b"time=", 1)
        if begin < 0:
            raise
        return parse_torn(line[begin:])


def parse(data, torn=False):
    """A whole log, bytes, as a list of dicts; `torn` if there may be lines that a full disk
    cut off, which count as lost."""
    if torn:
        data = data[:data.rfind(b"\n") + 1]
        return [parse_torn(line) for line in data.split(b"\n")[:-1] if not line.endswith(b" torn")]
    if data and not data.endswith(b"\n"):
        raise ValueError("the last line is not whole: %r" % data[-200:])
    return [parse_line(line) for line in data.split(b"\n")[:-1]]


def parts(name):
    """The files of a log, oldest first, as shim/trace/log/rotate.h says."""
    numbered = [(int(path[len(name) + 1:]), path) for path in glob.glob(glob.escape(name) + ".*")
                if path[len(name) + 1:].isdigit()]
    found = {}
    for path in [path for _, path in sorted(numbered, reverse=True)] + [name] * os.path.exists(name):
        found.setdefault((os.stat(path).st_dev, os.stat(path).st_ino), path)
    return list(found.values())


def read(name, torn=False):
    """A log with all its files, as a list of dicts."""
    events = []
    for path in parts(name):
        with open(path, "rb") as f:
            events += parse(f.read(), torn)
    return events


def unended(events):
    """The acquire events that no line follows which says what became of the lease."""
    open_leases = {}
    for event in events:
        key = (event.get("pid"), event.get("lease"))
        if event["event"] == "acquire":
            open_leases[key] = event
        elif event["event"] in ("release", "leak", "kept", "given_away"):
            open_leases.pop(key, None)
    return list(open_leases.values())
