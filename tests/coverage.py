#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""Which lines of the shim the tests ran, by folder: reads what a build with --coverage left.

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


def main():
    (build,) = sys.argv[1:]
    folders = collections.defaultdict(lambda: [0, 0])
    for source, lines in lines_of(build).items():
        if source.startswith("shim/"):
            for name in (os.path.dirname(source), "shim, whole"):
                folders[name][0] += sum(1 for times in lines.values() if times)
                folders[name][1] += len(lines)
    if not folders:
        sys.exit("%s: no objects of the shim that were built with --coverage and have run" % build)
    print("%-24s %8s %8s %6s" % ("folder", "lines", "run", "%"))
    for name in sorted(folders):
        run, lines = folders[name]
        print("%-24s %8d %8d %6.1f" % (name, lines, run, 100 * run / lines))


if __name__ == "__main__":
    main()
