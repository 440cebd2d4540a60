#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""pytest with a last line that counts: `N passed, N failed`.

Errors (in fixtures, in the checks after a test, while collecting) count as failed. What
was skipped is counted in a line before it. The exit status is 0 only if something passed
and nothing failed.
"""
import signal
import sys

import pytest


class Tally:
    """Counts tests, not their phases."""

    def __init__(self):
        self.passed = set()
        self.failed = set()
        self.skipped = set()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)


def interrupt(_signum, _frame):
    """Ends the run as Ctrl-C does, so that the fixtures' servers are stopped."""
    raise KeyboardInterrupt


def main():
    # Also where a shell that runs us in the background has them ignored: what is tested is not to
    # find it so.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    tally = Tally()
    status = int(pytest.main(sys.argv[1:], plugins=[tally]))
    failed = len(tally.failed)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        failed = max(failed, 1)
    passed = len(tally.passed - tally.failed)
    if failed or not passed:
        status = status or 1
    sys.stderr.flush()
    if tally.skipped:
        print("NOT RUN: %d tests, for the reasons above" % len(tally.skipped))
    print("%d passed, %d failed" % (passed, failed), flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
