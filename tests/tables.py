# SPDX-License-Identifier: PostgreSQL
"""Reading what `pqpool metrics` and `pqpool top` write; strict, as logfmt.py is."""
import re

SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\]|\\[\\"n])*",?)*)\} ([0-9.]+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\[\\"n])*)"')


def samples(text, pool=None):
    """pid -> {(name, value of `reason` or `le`, or None): value}, of one pool where that is named."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            labels = dict(LABEL.findall(labels))
            assert labels.keys() - {"reason", "le"} == {"program", "pid", "pool"}
            if pool in (None, labels["pool"]):
                found.setdefault(labels["pid"], {})[name, labels.get("reason", labels.get("le"))] = float(value)
    return found


def rows(text):
    """The table's lines as dicts by their titles; UID is there for root, if it sees others' pools."""
    lines = text.splitlines()
    titles = re.split(r"  ?(?=[A-Z])", lines[1].strip()) if len(lines) > 1 else []
    titles = re.findall(r"IN USE|TAKEN AT|\w+", lines[1]) if titles else []
    found = []
    for line in lines[2:]:
        match = re.fullmatch(r" *(\d+) " + r" *(\d+) " * (titles[0] == "UID") + r"(\S+) +(\d+) +(\d+|-) +(\d+|-) +(\d+|none|-) +(\d+|-)"
                             r" +(\d+|-) +(-|[\d.]+ \w+) (not pooled|\S+) *(\S*) *", line)
        assert match, line
        found.append(dict(zip(titles, match.groups())))
    return found
