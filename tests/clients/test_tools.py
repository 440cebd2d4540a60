# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's own programs: the same output with the pool as without."""
import os
import re

import pytest


def without_times(text):
    return re.sub(r"(?m)^(latency|tps|initial connection|average connection).*", "", text)


def test_pgbench(same, tool, tmp_path):
    script = tmp_path / "script"
    script.write_text("SELECT name FROM fruit WHERE id = 3;\n")
    argv = [tool("pgbench"), "-n", "-C", "-c", "3", "-j", "2", "-t", "20", "-f", str(script)]
    bare, pooled = same(argv, at_most=6, tidy=without_times)
    assert "60/60" in bare.stdout
    assert len(pooled.events("acquire")) >= 60


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
        done = run(dump[:1] + ["-j2", "-Fd", "-f", folder], pooled=pooled)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        restored = run([tool("pg_restore"), "--restrict-key=key", "-f", "-", folder],
                       pooled=False).stdout
        dumps.append(re.sub(r"(?m)^-- Started on.*|^-- Completed on.*", "", restored))
    assert dumps[0] == dumps[1] and "apple 7" in dumps[0]


def test_pg_isready(same, tool):
    same([tool("pg_isready")])
    same([tool("pg_isready"), "-p", "1"])
