# SPDX-License-Identifier: PostgreSQL
"""Clients in many languages: the same output pooled as bare, from a few server sessions.

Each program of tests/clients/programs connects, works and disconnects 30 times or so, in
threads or forks, too, where that is its language's habit.
"""
import glob
import importlib.util
import os
import shutil
from dataclasses import dataclass, field

import pytest

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
INTERPRETERS = {".py": "/usr/bin/python3", ".pl": "/usr/bin/perl", ".php": "/usr/bin/php",
                ".rb": "/usr/bin/ruby", ".js": shutil.which("node")}


@dataclass
class Client:
    program: str  # a script, or the name of a built program
    arguments: list = field(default_factory=list)
    at_most: int = 2  # server sessions when pooled
    needs: str = ""  # a fixture that gives its environment
    env: dict = field(default_factory=dict)


CTYPES, IN_C = {"PSYCOPG_IMPL": "python"}, {"PSYCOPG_IMPL": "c"}

# In threads: as many sessions as threads. In forks: those of the parent, which no child
# may use, and one or two of each child.
CLIENTS = {
    "psycopg2": Client("psycopg2_cycles.py"),
    "psycopg2, with statements": Client("psycopg2_contexts.py"),
    "psycopg2, out of scope": Client("psycopg2_garbage.py"),
    "psycopg2, many uses": Client("psycopg2_many_uses.py"),
    "psycopg2, threads": Client("psycopg2_threads.py", at_most=4),
    "psycopg2, forks": Client("psycopg2_forks.py", at_most=4),
    "psycopg2, in steps": Client("psycopg2_async.py"),
    "psycopg2, its own pool": Client("psycopg2_pool.py"),
    "psycopg 3": Client("psycopg3.py", ["cycles", "100"], env=CTYPES),
    "psycopg 3, threads": Client("psycopg3.py", ["threads"], at_most=4, env=CTYPES),
    "psycopg 3, forks": Client("psycopg3.py", ["forks"], at_most=4, env=CTYPES),
    "DBD::Pg": Client("dbd_pg.pl", ["cycles"]),
    "DBD::Pg, forks": Client("dbd_pg.pl", ["forks"], at_most=4),
    "PHP pgsql": Client("pgsql.php", ["cycles"]),
    "PHP pgsql, in steps": Client("pgsql.php", ["async"]),
    "PHP pgsql, forks": Client("pgsql.php", ["forks"], at_most=4),
    "PHP PDO": Client("pdo.php", ["cycles"]),
    "PHP PDO, forks": Client("pdo.php", ["forks"], at_most=4),
    "ruby-pg": Client("ruby_pg.rb", ["cycles"]),
    "ruby-pg, threads": Client("ruby_pg.rb", ["threads"], at_most=4),
    "ruby-pg, cancelling": Client("ruby_pg.rb", ["cancel"]),
    "ruby-pg, forks": Client("ruby_pg.rb", ["forks"], at_most=4),
    "node libpq": Client("node_libpq.js", ["cycles"], needs="node"),
    "node libpq, in parallel": Client("node_libpq.js", ["parallel"], at_most=4, needs="node"),
    "libpqxx": Client("pqxx", ["cycles"]),
    "libpqxx, threads": Client("pqxx", ["threads"], at_most=4),
    "ECPG": Client("embedded", ["cycles"]),
    "ECPG, threads": Client("embedded", ["threads"], at_most=4),
    "ODBC": Client("odbc", ["cycles"], needs="odbc"),
    "ODBC, threads": Client("odbc", ["threads"], at_most=4, needs="odbc"),
}
if importlib.util.find_spec("psycopg_c"):  # Debian 12 has no package of it
    CLIENTS |= {
        "psycopg 3, in C": Client("psycopg3.py", ["cycles", "100"], env=IN_C),
        "psycopg 3, in C, threads": Client("psycopg3.py", ["threads"], at_most=4, env=IN_C),
        "psycopg 3, in C, forks": Client("psycopg3.py", ["forks"], at_most=4, env=IN_C),
    }


@pytest.fixture
def node(build):
    """Where node finds libpq."""
    for done in glob.glob("%s/tests/clients/libpq@*/done" % build):
        return {"NODE_PATH": os.path.join(os.path.dirname(done), "node_modules")}
    return pytest.skip("npm could not install libpq; see build/tests/clients/libpq*/log")


@pytest.fixture
def odbc(server, tmp_path):
    """A data source named app, which is the common server."""
    words = server.env()
    ini = tmp_path / "odbc.ini"
    ini.write_text("[app]\nDriver = PostgreSQL Unicode\nServername = %s\nPort = %s\n"
                   "Username = %s\nDatabase = %s\n" % (
                       words["PGHOST"], words["PGPORT"], words["PGUSER"], words["PGDATABASE"]))
    # Said, because the driver asks setlocale() for it, which does not bear threads; what
    # it then sets at times costs the session, lest PQescapeString be wrong.
    return {"ODBCINI": str(ini), "PGCLIENTENCODING": "UTF8"}


def argv_of(client, build):
    extension = os.path.splitext(client.program)[1]
    if not extension:
        return [os.path.join(build, "tests/clients", client.program)] + client.arguments
    return [INTERPRETERS[extension], os.path.join(PROGRAMS, client.program)] + client.arguments


@pytest.mark.parametrize("name", CLIENTS)
def test_client(same, build, request, name):
    client = CLIENTS[name]
    env = request.getfixturevalue(client.needs) if client.needs else client.env
    bare, _ = same(argv_of(client, build), at_most=client.at_most, env=env)
    assert (bare.returncode, bare.stderr) == (0, ""), bare


def test_ruby_waits_its_turn(same, build, server):
    """It makes a socket object of whatever it is told to watch."""
    bare, pooled = same(argv_of(Client("ruby_pg.rb", ["crowd"]), build),
                        env={"PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0})
    assert (bare.returncode, bare.stderr) == (0, ""), bare
    assert pooled.events("wait") and not pooled.events("timeout")
    assert len(pooled.events("acquire")) == 48


def test_ruby_is_refused(run, build, server):
    env = {"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "300ms"}
    done = run(argv_of(Client("ruby_pg.rb", ["refused"]), build), env=env)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("PG::ConnectionBad\nconnection to "), done
    assert "pqpool: no session became free" in done.stdout and '"hello"' in done.stdout


def test_node_is_refused_at_once(run, build, node):
    """libuv has threads, which have nothing to do with libpq."""
    done = run(argv_of(Client("node_libpq.js", ["greedy"]), build),
               env={**node, "PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0})
    assert done.returncode == 0 and done.stdout.endswith("at once\n"), done
    assert "no session can become free: self-deadlock" in done.stdout


def test_php_keeps_its_own(same, build, server):
    """A persistent connection of PHP's is a lease that is held to the end."""
    marker = server.marker()
    bare, pooled = same(argv_of(Client("pgsql.php", ["persistent"]), build))
    assert bare.returncode == 0 and bare.stdout.endswith("29\n")
    assert server.connections_since(marker) == 2
    assert len(pooled.events("acquire")) == 1
    assert len(pooled.events("kept", kind="released_by_exit")) == 1


def test_isql(same, odbc):
    bare, _ = same(["/usr/bin/isql", "app", "-b"], env=odbc,
                   stdin="SELECT count(*) FROM fruit\nSELECT 1/0\nSELECT 1/1\n")
    assert "| 20" in bare.stdout, bare
