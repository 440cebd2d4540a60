# SPDX-License-Identifier: PostgreSQL
"""What a libpq has that is newer than the one we are built with; by a stand-in for it."""
import os
import re
import subprocess

import pytest

from running import same

MODULES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs/modules")


@pytest.fixture
def newer(tmp_path):
    """A program linked with the stand-in."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    for argv in (["-shared", "-fPIC", "-o", "libnewer.so", MODULES + "/newer.c"],
                 ["-o", "newer", MODULES + "/newer_program.c", "-L.", "-lnewer",
                  "-Wl,-rpath," + str(tmp_path)]):
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-I" + include, *argv, "-lpq"],
                       cwd=tmp_path, check=True)
    return str(tmp_path / "newer")


def test_calls(run, newer):
    done = same(run, [newer, "use"])
    assert len(done.events("acquire")) == 2 and len(done.events("session_open")) == 1


def test_finished_before(run, newer):
    done = run([newer, "stale"])
    assert (done.stdout, done.returncode) == ("0 0 0 0 0 0\n", 0)
    assert {re.search(r"PQ\w+", e["msg"]).group() for e in done.events("misuse")} == {
        "PQclosePrepared", "PQsendClosePrepared", "PQclosePortal", "PQsendClosePortal",
        "PQsendPipelineSync", "PQcancelCreate"}


def test_cancel_object_costs_its_session(run, newer):
    """It is kept beyond the lease, and does not cancel the next one's query."""
    done = run([newer, "cancel"])
    assert "finished" in done.stdout and done.returncode == 0, done
    assert done.events("release", reason="cancel_object")
    assert len(done.events("session_open")) == 2


def test_password_changed(run, newer):
    """The idle sessions would hide it."""
    done = same(run, [newer, "password"])
    assert len(done.events("session_close", reason="altered")) == 1
