# SPDX-License-Identifier: PostgreSQL
"""What the shim costs a program that never uses libpq: the dynamic linker's work at its start.

Counted by callgrind for /bin/true, in instructions of the linker's: an address in data 13, a
function that is called 15, a thread-local variable 55, a version 300, a variable of the C
library's 800; and a page written is a page fault.
"""
import collections
import platform
import re

import house


def relocations():
    """How many of each type: {"RELATIVE": 4, ...}; what stands for it by its symbol, too."""
    lines = house.output("readelf", "-rW", house.SHIM).splitlines()
    types = [re.match(r"[0-9a-f]{12,16} +[0-9a-f]{12,16} +R_(?:X86_64|AARCH64)_(\w+)", line)
             for line in lines]
    return collections.Counter(found.group(1) for found in types if found)


def test_addresses_are_not_kept_in_data():
    """Words in tables are arrays of characters, and kinds of things are told by an enum."""
    assert 0 < relocations()["RELATIVE"] <= 32, relocations()


def test_no_variable_is_looked_up():
    """base/late.def has those of the C library's that are wanted."""
    assert set(relocations()) <= {"RELATIVE", "JUMP_SLOT", "JUMP_SLO", "TPOFF64", "TLS_TPREL64",
                                  "TLS_TPREL"}, relocations()


def test_few_variables_are_thread_local():
    """Each counts, of whatever size: a file has one."""
    kinds = relocations()
    assert kinds["TPOFF64"] + kinds["TLS_TPREL64"] + kinds["TLS_TPREL"] <= 10, kinds


def test_little_is_thread_local():
    """Every thread has it, of every program; and where an auditing library (LD_AUDIT) is loaded,
    the dynamic linker has little more to give. What is larger belongs into base/thread_block.h."""
    sizes = [int(size, 16) for size in re.findall(
        r"^ +TLS +\S+ \S+ \S+ \S+ (\S+)", house.output("readelf", "-lW", house.SHIM), re.M)]
    assert len(sizes) == 1 and 0 < sizes[0] <= 256, sizes


def test_few_functions_are_bound():
    """Only what a connect, a query, a finish or a line of the log comes by, or what may be
    called before the rest is found; whatever is called rarely goes into base/late.def."""
    kinds = relocations()
    assert 0 < kinds["JUMP_SLOT"] + kinds["JUMP_SLO"] <= 40, kinds


def test_few_versions_are_needed():
    """hooks/libc.c answers for functions of others. Left are the oldest one and that of the
    linker's own functions, by which everything else is found, and which tells the linker and
    pqpool doctor how old a C library may be."""
    versions = set(re.findall(r"Name: (GLIBC_[\d.]+)",
                              house.output("readelf", "-VW", house.SHIM)))
    assert len(versions) <= 2, versions


def test_one_function_runs():
    """base/program.c's; start files would bring more, and four symbols to be looked up."""
    found = re.findall(r"\((INIT|INIT_ARRAY|PREINIT_ARRAY|FINI)\)",
                       house.output("readelf", "-dW", house.SHIM))
    if platform.machine() == "aarch64":
        found.remove("INIT_ARRAY")  # libgcc's, to see which atomic instructions there are
    assert found == ["INIT"]


def test_two_segments_are_mapped():
    loads = re.findall(r"^ +LOAD .*", house.output("readelf", "-lW", house.SHIM), re.M)
    assert len(loads) == 2, loads
