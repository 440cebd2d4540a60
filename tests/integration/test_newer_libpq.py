# SPDX-License-Identifier: PostgreSQL
"""What libpq 17 and 18 have that the one we are built with may lack."""
import os
import re
import subprocess

import pytest

from running import PYTHON, same

MODULES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs/modules")
# Makes a program of one that was built as a module, whose libpq is nobody else's.
RUN_MODULE = """
import ctypes, sys
arguments = [word.encode() for word in sys.argv[1:]]
program = ctypes.CDLL(sys.argv[1], ctypes.RTLD_LOCAL)
sys.exit(program.newer_main(len(arguments),
                            (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)))
"""


@pytest.fixture(params=["17", "18"])
def newer_folder(tmp_path, libpq_of, request):
    """Where the programs are that are linked with that libpq."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    libpq = libpq_of(request.param)
    program = ["-I" + include, MODULES + "/newer_program.c", libpq + "/libpq.so.5",
               "-Wl,-rpath," + libpq]
    for argv in (["-o", "newer"], ["-shared", "-fPIC", "-Dmain=newer_main", "-o", "newer.so"]):
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", *argv, *program], cwd=tmp_path,
                       check=True)
    return tmp_path


@pytest.fixture(params=["linked", "loaded"])
def newer(newer_folder, request):
    """How to start the program; the second time it is found by nothing but its caller."""
    if request.param == "linked":
        return [str(newer_folder / "newer")]
    return [PYTHON, "-c", RUN_MODULE, str(newer_folder / "newer.so")]


def test_calls(run, newer):
    done = same(run, [*newer, "use"])
    assert len(done.events("acquire")) == 2 and len(done.events("session_open")) == 1


def test_finished_before(run, newer):
    done = run([*newer, "stale"])
    assert (done.stdout, done.returncode) == ("0 0 0 0 0 0\n", 0)
    assert {re.search(r"PQ\w+", e["msg"]).group() for e in done.events("misuse")} == {
        "PQclosePrepared", "PQsendClosePrepared", "PQclosePortal", "PQsendClosePortal",
        "PQsendPipelineSync", "PQcancelCreate"}


def test_rows_in_chunks(run, newer):
    """Read to the end they leave nothing behind, else the session is not lent again."""
    done = same(run, [*newer, "rows"])
    assert [e.get("reason") for e in done.events("release")] == [None, "busy", None]
    assert len(done.events("session_open")) == 2


def test_password_changed(run, newer, new_server):
    """The idle sessions would hide it."""
    done = same(run, [*newer, "password"], server=new_server())
    assert len(done.events("session_close", reason="altered")) == 1


# ---- cancelling ------------------------------------------------------------------------


def test_cancel(run, newer):
    done = same(run, [*newer, "cancel"])
    assert done.stdout.count("canceling statement") == 2
    assert len(done.events("acquire")) == 2 and len(done.events("session_open")) == 1


def test_cancel_object_outlives_its_lease(run, newer):
    """It succeeds, and does not cancel the next one's query."""
    done = same(run, [*newer, "cancel_after"])
    assert done.stdout.count("PGRES_COMMAND_OK DO") == 2
    assert len(done.events("acquire")) == 2 and len(done.events("session_open")) == 1


@pytest.mark.parametrize("mode", ["cancel_under_way", "cancel_given_up"])
def test_what_may_arrive_later_costs_the_session(run, newer, mode):
    done = same(run, [*newer, mode])
    assert [e["reason"] for e in done.events("release")] == ["cancel_under_way"]
