# SPDX-License-Identifier: PostgreSQL
"""What a libpq has that is newer than the one we are built with; by a stand-in for it."""
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


@pytest.fixture
def newer_folder(tmp_path):
    """Where the stand-in is, and what is linked with it."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    program = [MODULES + "/newer_program.c", "-L.", "-lnewer", "-Wl,-rpath," + str(tmp_path)]
    for argv in (["-shared", "-fPIC", "-o", "libnewer.so", MODULES + "/newer.c"],
                 ["-o", "newer", *program],
                 ["-shared", "-fPIC", "-Dmain=newer_main", "-o", "newer.so", *program]):
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-I" + include, *argv, "-lpq"],
                       cwd=tmp_path, check=True)
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


def test_password_changed(run, newer):
    """The idle sessions would hide it."""
    done = same(run, [*newer, "password"])
    assert len(done.events("session_close", reason="altered")) == 1


# ---- cancelling ------------------------------------------------------------------------


def test_stand_in_jumps(newer_folder):
    """As the compiler makes it of libpq: its functions come by us with our own address."""
    code = subprocess.check_output(
        ["objdump", "-d", "--no-show-raw-insn", newer_folder / "libnewer.so"], text=True)
    for jump, function in (("jmp", "PQfinish"), ("jmp", "PQstatus"), ("jmp", "PQsocket"),
                           ("jmp", "PQerrorMessage"), ("jmp", "PQconnectPoll")):
        assert re.search(r"\t%s .*<%s@plt>" % (jump, function), code), function


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
