# SPDX-License-Identifier: PostgreSQL
"""Cancel objects: libpq's own to whoever reads them, and without effect after their lease."""
import re
import subprocess

import pytest

from conftest import built
from running import same

CANCELLED = "sent 1\nPGRES_FATAL_ERROR \nERROR:  canceling statement due to user request\n"


@pytest.fixture(scope="module")
def real_get():
    """How far PQgetCancel is from PQlibVersion in the libpq that the program has."""
    libpq = re.search(r"libpq\.so\S* => (\S+)", subprocess.check_output(
        ["ldd", built("tests/programs/cancelling")], text=True)).group(1)
    table = subprocess.check_output(["nm", "-D", libpq], text=True)
    get, version = (int(re.search(r"^(\w+) T %s$" % name, table, re.M).group(1), 16)
                    for name in ("PQgetCancel", "PQlibVersion"))
    return str(get - version)


def test_layout(run, program, real_get):
    """Programs read the backend's pid and key out of it."""
    done = same(run, [program("cancelling"), "layout", real_get])
    assert done.stdout == "bytes 1, size 1, pid 1\n"


def test_another_in_its_place(run, program, real_get):
    """The old one's lease is over; the one that lies there now was made past us, and works."""
    done = run([program("cancelling"), "past", real_get])
    assert done.stdout.startswith("in its place 1\n"), "it lies elsewhere"
    assert done.stdout == "in its place 1\n" + CANCELLED, done


def test_in_a_signal_handler(run, program):
    """While others come and go; the handler's own are of a lease that is over."""
    done = run([program("cancelling"), "storm"])
    assert (done.returncode, done.stdout) == (0, "42\n42\n42\nfailures 0\n"), done


def test_in_a_child(run, program):
    done = same(run, [program("cancelling"), "child"])
    assert done.stdout.endswith("sent 1\n" + CANCELLED)


def test_without_an_object(run, program):
    done = same(run, [program("cancelling"), "request"])
    assert "canceling statement" in done.stdout


def test_without_an_object_after_the_finish(run, program):
    """It would reach the next lease's query."""
    done = run([program("cancelling"), "request_late"])
    assert (done.returncode, done.stdout) == (0, "requested 0\n"), done
