# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's own test drivers, pg_regress and isolationtester, find the same as bare.

What they run is in regress/ and isolation/, with what they must find in expected/.
"""
import glob
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def driver(server, tool):
    """driver("regress/pg_regress"): the path of an installed test driver."""
    pgxs = subprocess.check_output([tool("pg_config"), "--pgxs"], text=True).strip()
    return lambda name: os.path.join(os.path.dirname(pgxs), "../test", name)


@pytest.fixture
def driven(same, server, driver, tmp_path):
    """Runs a driver over all that one of our folders has, as the superuser."""
    def check(path, folder, suffix, *options):
        names = [os.path.basename(n).removesuffix(suffix)
                 for n in sorted(glob.glob(os.path.join(HERE, folder, "*", "*" + suffix)))]
        argv = [driver(path), "--bindir=" + server.bindir, *options,
                "--inputdir=" + os.path.join(HERE, folder), "--outputdir=" + str(tmp_path), *names]
        bare, pooled = same(argv, tidy=lambda text: re.sub(r" +\d+ ms", "", text),
                            env=server.env("postgres"), cwd=str(tmp_path),
                            check_leases=False)
        differences = tmp_path / "regression.diffs"
        assert bare.returncode == 0, differences.read_text() if differences.exists() else bare
        assert "All %d tests passed" % len(names) in bare.stdout
        return bare, pooled

    return check


def test_pg_regress(driven, server):
    """It runs psql for every file, and those connect anew by their \\c."""
    try:
        bare, pooled = driven("regress/pg_regress", "regress", ".sql", "--dbname=regress_pool")
    finally:
        # A keeper has sessions of it, which only those who share have closed for this.
        server.sql("DROP DATABASE IF EXISTS regress_pool WITH (FORCE)")
    assert pooled.begun < bare.begun


def test_isolation(driven):
    """Its programs connect once for each session of a file, at one place, work with all of them,
    and finish them in an exit handler."""
    bare, pooled = driven("isolation/pg_isolation_regress", "isolation", ".spec", "--use-existing",
                          "--dbname=app")
    assert pooled.begun == bare.begun
    assert len(pooled.events("acquire", program="isolationtester")) == 6
    assert len(pooled.events("kept", kind="released_by_exit")) == 6


@pytest.mark.parametrize("name", ["waiting", "notify"])
def test_isolationtester(same, driver, name):
    with open(os.path.join(HERE, "isolation/specs", name + ".spec"), encoding="utf-8") as spec:
        bare, _ = same([driver("isolation/isolationtester"), "dbname=app"], stdin=spec.read())
    with open(os.path.join(HERE, "isolation/expected", name + ".out"), encoding="utf-8") as known:
        assert (bare.returncode, bare.stdout) == (0, known.read())
