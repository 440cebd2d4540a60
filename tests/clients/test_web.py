# SPDX-License-Identifier: PostgreSQL
"""A web server with more workers than the server is to have sessions, each of which connects for
each request."""
import tempfile

import pytest

from conftest import built
from keeper import Keeper
from server import bare_environ, wait_until
from web import Web

LIMIT = 4
REQUESTS = 600
PAGE = """<?php
$c = pg_connect('host=%s port=%s user=app password=%s dbname=app');
if (!$c) { http_response_code(503); exit; }
echo pg_fetch_result(pg_query($c, 'SELECT 6 * 7 FROM pg_sleep(0.003)'), 0, 0);
pg_close($c);
"""


@pytest.fixture
def folder(server):
    """One of the server's user, who runs all of it here."""
    def make():
        made.append(tempfile.TemporaryDirectory(prefix="pqpool-web-", dir="/tmp"))
        server.account.own(made[-1].name)
        return made[-1].name

    made = []
    yield make
    for each in made:
        each.cleanup()


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_workers_keep_to_the_limit(server, folder, shim, tcp):
    """Twelve workers of php-fpm, and more requests at once than they are. All are answered; when
    they are over no session is idle for longer than it may."""
    where = server.env(tcp=tcp)
    page = PAGE % (where["PGHOST"], where["PGPORT"], server.password)
    limits = {"PQPOOL_SIZE": str(LIMIT), "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "60",
              "PQPOOL_IDLE_TIMEOUT": "1"}
    marker = server.marker()
    with Keeper(built("pqpool"), folder(), limits, user=server.account.popen) as keeper:
        env = {**bare_environ(), "LD_PRELOAD": shim, "PQPOOL_SHARE": keeper.path,
               "PQPOOL_LOG": "stderr", "PQPOOL_LOG_LEVEL": "off"}
        with Web(built("tests"), folder(), server.account, env, page) as web:
            assert web.get() == "42", web.log()
            done = web.load(REQUESTS, clients=24)
            assert (done.answered, done.failed) == (REQUESTS, 0), web.log()
            assert 1 < server.most_at_once(marker) <= LIMIT
            assert wait_until(lambda: not server.sessions())
