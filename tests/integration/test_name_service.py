# SPDX-License-Identifier: PostgreSQL
"""The password database, which may be slow, and may be in PostgreSQL itself: it is asked no
more than by libpq alone, and never where libpq would not ask."""
import os
import subprocess

import pytest

COVER = 'mount --bind "$0" /etc/nsswitch.conf && exec "$@"'


@pytest.fixture
def covered(tmp_path, module):
    """What stands before a program that is to have our name service, and its variables."""
    tmp_path.chmod(0o755)
    module("nss", "libnss_pqtest.so.2", "-lpq")
    switch = tmp_path / "nsswitch.conf"
    switch.write_text("passwd: pqtest files\ngroup: files\nhosts: files\n")
    before = ["unshare", "-m", "sh", "-c", COVER, str(switch)]
    tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip("takes root and a mount namespace: " + tried.stderr.strip())
    asked = tmp_path / "asked"
    asked.touch()
    return before, {"LD_LIBRARY_PATH": str(tmp_path), "NSS_ASKED": str(asked)}, asked


NO_HOME = {"HOME": None}
CASES = {
    "user and home": ({}, {}, 0),
    "no user": ({"PGUSER": None, "PGDATABASE": "postgres"}, {}, 1),
    "no home": (NO_HOME, {}, 1),
    "empty home": ({"HOME": ""}, {}, 1),
    "no home, a passfile": ({**NO_HOME, "PGPASSFILE": "/none"}, {}, 0),
    "no home, a password": (NO_HOME, {"tcp": True}, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_asked_as_often_as_bare(script, covered, case):
    before, variables, asked = covered
    env, where, expected = CASES[case]
    count = {}
    for pooled in (False, True):
        s = script(pooled, env={**variables, **env}, before=before, **where)
        count[pooled] = []
        for _ in range(3):
            s.do("connect", "a", "")
            s.finish("a")
            count[pooled].append(asked.stat().st_size)
        s.end()
        asked.write_text("")
    assert count[False] == [expected, 2 * expected, 3 * expected], "not as libpq is known"
    # What is known need not be asked again.
    assert count[True][0] <= expected and count[True][2] <= expected


def test_home_that_only_tls_asks_for(script, covered, tls_server):
    """Whether libpq asks for it depends on the server: once it did, so may we."""
    before, variables, asked = covered
    s = script(env={**variables, **NO_HOME, "PGSSLMODE": "require"}, before=before,
               server=tls_server, tcp=True)
    pids = [s.lease() for _ in range(4)]
    assert pids[0] != pids[1] == pids[2] == pids[3]
    assert len(s.events("release", reason="outdated")) == 1
    assert asked.stat().st_size <= 4


@pytest.mark.parametrize("env", [{}, NO_HOME], ids=["home", "no home"])
@pytest.mark.parametrize("way", [{}, {"tcp": True}], ids=["unix", "tcp"])
def test_a_database_of_users(run, covered, server, env, way):
    """Asked by a program that knows nothing of PostgreSQL, within a lock that it must not be
    asked in again."""
    before, variables, asked = covered
    conninfo = "user=app dbname=app host=%s port=%s password=%s" % (
        "127.0.0.1" if way else server.env()["PGHOST"], server.port, server.password)
    env = {**variables, **env, "NSS_CONNINFO": conninfo}
    owned = os.path.join(os.path.dirname(asked), "owned")
    with open(owned, "w", encoding="ascii"):
        pass
    os.chown(owned, 54321, 0)
    for argv in (["id", "-un"], ["ls", "-l", owned]):
        bare, pooled = (run([*before, *argv], pooled=p, env=env, timeout=20)
                        for p in (False, True))
        assert pooled.stdout == bare.stdout and "app_of_the_server" in bare.stdout
        assert (pooled.stderr, pooled.returncode) == (bare.stderr, 0)
