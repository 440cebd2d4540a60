# SPDX-License-Identifier: PostgreSQL
"""Threads that are cancelled in the middle of a connect or a finish."""
import subprocess

import pytest

from running import read_log
from server import wait_until


@pytest.mark.parametrize("limit", [1, 3])
def test_no_slot_and_no_lock_is_lost(run, program, server, limit):
    """Each gets what it waits for, or nothing, and all is given back."""
    run.before.setdefault(server, set())
    env = run._environ(True, {"PQPOOL_SIZE": limit, "PQPOOL_MAX_OVERFLOW": 0,
                              "PQPOOL_LOG_LEVEL": "debug"}, server)
    with subprocess.Popen([program("cancels"), str(limit)], env=env, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            assert wait_until(lambda: len([e for e in read_log(env["PQPOOL_LOG"])
                                           if e["event"] == "wait"]) == 8)
            out, err = process.communicate("\n", timeout=30)
        finally:
            process.kill()
    log = read_log(env["PQPOOL_LOG"])
    assert (process.returncode, err) == (0, "")
    assert out == ("8 cancelled while they waited\n" + "7\n" * limit + "160 cancelled while they "
                   "worked\n" + "7\n" * limit)
    acquired = [e["lease"] for e in log if e["event"] == "acquire"]
    assert sorted(acquired) == sorted(e["lease"] for e in log if e["event"] == "release")
    assert not [e for e in log if e["event"] == "timeout"]
