# SPDX-License-Identifier: PostgreSQL
"""Whatever call of the shim's or of libpq's fails: the program goes on as it would without the shim.

Each run has another point, that is a call and a way in which it fails (tests/injection.py). In
`make check` these are all of a few scenes; with PQPOOL_INJECT=full (make inject) those of all.
"""
import collections
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import logfmt
from injection import LIBPQ_MEMORY, LIBPQS, NEVER, OUR_MEMORY, OURS, Points
from server import bare_environ, wait_until

FULL = os.environ.get("PQPOOL_INJECT") == "full"
FILL = {"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
SCENES = {
    "once": {},
    "steps": {},
    "line": FILL,
    "wait": FILL,
    "state": {},
    "auto": {"scene": "state", "PQPOOL_RESET": "auto"},
    "rollback": {"scene": "state", "PQPOOL_RESET": "rollback"},
    "cancel": {},
    "fork": {},
    "exec": {},
    "leak": {},
    "threads": {},
    "rotate": {"scene": "many", "PQPOOL_LOG_MAX_SIZE": "1kB"},
    "prewarm": {"scene": "once", "PQPOOL_PREWARM": "2"},
    "tcp": {"scene": "once"},
    "tcp_steps": {"scene": "steps"},
    "share": {"scene": "once"},
    "share_steps": {"scene": "steps"},
    "share_line": {"scene": "line", **FILL},
}
WHOSE = {"ours": OURS, "libpqs": LIBPQS}
SHOWN = SCENES if FULL else ["once"]

# What libpq itself says where it cannot have memory, a socket or a byte.
LIBPQ_SAYS = re.compile(
    r"error: (.*(out of memory.*|Memory allocation failure|pointer is NULL)|no cancel object"
    r"|connection to server .* failed: .*|server closed the connection unexpectedly"
    r"|no connection to the server|(could not|select\(\) failed|PQcancel\(\)).*|nothing is said)")
# Some calls of libpq's go through the shim's socket() and fcntl(), and a connection that is reset while
# the shim looks at it is broken; a full pool has nothing to show without a socket, and a cancel object
# needs memory.
WE_SAY = re.compile(
    r"error: (connection pointer is NULL|no cancel object|no connection to the server"
    r"|.*server closed the connection unexpectedly|.*could not (create|set) socket.*"
    r"|.*could not receive data.*|.*failed: (Too many open files|Device or resource busy)"
    r"|.*pqpool: (could not wait for a session|out of memory).*)")
STARTING = re.compile(r"pqpool: (out of memory; this program runs unpooled"
                      r"|cannot open the log .*; warnings go to stderr instead)\n")
REPORT_PID = re.compile(r"(?m)^==\d+==")


@pytest.fixture(scope="module")
def inject(tmp_path_factory):
    path = tmp_path_factory.mktemp("inject") / "inject.so"
    source = os.path.join(os.path.dirname(os.path.dirname(__file__)), "programs/modules/inject.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", path, source], check=True)
    return path


def kept_sessions(outcome):
    """As far as the log tells; those that were kept to the end."""
    return len(outcome.events("session_open")) - len(
        [event for event in outcome.events("session_close") if event["reason"] != "exit"])


def more_descriptors(outcome, clean):
    """How many more may be open in the end: of a session of a pool of its own, because a file could not
    be looked at; what cannot be looked at itself may be another's by now, and is not closed."""
    return (max(0, kept_sessions(outcome) - kept_sessions(clean))
            + (outcome.lost() > 0 or outcome.call.startswith("fstat")))


