# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's own programs: the same output with the pool as without."""
import os
import re

import pytest


def without_times(text):
    return re.sub(r"(?m)^(latency|tps|initial connection|average connection).*", "", text)


@pytest.mark.parametrize("clients, threads, at_most", [(1, 1, 2), (3, 2, 4)])
def test_pgbench(same, tool, tmp_path, clients, threads, at_most):
    """It counts its connects, and reads the scale by one more."""
    script = tmp_path / "script"
    script.write_text("SELECT name FROM fruit WHERE id = 3;\n")
    argv = [tool("pgbench"), "-n", "-C", "-c", str(clients), "-j", str(threads), "-t", "30",
            "-f", str(script)]
    bare, _ = same(argv, at_most=at_most, tidy=without_times)
    assert "%d/%d" % (30 * clients, 30 * clients) in bare.stdout


def test_pgbench_stays_connected(same, tool, tmp_path):
    """Without -C there is nothing to save, and nothing is lost."""
    script = tmp_path / "script"
    script.write_text("SELECT name FROM fruit WHERE id = 3;\n")
    bare, pooled = same([tool("pgbench"), "-n", "-c", "3", "-t", "20", "-f", str(script)],
                        tidy=without_times)
    assert bare.returncode == 0 and pooled.begun <= bare.begun


@pytest.fixture
def dump(tool):
    """pg_dump, with the same key in its output each time."""
    return [tool("pg_dump"), "--restrict-key=key"]


def test_pg_dump(same, dump):
    bare, _ = same(dump)
    assert bare.returncode == 0 and "CREATE VIEW public.apples" in bare.stdout


def test_pg_dump_in_parallel(run, server, dump, tool, tmp_path):
    folders = {pooled: str(tmp_path / str(pooled)) for pooled in (False, True)}
    dumps = []
    for pooled, folder in folders.items():
        marker = server.marker()
        done = run(dump[:1] + ["-j3", "-Fd", "-f", folder], pooled=pooled)
        # Each process of it connects once, so that there is nothing to lend.
        assert server.connections_since(marker) == 4
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        restored = run([tool("pg_restore"), "--restrict-key=key", "-f", "-", folder],
                       pooled=False).stdout
        dumps.append(re.sub(r"(?m)^-- Started on.*|^-- Completed on.*", "", restored))
    assert dumps[0] == dumps[1] and "apple 7" in dumps[0]


def test_pg_isready(same, tool):
    same([tool("pg_isready")])
    same([tool("pg_isready"), "-p", "1"])


@pytest.mark.parametrize("argv", [
    ["vacuumdb", "--all", "--analyze-only", "--jobs=2"],
    ["reindexdb", "--all", "--concurrently"],
    ["clusterdb", "--all"],
    ["pg_dumpall", "--globals-only", "--restrict-key=key"],
    ["createdb", "app"],
], ids=lambda argv: argv[0])
def test_all_databases(same, server, tool, argv):
    """One process that goes from database to database."""
    bare, _ = same([tool(argv[0])] + argv[1:], env=server.env("postgres"))
    assert bare.returncode == (argv[0] == "createdb"), bare
