# SPDX-License-Identifier: PostgreSQL
"""Size, shape and head of every source file."""
import ast
import re
import shutil

import pytest

import house

CODE = r".*\.(c|h|cpp|pgc|def|py|sh|mk|map|pl|rb|php|js|css|sql|spec|supp)|Makefile|\.ci/run|tests/pytest\.ini"
C_FILES = house.sources(r"(shim|tools|tests)/.*\.([ch]|cpp)")
FORMAT_MAJOR = 14
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
SLEEPS = {
    "py": r"\bsleep\(",
    "c": r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(",
    "sh": r"\bsleep\s+[\d.]",
    "cpp": r"\bsleep_(for|until)\b",
    "pgc": r"\b(sleep|usleep|nanosleep)\s*\(",
    "php": r"\b(sleep|usleep|time_nanosleep)\s*\(",
    "rb": r"\bsleep\b",
    "js": r"\bsetTimeout\b",
    "pl": r"\b(sleep|select\s*\(\s*undef)\b",
}
SLEEP_REASON = "sleeps because"
LENGTH_REASON = "This long because"  # in the head of a file beyond the limit


def test_licence_on_top():
    bad = [n for n in house.sources(CODE)
           if "SPDX-License-Identifier: PostgreSQL" not in "".join(
               house.read(n).splitlines(True)[:3])]
    assert not bad, "no SPDX line in the first three lines: %s" % bad


def test_files_are_short():
    long = {n: house.read(n).count("\n") for n in house.sources(CODE)}
    long = {n: lines for n, lines in long.items() if lines > MAX_FILE_LINES
            and LENGTH_REASON not in "".join(house.read(n).splitlines(True)[:20])}
    assert not long, "over %d lines: %s" % (MAX_FILE_LINES, long)


def c_functions(text):
    """(line of the body's start, its lines) of each function, by the house's braces."""
    begin = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            begin = number
        elif line.startswith("}") and begin:
            yield begin, number - begin - 1
            begin = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno


def test_functions_are_short():
    long = []
    for name in house.sources(r".*\.([ch]|cpp|pgc|py)"):
        find = python_functions if name.endswith(".py") else c_functions
        long += ["%s:%d: %d lines" % (name, line, lines)
                 for line, lines in find(house.read(name)) if lines > MAX_FUNCTION_LINES]
    assert not long, "functions over %d lines:\n%s" % (MAX_FUNCTION_LINES, "\n".join(long))


def clang_format():
    """The program of the major version whose format is the house's: others differ a little."""
    for name in ("clang-format-%d" % FORMAT_MAJOR, "clang-format"):
        if shutil.which(name) and re.search(r"version %d\." % FORMAT_MAJOR,
                                            house.output(name, "--version")):
            return name
    return None


@pytest.mark.skipif(not clang_format(), reason="no clang-format %d here" % FORMAT_MAJOR)
def test_c_is_formatted():
    changes = house.output(clang_format(), "--output-replacements-xml", *C_FILES).split("<?xml ")[1:]
    assert len(changes) == len(C_FILES)
    bad = [n for n, change in zip(C_FILES, changes) if "<replacement " in change]
    assert not bad, "make format would change: %s" % bad


def test_no_fixed_sleeps():
    """Tests wait for what they wait for (server.wait_until). A line that must sleep all
    the same says why: "sleeps because ..."."""
    bad = []
    for name in house.sources(r"tests/.*\.(%s)" % "|".join(SLEEPS)):
        pattern = SLEEPS[name.rsplit(".", 1)[1]]
        for number, line in enumerate(house.read(name).splitlines(), 1):
            if re.search(pattern, line) and SLEEP_REASON not in line:
                bad.append("%s:%d: %s" % (name, number, line.strip()))
    assert not bad, "fixed sleeps:\n" + "\n".join(bad)


def test_top_level():
    top = {n.split("/")[0] for n in house.output("git", "ls-files").splitlines()}
    assert {n for n in top if not n.startswith(".")} - {"findings", "LICENSE"} == {
        "shim", "tools", "tests", "Makefile", "README.md"}


def test_readme_names_variables_that_are_there():
    """A choice of them; the manual page has all (test_manual.py)."""
    table = set(re.findall(r'^VARIABLE\(\w+, "(PQPOOL_\w+)"', house.read("shim/base/config/config.def"),
                           re.M))
    assert table, "no VARIABLE rows found"
    named = set(re.findall(r"PQPOOL_[A-Z_]+", house.read("README.md")))
    assert len(named) > 10 and named <= table, named - table


@pytest.mark.limit(400)
def test_builds_with_clang():
    house.output("make", "-s", "--no-print-directory", "-j2", "CC=clang", "WERROR=1",
                 "BUILD=%s/clang" % house.BUILD, "%s/clang/libpqpool.so" % house.BUILD)
