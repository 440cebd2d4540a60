# SPDX-License-Identifier: PostgreSQL
"""What the keeper tells a service manager (NOTIFY_SOCKET)."""
import os
import socket
import subprocess

import pytest

from conftest import built
from keeper import SECONDS, Keeper
from server import wait_until


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """(its socket, NOTIFY_SOCKET)"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = str(tmp_path / "notify") if request.param == "path" else "@pqpool-notify-%d" % os.getpid()
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(SECONDS)
        yield listener, name


@pytest.fixture
def keep(memory):
    """keep(name, argument...): a keeper with this NOTIFY_SOCKET, which nobody has waited for."""
    started = []

    def start(name, *args):
        keeper = Keeper(built("pqpool"), memory, {"NOTIFY_SOCKET": name})
        keeper.process = subprocess.Popen([keeper.tool, "keep", "--socket", keeper.path, *args],
                                          env=keeper.env, stdin=subprocess.DEVNULL)
        started.append(keeper)
        return keeper

    yield start
    for each in started:
        each.__exit__()


def test_ready_once_programs_can_connect(keep, manager):
    listener, name = manager
    keeper = keep(name)
    assert listener.recv(100) == b"READY=1"
    assert keeper.serves()
    assert keeper.end() == 0
    assert listener.recv(100) == b"STOPPING=1"


def test_in_the_background_it_is_another_service(keep, manager):
    """Whose manager that is: a keeper that a program starts says nothing to it."""
    listener, name = manager
    keeper = keep(name, "--daemon", "--quiet-exit", "0.2")
    assert keeper.process.wait(SECONDS) == 0
    assert wait_until(lambda: not os.path.exists(keeper.path))  # asking would keep it
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(100)


@pytest.mark.parametrize("name", ["/nonexistent/notify", "vsock:2:1", "@" + 200 * "x", ""])
def test_serves_without_a_manager(keep, name):
    keeper = keep(name)
    assert wait_until(keeper.serves)
    assert len(keeper.show("keeper")) == 1 and keeper.end() == 0
