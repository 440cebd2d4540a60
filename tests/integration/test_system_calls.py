# SPDX-License-Identifier: PostgreSQL
"""How many system calls a lease makes, and that it is spared none that it needs."""
import collections
import re

import pytest

# A lease whose answer came late needs no ping: so few that it hardly counts how many of them do.
FEW, MANY = 10, 400
# The statement, its answer, and the wait between the two.
OF_THE_STATEMENT = {"sendto": 1, "poll": 1, "recvfrom": 1}
FAST = {"PQPOOL_PRE_PING": "auto", "PQPOOL_RESET": "auto"}
WAYS = {"fast": (FAST, 5), "defaults": ({}, 10)}


def calls(run, program, tmp_path, times, shown, env, pooled):
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-o", str(trace), program("leases"), str(times), *shown]
    done = run(argv, env={**env, "PQPOOL_LOG_LEVEL": "warning"}, pooled=pooled)
    assert done.returncode == 0, done
    return collections.Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))


def of_a_lease(run, program, tmp_path, shown, env, pooled=True):
    few, many = (calls(run, program, tmp_path, n, shown, env, pooled) for n in (FEW, MANY))
    found = {name: (many[name] - few[name]) / (MANY - FEW) for name in many}
    return {name: count for name, count in found.items() if abs(count) >= 0.02}


@pytest.mark.parametrize("shown", [[], ["shown"]], ids=["plain", "shown"])
@pytest.mark.parametrize("way", WAYS)
def test_a_lease_makes_few(run, program, tmp_path, way, shown):
    """The descriptor is looked at once and heard at once; by default the reset is sent, and its
    answer waited for, or it has come and there is a ping."""
    env, most = WAYS[way]
    found = of_a_lease(run, program, tmp_path, shown, env)
    for name, count in OF_THE_STATEMENT.items():
        assert found.get(name, 0) >= count, found
    assert sum(found.values()) <= most + 0.1, found


def test_a_lease_over_tcp_sets_no_options(run, program, server, tmp_path):
    """What is set for an idle session is set once."""
    found = of_a_lease(run, program, tmp_path, [], server.env(tcp=True))
    assert not {"setsockopt", "getsockopt"} & set(found), found
    assert calls(run, program, tmp_path, FEW, [], server.env(tcp=True), True)["setsockopt"]


def test_the_calls_are_counted(run, program, tmp_path):
    found = of_a_lease(run, program, tmp_path, [], {}, pooled=False)
    assert found["connect"] == found["close"] == 1, found


def test_a_program_that_connects_once_makes_few(run, program, tmp_path):
    """Who finishes asks for the program's path no second time, and who has nothing to say need
    not shield the program from signals; a table of 4,096 descriptors is dear to make and to copy."""
    found = calls(run, program, tmp_path, 1, [], {}, True)
    assert found["connect"] == 1 and found["readlink"] == 1, found
    assert found["rt_sigpending"] == 0, found
    moved = re.findall(r"F_DUPFD_CLOEXEC, (\d+)\)", (tmp_path / "trace").read_text())
    assert moved and all(int(number) < 1024 for number in moved), moved
