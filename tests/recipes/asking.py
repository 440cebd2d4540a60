# SPDX-License-Identifier: PostgreSQL
"""What is asked of a service, and of pqpool about it."""
import re

from server import wait_until

# Bare, each has a session of its own.
REQUESTS = 6
SET_UP, SEE = "Set up", "See that it works"


def ask(machine, url, clients=1, requests=REQUESTS):
    """The sessions that answered so many requests, so many of them at once."""
    url = "http://localhost" + url
    assert wait_until(lambda: machine.attempt("curl -sf " + url)[0] == 0, 20), machine.journal()
    said = machine.run("curl -sf --parallel --parallel-max %d '%s?[1-%d]' 2>/dev/null" % (
        clients, url, requests))
    pids = said.split()
    assert len(pids) == requests and all(pid.isdigit() for pid in pids), said
    return set(pids)


def seen(text, program):
    """The rows of `pqpool top` of a program: (in use, idle, limit)."""
    rows = re.findall(r"(?m)^ *\d+ +\d+ +%s +(\d+) +(\d+) +\d+ +(\d+)" % program, text)
    return [tuple(map(int, row)) for row in rows]
