# SPDX-License-Identifier: PostgreSQL
"""OpenMetrics 1.0 text, read strictly: by the parser of Prometheus' Python client, and, where that
is lax, by the standard's own words."""
import re

from prometheus_client.openmetrics.parser import text_string_to_metric_families

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",),
            "histogram": ("_bucket", "_count", "_sum", "_created")}
DESCRIPTORS = ("HELP", "TYPE", "UNIT")


def _names_of(family):
    return {family.name + suffix for suffix in SUFFIXES[family.type]}


def _check_lines(text):
    """Lines end by a newline alone; no line is blank, a comment, or behind the end."""
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1 and "\r" not in text
    described = set()
    for line in text.splitlines()[:-1]:
        if line.startswith("#"):
            mark, what, name, _ = line.split(" ", 3)
            assert mark == "#" and what in DESCRIPTORS, line
            assert (what, name) not in described, line
            described.add((what, name))
        else:
            # One space, no exemplar, no time.
            assert re.fullmatch(r"[^ {]+(\{.*\})? [0-9.e+-]+", line), line
    return described


def _check_histogram(family):
    """Of each set of labels: buckets that ascend, an infinite one, which is the count."""
    sets = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        sets.setdefault(labels, []).append(sample)
    for samples in sets.values():
        bounds = [float(s.labels["le"]) for s in samples if s.name.endswith("_bucket")]
        counts = [s.value for s in samples if s.name.endswith("_bucket")]
        others = {s.name[len(family.name):]: s.value for s in samples if "le" not in s.labels}
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf")
        assert counts == sorted(counts) and counts[-1] == others["_count"]
        assert others.keys() == {"_count", "_sum"} and others["_sum"] >= 0


def families(text):
    """name -> its family, a Metric of prometheus_client's."""
    described = _check_lines(text)
    found = {}
    taken = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in found and NAME.fullmatch(family.name)
        assert ("TYPE", family.name) in described and family.documentation
        assert not taken & _names_of(family), family.name
        taken |= _names_of(family)
        assert not family.name.endswith(("_total", "_created", "_bucket", "_count", "_sum", "_info"))
        assert family.name.endswith("_seconds") == (family.unit == "seconds")
        seen = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
        assert len(seen) == len(set(seen)) and {name for name, _ in seen} <= _names_of(family)
        if family.type == "histogram":
            _check_histogram(family)
        found[family.name] = family
    return found
