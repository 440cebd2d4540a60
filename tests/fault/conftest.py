# SPDX-License-Identifier: PostgreSQL
"""Real faults, each proven to have happened before it is looked at what the program saw.

network      a network between the program and its server (network.py)
far_server   a server at the other end of it, for the module
account      the module's server `own`, with a role tester and its database of that name
script, ...  as in the integration tests
"""
import os

import pytest

from integration.conftest import (  # noqa: F401
    compiled, libpq, module, script, stepwise, tls_server)
from network import ADMITTING, SETTINGS, Network, Unavailable
from server import Server


def made_or_skipped(made, what):
    """Yields it, set up; where the machine cannot, skips the test, but not in CI."""
    try:
        made.__enter__()
    except (Unavailable, OSError) as why:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("this machine makes no %s: %s" % (what, why))
    yield made
    made.__exit__()


@pytest.fixture
def network():
    yield from made_or_skipped(Network(), "network")


@pytest.fixture(scope="module")
def far_server():
    with Server(settings=SETTINGS, hba=ADMITTING) as server:
        yield server


@pytest.fixture
def account(own):
    """A role and its database, which the test may take away."""
    own.sql("CREATE ROLE tester LOGIN PASSWORD 'first'")
    own.sql("CREATE DATABASE tester OWNER tester")
    yield own
    own.terminate("usename = 'tester'")
    own.sql("DROP DATABASE IF EXISTS tester WITH (FORCE)")
    own.sql("DROP ROLE IF EXISTS tester")
