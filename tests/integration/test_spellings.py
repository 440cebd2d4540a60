# SPDX-License-Identifier: PostgreSQL
"""What a connection says of itself, however it was asked for, is what libpq alone says."""
import pytest

SPELLINGS = [
    ("connect", ""),
    ("connect", "host={h} port={p} user=app dbname=app"),
    ("connect", "host='{h}' port = {p}  user='app'"),
    ("connect", "postgresql://"),
    ("connect", "postgresql://app@/app?host={h}&port={p}"),
    ("connect", "postgresql://{q}:{p}/app"),
    ("connect", "postgres://app:{w}@127.0.0.1:{p}/app?application_name=a%20b%27c"),
    ("connect", "postgresql://127.0.0.1:{p},127.0.0.1:{p}/app?password={w}"),
    ("connect", "host='' user='' dbname='' port=''"),
    ("connect", "user='' dbname=app"),
    ("connect", "host=/nonexistent host={h}"),
    ("connect", "application_name=one application_name=two"),
    ("connect", r"application_name='it\'s a \\ and a blank'"),
    ("connect", "application_name=''"),
    ("connect", "dbname=postgresql://app@/app"),
    ("connect", "password=unneeded"),
    ("connect", "password=''"),
    ("connect", "host=127.0.0.1 password={w} sslmode=disable"),
    ("connect", "host=localhost hostaddr=127.0.0.1 password={w}"),
    ("connect", "host=127.0.0.1,{h} port={p},{p} password={w}"),
    ("connect", "host=/nonexistent,{h}"),
    ("connect", "host=/nonexistent,{h} port=1,{p}"),
    ("connect", "host={h},127.0.0.1 target_session_attrs=read-write password={w}"),
    ("connect", "host={h},{h},{h} port=1,2"),
    ("connect", "service=one"),
    ("connect", "service=one application_name=mine dbname=postgres"),
    ("connect", "service=two connect_timeout=9"),
    ("connect", "postgresql:///?service=one"),
    ("connect", "service=none"),
    ("connect", "options='-c work_mem=123kB -c geqo=off'"),
    ("connect", "client_encoding=auto"),
    ("connect", "client_encoding=LATIN1"),
    ("connect", "client_encoding=nonsense"),
    ("connect", "fallback_application_name=fallback"),
    ("connect", "connect_timeout=3 keepalives=0 tcp_user_timeout=1000"),
    ("connect", "passfile=/nonexistent sslcert=/nonexistent"),
    ("connect", "dbname=no_such_database"),
    ("connect", "user=no_such_role"),
    ("connect", "nonsense=1"),
    ("connect", "host"),
    ("connect", "host='unclosed"),
    ("connect", "sslmode=nonsense"),
    ("connect", "target_session_attrs=standby"),
    ("params", ["0"]),
    ("params", ["1", "dbname", "postgresql://app@/app?host={h}&application_name=uri"]),
    ("params", ["1", "host", "/nonexistent", "dbname", "host={h} port={p}", "user", "app"]),
    ("params", ["1", "dbname", "user=postgres application_name=x", "user", "app"]),
    ("params", ["0", "dbname", "host={h} dbname=app"]),
    ("params", ["1", "dbname", "app", "dbname", "postgresql://nobody@/nowhere"]),
    ("params", ["1", "dbname", "", "dbname", "dbname=app application_name=x"]),
    ("params", ["1", "dbname", r"\N", "dbname", "dbname=app application_name=x"]),
    ("params", ["1", "dbname", "user=app dbname=''"]),
    ("params", ["1", "dbname", "application_name=x", "dbname", "application_name=y"]),
    ("params", ["1", "host", r"\N", "user", "", "dbname", "app"]),
    ("params", ["0", "user", "postgres", "user", "app", "user", ""]),
    ("params", ["0", "service", "two", "user", "postgres"]),
    ("params", ["0", "application_name", r"quo'te \ back"]),
    ("params", ["0", "nonsense", "1"]),
    ("login", [r"\N"] * 6),
    ("login", ["{h}", "{p}", "-c work_mem=123kB", "app", "app", "unneeded"]),
    ("login", ["", "", "", "app", "", ""]),
    ("login", [r"\N", r"\N", r"\N", "postgresql:///app?application_name=uri", "postgres",
               r"\N"]),
    ("login", ["{h}", r"\N", r"\N", "host=/nonexistent dbname=app", r"\N", r"\N"]),
    ("login", ["127.0.0.1", "{p}", r"\N", "app", "app", "{w}"]),
]

ENVIRONMENTS = {
    "usual": {},
    "service": {"PGSERVICE": "two"},
    "empty": {"PGHOST": "", "PGUSER": "", "PGDATABASE": ""},
    "full": {"PGAPPNAME": "from the environment", "PGPASSWORD": "unneeded", "PGSSLMODE": "prefer",
             "PGOPTIONS": "-c geqo=off", "PGCONNECT_TIMEOUT": "8", "PGCLIENTENCODING": "UTF8"},
    "hosts": {"PGHOST": "/nonexistent,{h}", "PGPORT": "1,{p}"},
    "hostaddr": {"PGHOSTADDR": "127.0.0.1", "PGPASSWORD": "{w}"},
    "uri as a name": {"PGDATABASE": "postgresql://app@/app"},
}
SERVICES = """
[one]
host={h}
port={p}
user=app
dbname=app
application_name=first
[two]
user=app
connect_timeout=5
application_name=second
"""


@pytest.fixture
def places(server):
    host = server.env()["PGHOST"]
    return {"h": host, "q": host.replace("/", "%2F"), "p": server.port, "w": server.password}


def asked(s, spelling, places, times):
    """What the program gets for one spelling: the error or everything it can ask, each time."""
    command, words = spelling
    text = words if isinstance(words, str) else "\t".join(words)
    answers = []
    for _ in range(times):
        outcome = s.do(command, "a", text.format(**places))
        answers.append("connected" if outcome.isdigit() else outcome)
        answers.append(s.do("info", "a"))
        s.finish("a")
    return answers


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_as_bare(script, places, name, tmp_path):
    file = tmp_path / "services"
    file.write_text(SERVICES.format(**places))
    env = {k: v.format(**places) for k, v in ENVIRONMENTS[name].items()}
    env.update(PGSERVICEFILE=str(file), PGCONNECT_TIMEOUT=env.get("PGCONNECT_TIMEOUT"))
    bare = script(pooled=False, env=env)
    pooled = script(env=env)
    connected = 0
    for spelling in SPELLINGS:
        expected = asked(bare, spelling, places, 1)
        assert asked(pooled, spelling, places, 2) == expected * 2, spelling
        connected += expected[0] == "connected"
    acquired = len({e["backend"] for e in pooled.events("acquire")})
    assert connected > 10 and acquired <= connected, "nothing was lent twice"
    assert (bare.end().stderr, pooled.end().stderr) == ("", "")
