# SPDX-License-Identifier: PostgreSQL
"""The page of a million events' log: run by make stress only, as it says how long things may take."""
import time


def test_opens_in_three_seconds(browser, made):
    path = made("large")
    begun = time.monotonic()
    shown = browser.open(path)
    shown.settle()
    took = time.monotonic() - begun
    assert shown.errors == []
    ready = shown.run("performance.getEntriesByName('report-ready')[0].startTime") / 1000
    shown.press("/")
    begun = time.monotonic()
    shown.type("part_12.py")
    search = time.monotonic() - begun
    print("%d bytes: made after %.2f s, drawn after %.2f s; a search took %.2f s" % (path.stat().st_size, ready, took, search))
    assert took < 3 and search < 1
