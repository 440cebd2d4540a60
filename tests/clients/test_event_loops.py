# SPDX-License-Identifier: PostgreSQL
"""Clients with an event loop, each of which expects something else of PQsocket.

What they are shown is one socket, with one number, while a session is checked, and while they
wait in a full pool. So each is run with room for all, and with less than it has tasks.
"""
import os

import pytest

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
CLIENTS = {
    "ruby async": ["/usr/bin/ruby", "ruby_async.rb"],
    "aiopg": ["/usr/bin/python3", "aiopg_tasks.py"],
}
FULL = {"PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 1}
ENV = {"LANG": "C.UTF-8"}


def argv(client, *arguments):
    interpreter, program = CLIENTS[client]
    return [interpreter, os.path.join(PROGRAMS, program), *arguments]


@pytest.mark.parametrize("client", CLIENTS)
def test_one_after_another(same, client):
    """All but the first find an idle session."""
    _, pooled = same(argv(client, "1", "50"), at_most=2, env=ENV)
    assert pooled.stderr == ""


@pytest.mark.parametrize("client", CLIENTS)
def test_more_than_are_lent(same, client):
    _, pooled = same(argv(client, "20", "2"), env={**ENV, **FULL})
    assert len(pooled.events("acquire")) == 40
    assert pooled.events("wait"), "nobody had to wait"


def test_uvloop(same):
    """libuv takes an error on a descriptor for the end of it."""
    program = [CLIENTS["aiopg"][0], os.path.join(PROGRAMS, "psycopg3_asyncio.py"), "uvloop"]
    _, pooled = same(program, env=FULL, tidy=without_times)
    assert pooled.events("wait"), "nobody had to wait"


def without_times(text):
    return "" if text.strip().replace(".", "").isdigit() else text
