# SPDX-License-Identifier: PostgreSQL
"""Idle sessions make room where the server or a role has none left, in whatever language the
server says so. That is known by SQLSTATE 53300.

The first session may be closed for a reason of its own: before libpq 14 a first connect over
TLS asks for the home directory, which was not known before."""
import os
import subprocess
import tempfile

import pytest

from server import Server
from tls import TlsServer

LANGUAGES = {"en": "C", "de": "de_DE.UTF-8"}
# As the German server has it: that it does speak German is part of the test.
GERMAN = {"role": "zu viele Verbindungen", "database": "zu viele Verbindungen",
          "server": "Verbindungen", "clients": "zu viele Verbindungen"}
# All that there is, the superuser's too: said before the authentication, so that under TLS
# nothing but the text is seen of it.
WAYS = [(limit, way) for limit in GERMAN for way in ("unix", "tcp", "tls")
        if (limit, way) != ("clients", "tls")]


@pytest.fixture(scope="module")
def locales():
    """A folder with the German locale, which the server's user may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8",
                        os.path.join(folder, LANGUAGES["de"])], check=True)
        yield folder


@pytest.fixture(scope="module", params=LANGUAGES)
def full(request, locales):
    """A server with room for four ordinary sessions, whose messages are in a language."""
    if request.param == "de" and Server.default_programs:
        pytest.skip("only the machine's own server speaks German")
    with TlsServer(settings={"lc_messages": LANGUAGES[request.param], "max_connections": "7"},
                   environ={"LOCPATH": locales}) as server:
        server.language = request.param
        server.sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 1 PASSWORD '%s'" % server.password)
        server.sql("CREATE DATABASE narrow OWNER app CONNECTION LIMIT 1")
        yield server


def target(limit):
    """What is said in the conninfo, beside the way in."""
    return {"role": "user=limited", "database": "dbname=narrow", "server": "",
            "clients": "user=postgres"}[limit]


def sessions_until_full(limit):
    return {"server": 4, "clients": 7}.get(limit, 1)


@pytest.mark.parametrize("limit, way", WAYS)
def test_idle_sessions_make_room(script, full, limit, way):
    env = full.ways()[way]
    count = sessions_until_full(limit)
    bare = script(pooled=False, server=full, env=env)
    for i in range(count):
        bare.connect("a%d" % i, target(limit))
    refused = bare.refused("b", target(limit))
    assert (full.language == "en") != (GERMAN[limit] in refused), refused
    bare.end()
    s = script(server=full, env=env)
    s.lease("application_name=first")
    for i in range(count):
        s.connect("a%d" % i, target(limit) + " application_name=a%d" % i)
    s.finish(*("a%d" % i for i in range(count)))
    pid = s.connect("b", target(limit) + " application_name=b")
    assert s.events("session_close", reason="make_room")
    assert s.exec("b", "SELECT pg_backend_pid()") == pid
    s.finish("b")
    s.end()


@pytest.mark.parametrize("limit, way", WAYS)
def test_idle_sessions_make_room_for_a_connect_in_steps(script, full, limit, way):
    s = script(server=full, env=full.ways()[way], name="stepwise")
    s.do("start", "first")
    s.do("drive", "first")
    s.do("finish", "first")
    names = ["a%d" % i for i in range(sessions_until_full(limit))]
    for name in names:
        s.do("start", name, target(limit) + " application_name=" + name)
        assert s.do("drive", name).strip() == name + " OK"
    for name in names:
        s.do("finish", name)
    s.do("start", "b", target(limit) + " application_name=b")
    assert s.do("drive", "b").strip() == "b OK"
    assert s.events("session_close", reason="make_room")
    s.do("finish", "b")
    s.end()


@pytest.mark.parametrize("way", ["unix", "tcp", "tls"])
def test_other_failures_close_nothing(script, full, way):
    env = full.ways()[way]
    s = script(server=full, env=env)
    s.lease()
    pid = s.lease()
    bare = script(pooled=False, server=full, env=env)
    for conninfo in ("dbname='too many clients'", "user=nobody password=wrong"):
        assert s.refused("b", conninfo) == bare.refused("b", conninfo)
        s.finish("b")
    assert not s.events("session_close", reason="make_room") and s.lease() == pid
    bare.end()
    s.end()
