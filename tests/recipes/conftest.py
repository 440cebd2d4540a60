# SPDX-License-Identifier: PostgreSQL
"""The recipes of tools/recipes: their lines, taken out of the pages, with Debian's services as they
are installed, under systemd, in a machine of its own (tests/machine.py).

machine   as it is installed, with nothing running, and is so again after the test
page      page("php-fpm", {"old": "new"}): a page with words exchanged (page.py)
version   PHP's
"""
import os

import pytest

from conftest import BUILD
from machine import Machine, Unavailable
from recipes.page import Page


@pytest.fixture(scope="session")
def machines(server):
    try:
        with Machine(server, BUILD) as machine:
            yield machine
    except Unavailable as why:
        if os.environ.get("CI") == "true":
            pytest.fail(str(why), pytrace=False)
        pytest.skip(str(why))


@pytest.fixture
def machine(machines):
    """As it is installed, with nothing running."""
    yield machines
    machines.stop()
    machines.undo()
    machines.run("systemctl daemon-reload")


@pytest.fixture
def version(machine):
    """PHP's."""
    return machine.run("ls /etc/php").strip()


@pytest.fixture
def page(version):
    """page("php-fpm", {"old": "new"}): a page with words exchanged."""
    return lambda name, exchanged=None: Page(name, {"8.2": version, **(exchanged or {})})
