# SPDX-License-Identifier: PostgreSQL
"""cmocka programs as pytest items, one item a case.

The names of the cases are read from the source; the program runs once, when the
first of its items does. One more item, `exit`, stands for the program as a whole:
its exit status, sanitizer reports, and cases that the source did not show.
"""
import os
import re
import signal
import subprocess

import pytest

from running import run_to_end
from server import bare_environ

CASE = re.compile(r"\bcmocka_unit_test\w*\(\s*(\w+)")
TAP = re.compile(r"(not )?ok \d+ (?:- |(# SKIP) )(\w+)")
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: ")
# Sanitizers make a test several times slower.
LIMIT_SECONDS = 400 if os.environ.get("PQPOOL_SANITIZED") else 100


class Failed(Exception):
    """A case or a program failed; the text says how."""


def status_name(returncode):
    if returncode < 0:
        return "died of " + signal.Signals(-returncode).name
    return "exit status %d" % returncode


def run_program(path, extra_env=None, timeout=LIMIT_SECONDS):
    """Runs a C program of ours; returns its status and all its output."""
    if not os.path.exists(path):
        raise Failed("%s is not built: run make check" % path)
    env = {**bare_environ(), **(extra_env or {})}
    status, output, _ = run_to_end([path], env, timeout, cwd="/", stderr=subprocess.STDOUT)
    return status, output


def binary(item_path, config):
    """build/tests/unit/test_x for tests/unit/test_x.c."""
    tests = config.rootpath
    build = os.path.join(tests.parent, os.environ.get("PQPOOL_BUILD", "build"))
    return os.path.join(build, "tests", item_path.relative_to(tests).with_suffix(""))


class Case(pytest.Item):
    """One test of a cmocka program."""

    def runtest(self):
        returncode, output, cases = self.parent.outcome()
        if self.name not in cases:
            raise Failed("not reached: the program %s\n%s" % (status_name(returncode), output))
        verdict, details = cases[self.name]
        if verdict == "skipped":
            pytest.skip("\n".join(details))
        if verdict == "failed":
            raise Failed("\n".join(details) or output)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, "%s: %s" % (self.path.stem, self.name)


class Exit(Case):
    """What no single case answers for."""

    def runtest(self):
        returncode, output, cases = self.parent.outcome()
        failed = {name for name, (verdict, _) in cases.items() if verdict == "failed"}
        if failed - self.parent.case_names():
            raise Failed("failed cases that are not in the source\n" + output)
        if not cases:
            raise Failed("no test was run\n" + output)
        if returncode < 0 or (returncode > 0 and not failed) or REPORT.search(output):
            raise Failed(status_name(returncode) + "\n" + output)


class UnitFile(pytest.File):
    """tests/unit/test_x.c"""

    cached = None
    failure = None

    def case_names(self):
        return set(CASE.findall(self.path.read_text(encoding="utf-8")))

    def collect(self):
        for name in sorted(self.case_names()):
            yield Case.from_parent(self, name=name)
        yield Exit.from_parent(self, name="exit")

    def outcome(self):
        """(status, output, {case: (verdict, details)}) of the one run, or its failure."""
        if self.cached is None and self.failure is None:
            try:
                returncode, output = run_program(binary(self.path, self.config),
                                                 {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
                self.cached = returncode, output, parse_tap(output)
            except (Failed, pytest.fail.Exception) as failure:
                self.failure = str(failure)
        if self.failure is not None:
            raise Failed(self.failure)
        return self.cached


def parse_tap(output):
    """Verdict and details by name; of several cases of one name the worst counts."""
    cases, details = {}, []
    worse = ["passed", "skipped", "failed"]
    for line in output.splitlines():
        match = TAP.match(line)
        if not match:
            details.append(line)
            continue
        verdict = "passed"
        if match.group(2):
            verdict = "skipped"
        elif match.group(1):
            verdict = "failed"
        details = [line]
        known = cases.get(match.group(3))
        if not known or worse.index(verdict) > worse.index(known[0]):
            cases[match.group(3)] = verdict, details
    return cases
