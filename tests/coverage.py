#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""Which lines of the shim the tests ran, by folder and by file, and which not: reads what a build
with --coverage left.

    tests/coverage.py BUILD
"""
import collections
import glob
import json
import os
import subprocess
import sys


def lines_of(folder):
    """{source: {line: times}} of every object below the folder; a line may be in several."""
    lines = collections.defaultdict(dict)
    notes = sorted(glob.glob(os.path.join(folder, "**", "*.gcno"), recursive=True))
    for note in notes:
        if not os.path.exists(note[:-len("gcno")] + "gcda"):
            continue
        done = subprocess.run(["gcov", "--json-format", "--stdout", note], check=True,
                              capture_output=True, text=True)
        for text in done.stdout.splitlines():
            for source in json.loads(text)["files"]:
                seen = lines[os.path.normpath(source["file"])]
                for line in source["lines"]:
                    number = line["line_number"]
                    seen[number] = seen.get(number, 0) + line["count"]
    return lines


def ranges(numbers):
    """ "3-5 9" of 3, 4, 5 and 9."""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in found)


def main():
    (build,) = sys.argv[1:]
    folders = collections.defaultdict(lambda: [0, 0])
    files = {}
    for source, lines in lines_of(build).items():
        if source.startswith("shim/"):
            files[source] = lines
            for name in (os.path.dirname(source), "shim, whole"):
                folders[name][0] += sum(1 for times in lines.values() if times)
                folders[name][1] += len(lines)
    if not folders:
        sys.exit("%s: no objects of the shim that were built with --coverage and have run" % build)
    print("%-24s %8s %8s %6s" % ("folder", "lines", "run", "%"))
    for name in sorted(folders):
        run, lines = folders[name]
        print("%-24s %8d %8d %6.1f" % (name, lines, run, 100 * run / lines))
    print("\n%-40s %6s %6s  %s" % ("file", "lines", "%", "not run"))
    for name, lines in sorted(files.items()):
        missed = [number for number, times in lines.items() if not times]
        if missed:
            print("%-40s %6d %6.1f  %s" % (name, len(lines), 100 - 100 * len(missed) / len(lines),
                                           ranges(missed)))


if __name__ == "__main__":
    main()
