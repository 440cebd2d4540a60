# SPDX-License-Identifier: PostgreSQL
"""What the shim costs a program that never uses libpq: the dynamic linker's work at its start.

An empty library is the measure: opening and mapping one is the price of LD_PRELOAD itself.
"""
import collections
import math
import os
import re
import statistics

import house
import pytest

PAIRS = 200


@pytest.fixture(scope="module", name="empty")
def empty_library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    (folder / "empty.c").write_text("")
    house.output("gcc", "-shared", "-fPIC", "-o", str(folder / "empty.so"), str(folder / "empty.c"))
    return str(folder / "empty.so")


def start(library):
    """The processor time of /bin/true with the library preloaded, in seconds."""
    pid = os.posix_spawn("/bin/true", ["true"], {"LD_PRELOAD": library})
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


def test_a_start_is_not_measurably_slower_than_with_an_empty_library(empty):
    """The medians are one or two per cent apart. Measurably slower: the 99 % confidence interval
    of the ratio's median lies above 5 %."""
    start(house.SHIM)
    ratios = sorted(start(house.SHIM) / start(empty) for _ in range(PAIRS))
    low = ratios[int(PAIRS / 2 - 2.6 * math.sqrt(PAIRS) / 2)]
    assert low < 1.05, (low, statistics.median(ratios))


def system_calls(library, tmp_path):
    trace = tmp_path / "trace"
    house.output("strace", "-f", "-o", str(trace), "-E", "LD_PRELOAD=%s" % library, "/bin/true")
    return collections.Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))


def test_a_start_makes_the_system_calls_that_an_empty_library_needs(empty, tmp_path):
    more = system_calls(house.SHIM, tmp_path) - system_calls(empty, tmp_path)
    assert not more, more


def relocations():
    """How many of each type: {"RELATIVE": 4, ...}; what stands for it by its symbol, too."""
    lines = house.output("readelf", "-rW", house.SHIM).splitlines()
    types = [re.match(r"[0-9a-f]{12,16} +[0-9a-f]{12,16} +R_(?:X86_64|AARCH64)_(\w+)", line)
             for line in lines]
    return collections.Counter(found.group(1) for found in types if found)


def test_little_is_relocated_at_the_start():
    """Instructions of the linker's: an address in data 13, a thread-local variable 55, a variable
    of the C library's 800. A function, 15, is bound when it is called first."""
    kinds = relocations()
    assert sum(kinds.values()) - kinds["JUMP_SLOT"] - kinds["JUMP_SLO"] <= 80, kinds
    assert 0 < kinds["JUMP_SLOT"] + kinds["JUMP_SLO"] <= 160, kinds


def test_functions_are_bound_when_they_are_called_first():
    assert "BIND_NOW" not in house.output("readelf", "-dW", house.SHIM)


def test_little_is_thread_local():
    """Every thread has it, of every program; and where an auditing library (LD_AUDIT) is loaded,
    the dynamic linker has little more to give. What is larger belongs into base/thread/thread_block.h."""
    sizes = [int(size, 16) for size in re.findall(
        r"^ +TLS +\S+ \S+ \S+ \S+ (\S+)", house.output("readelf", "-lW", house.SHIM), re.M)]
    assert len(sizes) == 1 and 0 < sizes[0] <= 256, sizes
