# SPDX-License-Identifier: PostgreSQL
"""Reading what `pqpool doctor` says, and making what it is asked about."""
import os
import re
import subprocess

import house
from server import bare_environ

POOLED, NOT_POOLED = 0, 1
CLASS, MACHINE = 4, 18  # bytes of an ELF header
CALLS = """void *PQconnectdb(const char *s);
void PQfinish(void *c);
int main(void) { PQfinish(PQconnectdb("")); return 0; }
"""
USE = "void *PQconnectdb(const char *s); void *use(void) { return PQconnectdb(0); }\n"
REQUIRED = re.findall(r"^(?:HOOK|CALL)\((\w+)\)", house.read("shim/base/libpq/functions.def"), re.M)


def libpqs(lines):
    """The libpqs that it says will be found, with the road to each."""
    found = [re.match(r"ok: (\S+), which (.+) needs as (\S+), found by (.+)", line)
             for line in lines]
    roads = [(match.group(1), match.group(4)) for match in found if match]
    assert len(dict(roads)) == len(roads), "one is told of twice"
    return dict(roads)


def ldd(program, env=None, cwd=None):
    """Where the linker itself finds libpq. (Of programs that we trust.)"""
    out = subprocess.run(["ldd", str(program)], env={**bare_environ(), **(env or {})}, text=True,
                         cwd=cwd, capture_output=True, check=True).stdout
    name, path = re.search(r"(libpq[.-]\S*)(?: => (\S+))? \(0x", out).groups()
    return os.path.realpath(os.path.join(cwd or "", path or name))


def troubles(lines):
    return [line for line in lines if line.startswith("! ")]


def one_reason(lines, how="not"):
    """The only thing that stands against pooling."""
    found, = troubles(lines)
    assert lines[-1].endswith(" would %s be pooled: 1 reason above" % how), lines[-1]
    return found


def stub(compiled, name, *flags, functions=tuple(REQUIRED)):
    """A library with such functions, which do nothing."""
    return compiled("".join("int %s(void) { return 0; }\n" % f for f in functions),
                    "-shared", "-fPIC", *flags, name=name)


def alter(path, at, value):
    """The file with one byte changed."""
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)