def complaints(outcome, clean, said):
    """What a bare program would not have seen."""
    wrong = []
    if outcome.status != clean.status:
        wrong.append("status %d" % outcome.status)
    lines, usual = outcome.before(), clean.before()
    if len(lines) != len(usual) or any(line != other and not said.fullmatch(line)
                                       for line, other in zip(lines, usual)):
        wrong.append("it printed %s" % lines)
    unpooled = "runs unpooled" in outcome.stderr
    after = outcome.after()[:-1]
    if unpooled and after[-1:] == ["not pooled"]:
        after[-1] = "pooled"
    if after != clean.after()[:-1]:
        wrong.append("then it printed %s" % outcome.after())
    elif after and outcome.descriptors() > clean.descriptors() + more_descriptors(outcome, clean):
        wrong.append("descriptors: %s" % outcome.descriptors())
    text = STARTING.sub("", outcome.stderr)
    if text and not (unpooled or REPORT_PID.sub("", text).startswith(
            REPORT_PID.sub("", clean.stderr).split("\n", 1)[0] or "none")):
        wrong.append("stderr: %s" % text)
    if len(logfmt.unended(outcome.log)) > outcome.lost():
        wrong.append("not ended in the log: %s" % logfmt.unended(outcome.log))
    return ["%s: %s" % (outcome.call, each) for each in wrong]


def most_at_once(log, of):
    """The most sessions at one time of each application name."""
    whose, here, most = {}, collections.Counter(), collections.Counter()
    for pid, event, rest in re.findall(
            r"(?m)\[(\d+)\] LOG:  (connection authorized|disconnection): (.*)", log):
        if event == "disconnection":
            here[whose.pop(pid, None)] -= 1
            continue
        found = re.search(r"application_name=(\S+)", rest)
        whose[pid] = found.group(1) if found else None
        here[whose[pid]] += 1
        most[whose[pid]] = max(most[whose[pid]], here[whose[pid]])
    return {name: count for name, count in most.items() if name and name.startswith(of)}


def check_points(points, said, server, fails=1):
    """All points, until a run passes in which nothing is left to fail; how many there were."""
    begin = server.marker()
    clean = points.fail(NEVER)
    assert clean.status == 0 and clean.lines[-2] == "pooled", clean
    wrong, count = [], 0
    with ThreadPoolExecutor(os.cpu_count() if FULL else 1) as pool:
        for outcome in pool.map(lambda n: points.fail(n, fails), range(clean.counted)):
            count += outcome.failed > 0
            wrong += complaints(outcome, clean, said)
    last = clean.counted
    while (outcome := points.fail(last, fails)).failed:
        wrong += complaints(outcome, clean, said)
        count += 1
        last += 1
    assert not wrong, "%d of %d points:\n%s" % (len(wrong), count, "\n".join(wrong[:40]))
    assert points.shares or wait_until(lambda: not server.sessions())
    if points.env.get("PQPOOL_SIZE") == "1" and fails == 1:
        # One more is one that the failure broke, as long as its backend ends.
        beyond = {name: most for name, most in most_at_once(server.log_text(begin), "n").items()
                  if most > 2}
        assert not beyond
    return count


@pytest.fixture
def scene(server, program, shim, inject, memory, request):
    """scene(name, whose): the points of it."""
    def make(name, whose):
        more = dict(SCENES[name])
        argv = [program("unlucky"), more.pop("scene", name)]
        env = {**bare_environ(), **server.env(tcp=name.startswith("tcp")),
               "LD_PRELOAD": "%s:%s" % (shim, inject), **more}
        points = Points(str(memory), argv, env, whose)
        points.shares = name.startswith("share")
        if points.shares:
            env["PQPOOL_SHARE"] = request.getfixturevalue("keep")(SIZE=3).path
        return points

    return make


@pytest.mark.limit(900)
@pytest.mark.parametrize("whose", WHOSE)
@pytest.mark.parametrize("name", SHOWN)
def test_one_call_fails(scene, server, name, whose):
    points = scene(name, WHOSE[whose])
    count = check_points(points, WE_SAY if whose == "ours" else LIBPQ_SAYS, server)
    print("%s, %s: %d points" % (name, whose, count))
    assert count > 100


@pytest.mark.limit(900)
@pytest.mark.parametrize("name", SHOWN)
def test_memory_is_out_from_a_point_on(scene, server, name):
    points = scene(name, OUR_MEMORY | LIBPQ_MEMORY)
    count = check_points(points, LIBPQ_SAYS, server, NEVER)
    print("%s, memory: %d points" % (name, count))
    assert count > 50
