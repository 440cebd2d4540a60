# SPDX-License-Identifier: PostgreSQL
"""The manual page and the completion say what the program does."""
import os
import re
import subprocess

import pytest

import house

TOOL = os.path.join(house.BUILD, "pqpool")
PAGE = os.path.join(house.BUILD, "pqpool.1")


def page():
    with open(PAGE, encoding="utf-8") as f:
        return f.read()


def plain(text):
    """The page without its markup, as far as names are concerned."""
    return re.sub(r"\\f[BIPR]", "", text.replace("\\-", "-").replace("\\&", ""))


def commands():
    return re.findall(r"^  (\w+)  ", house.output(TOOL, "--help"), re.M)


def options(command):
    shown = house.output(TOOL, command, "--help")
    return re.findall(r"^ *(?:-\w, *)?(--[a-z][a-z-]*)", shown, re.M), shown


@pytest.mark.parametrize("path", [PAGE, house.path("tools/man/pqpool.7")])
@pytest.mark.parametrize("device", ["ascii", "utf8"])
def test_page_is_well_formed(device, path):
    done = subprocess.run(["groff", "-ww", "-man", "-T" + device, "-z", path], text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_page_has_every_variable():
    table = set(re.findall(r'^VARIABLE\(\w+, "(\w+)"', house.read("shim/base/config/config.def"), re.M))
    entries = re.findall(r'^\.BR "(PQPOOL_\w+) " \((\S+)\)$', page(), re.M)
    assert {name for name, _ in entries} == table and len(entries) == len(table)
    for name, option in entries:
        assert plain(option) == "--" + name[len("PQPOOL_"):].lower().replace("_", "-")
    mentioned = set(re.findall(r"PQPOOL_[A-Z_]+", page()))
    assert mentioned <= table | {"PQPOOL_LONG_HOLD"}, mentioned - table


def test_page_has_every_command_and_option():
    text = plain(page())
    for command in commands():
        section = re.search(r'^\.SS "pqpool %s"\n(.*?)^\.S[SH]' % command, text, re.M | re.S)
        assert section, command
        found, _ = options(command)
        wanted = {o for o in found if o != "--help"}
        where = text if command == "run" else section.group(1)
        missing = {o for o in wanted if not re.search(re.escape(o) + r"(?![\w-])", where)}
        assert not missing, (command, missing)


def events():
    """The log's, as the shim's source has them."""
    emitted = set()
    for name in house.sources(r"shim/.*\.c"):
        emitted |= set(re.findall(r'(?:(?:record_begin|LOG_EVENT) ?\(&?\w+,[^,]*,\s*|tell_exec\()"(\w+)"',
                                  house.without_comments(house.read(name))))
    assert {"acquire", "release", "leak", "stack", "exec_failed"} <= emitted
    return emitted


def test_page_has_every_event():
    emitted = events()
    log = re.search(r"^\.SH LOG\n(.*?)^\.SH", page(), re.M | re.S).group(1)
    missing = {event for event in emitted if not re.search(r"\b%s\b" % event, log)}
    assert not missing, "not in the LOG section of tools/man/pqpool.1: %s" % missing


def test_no_line_of_the_page_is_lost():
    """A line that began with a dot or an apostrophe would be a request."""
    known = {"SH", "SS", "TP", "PP", "B", "BR", "I", "IR", "RI", "RB", "SY", "YS", "TH", "RS", "RE", "IP",
             "EX", "EE", "br", "UR", "UE", '\\"'}
    requests = set(re.findall(r"^[.'](\S*)", page(), re.M))
    assert requests <= known, requests - known


def test_completion_is_bash():
    assert house.output("bash", "-n", "tools/completion/pqpool.bash") == ""
