# SPDX-License-Identifier: PostgreSQL
"""tools/: a folder per command, over what they share; no command uses another."""
import os
import re

import pytest

import house
import test_headers
import test_manual

COMMON = "common"
MOST_FILES = 16


def folder(name):
    """The command (or "common") that a file below tools/ belongs to; "" is pqpool.c's."""
    return name.split("/")[0] if "/" in name else ""


def is_allowed(name, what):
    """Whether tools/`name` may include tools/`what`."""
    own, other = folder(name), folder(what)
    if own == "":
        return other == COMMON or what == "%s/%s.h" % (other, other)
    return other in (own, COMMON)


@pytest.mark.parametrize("name, what, allowed", [
    ("pqpool.c", "run/run.h", True),
    ("pqpool.c", "run/options.h", False),
    ("pqpool.c", "common/exit_status.h", True),
    ("run/run.c", "run/options.h", True),
    ("run/run.c", "common/pages/status_pages.h", True),
    ("run/run.c", "leaks/leaks.h", False),
    ("leaks/report/report_text.c", "common/leases/lease_list.h", True),
    ("common/xalloc.c", "common/pages/status_pages.h", True),
    ("common/xalloc.c", "run/run.h", False),
])
def test_the_rule(name, what, allowed):
    assert is_allowed(name, what) is allowed


def test_commands_use_only_what_is_common():
    wrong = ["%s:%d: %s" % (name, line, what)
             for name, line, quoted, what in test_headers.includes()
             if name.startswith("tools/") and quoted and os.path.exists(house.path("tools/" + what))
             and not is_allowed(name[len("tools/"):], what)]
    assert not wrong, "not for this folder:\n" + "\n".join(wrong)


def test_folders_are_small():
    count = {}
    for name in house.sources(r"tools/.*"):
        count.setdefault(os.path.dirname(name), []).append(name)
    large = {where: len(names) for where, names in count.items() if len(names) > MOST_FILES}
    assert not large, "more than %d files: %s" % (MOST_FILES, large)


def test_readme_has_every_event_and_folder():
    text = house.read("tools/README.md")
    rows = re.findall(r"^\| ([^|]*) \|", text, re.M)
    named = set(re.findall(r"\w+", " ".join(rows)))
    assert not test_manual.events() - named
    folders = {os.path.dirname(n) for n in house.sources(r"tools/[a-z]+/.*\.[ch]")}
    top = {f for f in folders if f.count("/") == 1}
    assert {"tools/" + row.rstrip("/") for row in rows if row.endswith("/")} >= top


@pytest.mark.parametrize("title, where, number", [
    ("The log", "shim/base/config/version.h", r"LOG_VERSION +(\d+)"),
    ("`pqpool leaks --json`", "shim/base/config/version.h", r"JSON_VERSION +(\d+)"),
    ("The data of `pqpool report`", "shim/base/config/version.h", r"REPORT_VERSION +(\d+)"),
    ("The status page", "shim/trace/status/status_format.h", r"STATUS_VERSION +(\d+)"),
])
def test_readme_has_the_versions(title, where, number):
    version, = re.findall("#define " + number, house.read(where))
    assert "### %s: version %s\n" % (title, version) in house.read("tools/README.md")


def test_package_has_the_version():
    version, = re.findall('#define PQPOOL_VERSION "(.*)"', house.read("shim/base/config/version.h"))
    newest = house.read("tools/debian/changelog").split("\n", 1)[0]
    assert re.fullmatch(r"pqpool \(%s-\d+\) .*" % re.escape(version), newest), newest
