# SPDX-License-Identifier: PostgreSQL
"""A connection's start is recorded and played into another one of the same process: libpq, as
far as a program can ask it, finds what it found in the real one."""
import os
import subprocess

import pytest
from server import bare_environ


def plays(build, conninfo, libpq=None):
    env = bare_environ()
    if libpq:
        env["LD_LIBRARY_PATH"] = libpq
    done = subprocess.run([os.path.join(build, "tests/shim/start_record"), conninfo], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", [
    {"tcp": False}, {"tcp": True}, {"tcp": True, "sslmode": "prefer"},
    {"tcp": True, "sslmode": "disable", "host": "localhost"}])
def test_this_libpq(build, server, words):
    plays(build, server.dsn(**words))


@pytest.mark.parametrize("version", ["13", "17", "18"])
def test_other_libpqs(build, server, libpq_of, version):
    plays(build, server.dsn(), libpq_of(version))
    plays(build, server.dsn(tcp=True), libpq_of(version))


def test_the_newest_protocol(build, server, server_at, libpq_of):
    """Accepted by a server that has it, and refused by one that does not."""
    for each in (server_at("18"), server):
        plays(build, each.dsn(max_protocol_version="3.2"), libpq_of("18"))
