# SPDX-License-Identifier: PostgreSQL
"""Headers stand alone, and includes go down the floors only."""
import os
import re

import pytest

import house

HEADERS = house.sources(r"(shim|tools)/.*\.h")
TOOLS_MAY = {"base/" + n for n in (
    "build_id.h", "clock.h", "config.h", "config.def", "hooks.def", "needs.h", "pagedir.h",
    "symbol.h", "table.h", "text.h", "value.h", "version.h")} | {"trace/status_format.h"} | {
        "trace/script/%s.def" % n for n in ("python", "perl", "php", "ruby")}
TABLE = "shim/base/table.h"
INTERNAL = re.compile(r"libpq-int\.h|postgres_fe\.h|c\.h|internal/")


@pytest.mark.parametrize("header", HEADERS)
def test_compiles_alone(header, tmp_path):
    unit = tmp_path / "alone.c"
    unit.write_text('#include "%s"\n#include "%s"\n' % (house.path(header), house.path(header)))
    for compiler in ("gcc", "clang"):
        house.output(compiler, *house.flags(), "-I" + house.path("tools"), "-fsyntax-only",
                     str(unit))


def includes():
    """(file, line, quoted?, what) of every include of ours."""
    for name in house.sources(r"(shim|tools)/.*\.(c|h|def)"):
        text = house.without_comments(house.read(name))
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if match:
                yield name, number, match.group(1) == '"', match.group(2)


def is_allowed(name, quoted, what):
    if not quoted:
        if what in ("uthash.h", "utlist.h"):
            return name == TABLE
        return not INTERNAL.match(what) and not os.path.exists(house.path("shim/" + what))
    if name.startswith("tools/"):
        return what in TOOLS_MAY or os.path.exists(house.path("tools/" + what))
    own = house.FLOORS.index(name.split("/")[1])
    floor = what.split("/")[0]
    return floor in house.FLOORS and house.FLOORS.index(floor) <= own and (
        os.path.exists(house.path("shim/" + what)))


def test_includes_go_down():
    wrong = ["%s:%d: %s" % (name, line, what)
             for name, line, quoted, what in includes() if not is_allowed(name, quoted, what)]
    assert not wrong, "not for this floor:\n" + "\n".join(wrong)
