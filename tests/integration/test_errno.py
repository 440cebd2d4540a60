# SPDX-License-Identifier: PostgreSQL
"""errno after a call that failed is what libpq left; some programs print nothing else."""
import socket

import pytest

from running import same


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


FAILURES = {
    "no socket": "host=/nowhere",
    "nobody listens": "host=127.0.0.1 port={port}",
    "two hosts": "host=/nowhere,127.0.0.1 port=1,{port}",
    "no such database": "dbname=no_such_database",
    "wrong password": "host=127.0.0.1 password=wrong",
    "not to be parsed": "no_such_option=1",
    "refused options": "host=a,b port=1,2,3",
    "not pooled": "host=/nowhere replication=true",
    "not pooled, in vain": "replication=true dbname=no_such_database",
    "no such service": "service=no_such_service",
    "bad sslmode": "host=/nowhere sslmode=none_such",
    "lost": "lost",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_as_bare(run, program, failure):
    conninfo = FAILURES[failure].format(port=unused_port())
    # Of a timeout, which we put in, libpq leaves a trace, too.
    same(run, [program("errnos"), conninfo], env={"PQPOOL_CONNECT_TIMEOUT": "0"})
