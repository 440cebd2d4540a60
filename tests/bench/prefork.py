# SPDX-License-Identifier: PostgreSQL
"""Requests to nginx and php-fpm, each of whose workers connects for each request."""
import contextlib
import os
import tempfile

from bouncer import Bouncer
from keeper import Keeper
from measure import Table
from server import bare_environ
from web import Web
from whole import WAYS

WORKERS, CLIENTS, REQUESTS = 12, 24, 2000
LIMITS = {"PQPOOL_SIZE": "4", "PQPOOL_MAX_OVERFLOW": "0"}
PAGE = """<?php
$c = pg_connect('host=%s port=%s user=app password=%s dbname=app sslmode=disable');
echo pg_fetch_result(pg_query($c, 'SELECT 6 * 7'), 0, 0);
pg_close($c);
"""


def _folder(stack, account):
    path = stack.enter_context(tempfile.TemporaryDirectory(prefix="pqpool-bench-", dir="/tmp"))
    account.own(path)
    return path


def _webs(bench, stack, way):
    """name -> (the web server, what runs for it)."""
    server = bench.server
    account = server.account
    keeper = stack.enter_context(Keeper(os.path.join(bench.build, "pqpool"),
                                        _folder(stack, account), LIMITS, user=account.popen))
    bouncer = stack.enter_context(Bouncer(server, way, "session"))
    direct = bench.env(way)
    pooled = {"LD_PRELOAD": bench.shim, "PQPOOL_LOG_LEVEL": "off"}
    found = {}
    for name, where, env, process in (
            ("bare", direct, {}, None),
            ("pool in each worker", direct, pooled, None),
            ("keeper, 4 sessions", direct, {**pooled, "PQPOOL_SHARE": keeper.path}, keeper.process),
            ("PgBouncer, session", bouncer.env(direct), {}, bouncer.process)):
        page = PAGE % (where["PGHOST"], where["PGPORT"], server.password)
        web = stack.enter_context(Web(os.path.join(bench.build, "tests"), _folder(stack, account),
                                      account, {**bare_environ(), **env}, page, WORKERS))
        web.load(REQUESTS // 4, CLIENTS)
        found[name] = web, [server.process, *web.started, *([process] if process else [])]
    return found


def _load(web):
    done = web.load(REQUESTS, CLIENTS)
    assert (done.answered, done.failed) == (REQUESTS, 0), web.log()
    return done.per_second


def prefork(bench):
    table = Table("prefork", "%d workers of php-fpm that connect for each request" % WORKERS,
                  "requests/s", reference="pool in each worker")
    for way in ("unix", "tcp"):
        with contextlib.ExitStack() as stack:
            webs = _webs(bench, stack, way)
            found = bench.rounds.run(
                {name: lambda web=web: _load(web) for name, (web, _) in webs.items()},
                lambda name, webs=webs: {str(p.pid): p.pid for p in webs[name][1]})
            for name, rounds in found.items():
                table.add(name, WAYS[way], [rate for rate, _ in rounds])
    return [table]
