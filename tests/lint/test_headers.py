# SPDX-License-Identifier: PostgreSQL
"""Headers stand alone, and includes go down the floors only."""
import os
import re

import pytest

import house

HEADERS = house.sources(r"(shim|tools)/.*\.h")
TOOLS_MAY = {
    "base/clock.h", "base/config/config.def", "base/config/config.h", "base/config/value.h",
    "base/config/version.h", "base/elf/build_id.h", "base/elf/elf_needed.h", "base/elf/elf_note.h",
    "base/elf/symbol.h",
    "base/libpq/functions.def", "base/text/hash.h", "base/text/path.h", "base/text/strbuf.h",
    "share/keeper_protocol.h", "trace/log/log_name.h", "trace/log/pairs.h", "trace/log/rotate.h",
    "trace/script/tables/perl.def", "trace/script/tables/php.def",
    "trace/script/tables/python.def", "trace/script/tables/ruby.def",
    "trace/status/page_dir.h", "trace/status/status_format.h"}
TABLE = "shim/base/text/hash.h"
INTERNAL = re.compile(r"libpq-int\.h|postgres_fe\.h|c\.h|internal/")


@pytest.mark.parametrize("header", HEADERS)
def test_compiles_alone(header, tmp_path):
    unit = tmp_path / "alone.c"
    unit.write_text('#include "%s"\n#include "%s"\n' % (house.path(header), house.path(header)))
    for compiler in ("gcc", "clang"):
        house.output(compiler, *house.flags(), "-I" + house.path("tools"), "-fsyntax-only",
                     str(unit))


def includes_in(text):
    """(line, quoted?, what) of every include in C text."""
    for number, line in enumerate(house.without_comments(text).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def includes():
    """(file, line, quoted?, what) of every include of ours."""
    for name in house.sources(r"(shim|tools)/.*\.(c|h|def)"):
        for line, quoted, what in includes_in(house.read(name)):
            yield name, line, quoted, what


def is_allowed(name, quoted, what):
    if not quoted:
        if what in ("uthash.h", "utlist.h"):
            return name == TABLE
        return not INTERNAL.match(what) and not os.path.exists(house.path("shim/" + what))
    if name.startswith("tools/"):
        return what in TOOLS_MAY or os.path.exists(house.path("tools/" + what))
    own, floor = (re.sub("/tables$", "", os.path.dirname(n)) for n in (name[len("shim/"):], what))
    return floor in house.FLOORS and os.path.exists(house.path("shim/" + what)) and (
        house.FLOORS.index(floor) <= house.FLOORS.index(own))


def upward(found):
    return ["%s:%d: %s" % (name, line, what)
            for name, line, quoted, what in found if not is_allowed(name, quoted, what)]


def test_includes_go_down():
    wrong = upward(includes())
    assert not wrong, "not for this floor:\n" + "\n".join(wrong)


def test_planted_upward_includes_are_found():
    planted = list(includes_in('#include "trace/status/status.h"\n'
                               '/* #include "hooks/lifecycle.h" */\n'
                               '#include <stdint.h>\n'
                               '# include "trace/lease/lease.h"\n'
                               '#include <libpq-int.h>\n'))
    for name, wrong in (("shim/trace/status/status.c", [":4: trace/lease/lease.h",
                                                        ":5: libpq-int.h"]),
                        ("shim/trace/lease/lease.c", [":5: libpq-int.h"])):
        assert upward((name, *what) for what in planted) == [name + w for w in wrong]
