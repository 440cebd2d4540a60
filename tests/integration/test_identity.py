# SPDX-License-Identifier: PostgreSQL
"""Which connects share sessions, and which must not."""
import os
import pwd

import pytest

from running import PYTHON, same
from server import HBA, wait_until

APP_NAME = "SHOW application_name"


def services(path, server, **names):
    """A service file: service=application_name, all of them to the server."""
    env = server.env()
    path.write_text("".join(
        "[%s]\nhost=%s\nport=%s\nuser=app\ndbname=app\napplication_name=%s\n" % (
            service, env["PGHOST"], env["PGPORT"], name) for service, name in names.items()))
    return str(path)


def passfile(path, *passwords):
    path.write_text("".join("*:*:*:*:%s\n" % p for p in passwords))
    path.chmod(0o600)
    return str(path)


def setenv(s, **variables):
    for name, value in variables.items():
        s.do("setenv", "-", r"%s	%s" % (name, r"\N" if value is None else value))


# -- equal -------------------------------------------------------------------------------


def same_thing(server):
    env = {**server.env(), "h": server.env()["PGHOST"], "p": server.port}
    quoted = env["h"].replace("/", "%2F")
    return [("connect", text.format(**env, q=quoted)) for text in (
        "", "user=app", "host={h} port={p} user=app dbname=app", "dbname=app host='{h}'",
        "  port =  {p}   dbname = 'app'", "user=postgres user=app",
        "postgresql://app@/app?host={h}&port={p}", "postgres://{q}:{p}/app?user=app",
        "postgresql://")] + [("params", "\t".join(words).format(**env)) for words in (
            ["0"], ["1", "dbname", "app"], ["0", "user", "app", "host", "{h}"],
            ["1", "user", "postgres", "dbname", "host={h} user=app"],
            ["1", "dbname", "postgresql://app@/postgres?host={h}", "dbname", "app"],
            ["0", "host", r"\N", "port", "", "user", "app"])] + [
                ("login", "\t".join(words).format(**env)) for words in (
                    [r"\N"] * 6, ["{h}", "{p}", r"\N", "app", "app", r"\N"], [""] * 6,
                    ["{h}", "", "", "postgresql:///app?port={p}", "", ""])]


def test_one_meaning_one_backend(script, server):
    s = script()
    pids = {}
    for command, words in same_thing(server):
        pids[command, words] = s.do(command, "a", words)
        s.finish("a")
    assert len(set(pids.values())) == 1, pids
    setenv(s, PGAPPNAME="named")
    first = s.lease()
    setenv(s, PGAPPNAME=None)
    assert s.lease("application_name=named") == first


# -- different ---------------------------------------------------------------------------

WORDS = [
    ("user=postgres", "SELECT session_user", "postgres"),
    ("dbname=postgres", "SELECT current_database()", "postgres"),
    ("application_name=x", APP_NAME, "x"),
    ("fallback_application_name=x", APP_NAME, "x"),
    ("options='-c work_mem=123kB'", "SHOW work_mem", "123kB"),
    ("client_encoding=LATIN1", "SHOW client_encoding", "LATIN1"),
    ("connect_timeout=7", "SELECT 1", "1"),
    ("keepalives_idle=7", "SELECT 1", "1"),
    ("target_session_attrs=read-write", "SELECT 1", "1"),
    ("password=unneeded", "SELECT 1", "1"),
]


@pytest.mark.parametrize("words, question, answer", WORDS)
def test_words_that_differ(script, words, question, answer):
    s = script()
    usual = s.lease()
    for conninfo, other in ((words, usual), ("", None)):
        pid = s.connect("a", conninfo)
        assert pid != other and (s.exec("a", question) == answer) >= bool(other)
        s.finish("a")
    assert pid == usual
    assert s.lease(words) != usual


VARIABLES = [
    ("PGUSER", "postgres", "SELECT session_user", "postgres"),
    ("PGDATABASE", "postgres", "SELECT current_database()", "postgres"),
    ("PGAPPNAME", "x", APP_NAME, "x"),
    ("PGOPTIONS", "-c work_mem=123kB", "SHOW work_mem", "123kB"),
    ("PGTZ", "Asia/Kathmandu", "SHOW TimeZone", "Asia/Kathmandu"),
    ("PGDATESTYLE", "German", "SELECT date '2000-12-31'", "31.12.2000"),
    ("PGGEQO", "off", "SHOW geqo", "off"),
    ("PGCLIENTENCODING", "LATIN1", "SHOW client_encoding", "LATIN1"),
    ("PGPASSWORD", "unneeded", "SELECT 1", "1"),
    ("PGCONNECT_TIMEOUT", "7", "SELECT 1", "1"),
    pytest.param("PGTARGETSESSIONATTRS", "read-write", "SELECT 1", "1",
                 marks=[pytest.mark.libpq(14), pytest.mark.server(since=14)]),
]


@pytest.mark.parametrize("name, value, question, answer", VARIABLES)
def test_variables_that_differ(script, server, name, value, question, answer):
    s = script()
    usual = s.lease()
    setenv(s, **{name: value})
    pid = s.connect("a")
    assert pid != usual and s.exec("a", question) == answer
    s.finish("a")
    assert s.lease() == pid
    setenv(s, **{name: server.env().get(name)})
    assert s.lease() == usual


# libpq has read its options by then. What was opened before connect(2) returned is not kept.
@pytest.mark.parametrize("when, opened", [("connect", 3), ("poll", 2)])
def test_a_variable_that_changes_during_the_first_connect(run, program, server, when, opened):
    env = {**server.env(), "PGAPPNAME": "before"}
    done = same(run, [program("changes"), "variable", "PGAPPNAME", "after", when], env=env)
    assert done.stdout == "before\nafter\nbefore\nbefore\n"
    assert len(done.events("session_open")) == opened


@pytest.mark.parametrize("when", ["connect", "poll"])
def test_a_passfile_that_changes_during_the_first_connect(run, program, server, tmp_path, when):
    file = passfile(tmp_path / "passwords", server.password)
    env = {**server.env(tcp=True), "PGPASSFILE": file, "PGAPPNAME": "it"}
    env.pop("PGPASSWORD", None)
    done = same(run, [program("changes"), "file", file, "*:*:*:*:wrong\n", when], env=env)
    assert done.stdout == "it\nno session\nit\nit\n"
    assert len(done.events("session_open")) == 2


def test_a_variable_of_no_consequence(script):
    s = script()
    usual = s.lease()
    setenv(s, PATH="/nowhere", EDITOR="ed", LANG="C")
    assert s.lease() == usual


def test_effective_user(script):
    if os.geteuid() != 0:
        pytest.skip("takes root")
    nobody = pwd.getpwnam("nobody").pw_uid
    # Nothing but the user may differ: no file that only one of the two can see.
    s = script(tcp=True, env={"PGSSLMODE": "disable", "KRB5CCNAME": "MEMORY:"})
    of_root = s.lease()
    assert s.do("seteuid", "-", nobody) == "0"
    of_nobody = s.lease()
    assert of_nobody != of_root and s.lease() == of_nobody
    assert s.do("seteuid", "-", 0) == "0"
    assert s.lease() == of_root


IDS = r"""
import ctypes, os, sys
pq, libc = ctypes.CDLL("libpq.so.5"), ctypes.CDLL("libc.so.6")
pq.PQconnectdb.restype = ctypes.c_void_p
for name in ("PQfinish", "PQbackendPID"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]

def lease():
    conn = pq.PQconnectdb(b"")
    pid = pq.PQbackendPID(conn)
    pq.PQfinish(conn)
    return pid

there, back = sys.argv[1:]
first = lease()
assert lease() == first
exec(there)
second = lease()
assert second != first and lease() == second, "lent what another user has opened"
if back:
    exec(back)
    assert lease() == first
"""
AS_OTHERS = {
    "seteuid": ("os.seteuid(65534)", "os.seteuid(0)"),
    "setegid": ("os.setegid(65534)", "os.setegid(0)"),
    "setreuid": ("os.setreuid(-1, 65534)", "os.setreuid(-1, 0)"),
    "setregid": ("os.setregid(-1, 65534)", "os.setregid(-1, 0)"),
    "setresuid": ("os.setresuid(-1, 65534, -1)", "os.setresuid(-1, 0, -1)"),
    "setresgid": ("os.setresgid(-1, 65534, -1)", "os.setresgid(-1, 0, -1)"),
    "setuid": ("os.setuid(65534)", ""),
    "setgid": ("os.setgid(65534)", ""),
    # Of one thread only, as file servers do it.
    "raw": ("syscall = ctypes.CDLL(None).syscall; "
            "assert syscall(117, -1, 65534, -1) == 0", "syscall(117, -1, 0, -1)"),
    # Not by its name, but by the C library's handle.
    "handle": ("assert libc.seteuid(65534) == 0", "libc.seteuid(0)"),
    # CLONE_NEWUSER; nobody is mapped yet. Then the map is written, by another process.
    "unshare": ("assert libc.unshare(0x10000000) == 0; assert os.geteuid() != 0", ""),
}


@pytest.mark.parametrize("way", AS_OTHERS)
def test_every_way_to_become_another(run, server, way):
    if os.geteuid() != 0:
        pytest.skip("takes root")
    # Nothing but the user may differ: no file that only one of the two can see.
    env = {**server.env(tcp=True), "PGSSLMODE": "disable", "KRB5CCNAME": "MEMORY:"}
    done = run([PYTHON, "-c", IDS, *AS_OTHERS[way]], env=env)
    assert done.returncode == 0, done


def test_a_module_that_is_bound_past_us_becomes_another(run, server, compiled):
    if os.geteuid() != 0:
        pytest.skip("takes root")
    module = compiled("#include <unistd.h>\nint become(int who) { return seteuid(who); }\n",
                      "-shared", "-fPIC")
    there = "m = ctypes.CDLL(%r, os.RTLD_DEEPBIND); assert m.become(65534) == 0" % str(module)
    env = {**server.env(tcp=True), "PGSSLMODE": "disable", "KRB5CCNAME": "MEMORY:"}
    done = run([PYTHON, "-c", IDS, there, "m.become(0)"], env=env)
    assert done.returncode == 0, done


# -- services ----------------------------------------------------------------------------


def test_services(script, server, tmp_path):
    file = services(tmp_path / "services", server, one="first", two="second")
    s = script(env={"PGSERVICEFILE": file})
    assert s.lease("service=one") != s.lease("service=two")
    for service, name in (("one", "first"), ("two", "second"), ("one", "first")):
        s.connect("a", "service=" + service)
        assert s.exec("a", APP_NAME) == name
        s.finish("a")
    kept = s.lease("service=one")
    assert s.lease("service=one") == kept
    setenv(s, PGSERVICE="two")
    s.connect("a")
    assert s.exec("a", APP_NAME) == "second"
    s.finish("a")


def test_service_file_changes(script, server, tmp_path):
    file = services(tmp_path / "services", server, one="before")
    s = script(env={"PGSERVICEFILE": file, "PGSERVICE": "one"})
    before = s.lease()
    assert s.lease() == before
    services(tmp_path / "services", server, one="afterwards")
    after = s.connect("a")
    assert after != before and s.exec("a", APP_NAME) == "afterwards"
    s.finish("a")
    other = services(tmp_path / "others", server, one="elsewhere")
    setenv(s, PGSERVICEFILE=other)
    s.connect("a")
    assert s.exec("a", APP_NAME) == "elsewhere"
    s.finish("a")
    os.unlink(other)
    bare = script(pooled=False, env={"PGSERVICEFILE": other, "PGSERVICE": "one"})
    assert s.refused("a") == bare.refused("a")


# -- passwords ---------------------------------------------------------------------------


def test_wrong_password_after_the_right_one(script, server):
    s, bare = script(tcp=True), script(pooled=False, tcp=True)
    right = s.lease()
    error = bare.refused("a", "password=wrong")
    assert "password authentication failed" in error
    for _ in range(2):
        assert s.refused("a", "password=wrong") == error
        s.finish("a")
    setenv(s, PGPASSWORD="wrong")
    assert s.refused("a") == error
    assert s.refused("b", "user=postgres").replace("postgres", "app") == error
    assert s.lease("password=" + server.password) == right
    setenv(s, PGPASSWORD=None)
    setenv(bare, PGPASSWORD=None)
    assert s.refused("c") == bare.refused("c")
    s.finish("a", "b", "c")
    assert server.password not in open(s.log_name, encoding="utf-8").read()


def test_password_changed_on_the_server(script, server):
    server.sql("CREATE ROLE changing LOGIN PASSWORD 'old'")
    s = script(tcp=True, user="changing", database="app")
    assert s.lease("password=old").isdigit()
    server.sql("ALTER ROLE changing PASSWORD 'new'")
    new = s.lease("password=new")
    assert s.lease("password=new") == new
    s.end()
    assert wait_until(lambda: not server.sessions("usename = 'changing'"))
    server.sql("DROP ROLE changing")


def test_passfile(script, server, tmp_path):
    path = tmp_path / "pass"
    env = {"PGPASSWORD": None, "PGPASSFILE": passfile(path, server.password)}
    s, bare = script(tcp=True, env=env), script(pooled=False, tcp=True, env=env)
    right = s.lease()
    assert s.lease() == right
    passfile(path, "wrong")
    assert s.refused("a") == bare.refused("a")
    passfile(path, server.password, "and one more")
    again = s.lease()
    assert s.lease() == again
    path.chmod(0o644)
    assert s.refused("b") == bare.refused("b")
    s.finish("a", "b")


def test_passfile_of_a_server_that_begins_to_ask(script, new_server, tmp_path):
    server = new_server(hba=HBA.replace("scram-sha-256", "trust"))
    path = tmp_path / "pass"
    env = {"PGPASSWORD": None, "PGPASSFILE": passfile(path, server.password)}
    s, bare = (script(tcp=True, env=env, server=server, pooled=p) for p in (True, False))
    unasked = s.lease()
    # It costs no session while nobody asks.
    passfile(path, "wrong")
    assert s.lease() == unasked
    with open(os.path.join(server.data, "pg_hba.conf"), "w", encoding="ascii") as hba:
        hba.write(HBA)
    server.sql("SELECT pg_reload_conf()")
    assert wait_until(lambda: not bare.do("connect", "x").isdigit())
    s.connect("a")
    assert s.refused("b") == bare.refused("y")
    passfile(path, server.password)
    # The first that is opened with a password tells that the file has changed, and is not kept.
    assert s.lease() != unasked
    right = s.lease()
    assert s.lease() == right
    passfile(path, "wrong")
    assert s.refused("c") == bare.refused("z")
    s.finish("a", "b", "c")


def test_relative_passfile(script, server, tmp_path):
    for folder, password in (("right", server.password), ("wrong", "wrong")):
        (tmp_path / folder).mkdir()
        passfile(tmp_path / folder / "pass", password)
    env = {"PGPASSWORD": None, "PGPASSFILE": "pass"}
    s = script(tcp=True, env=env)
    s.do("chdir", "-", tmp_path / "right")
    right = s.lease()
    s.do("chdir", "-", tmp_path / "wrong")
    assert "password authentication failed" in s.refused("a")
    s.do("chdir", "-", tmp_path / "right")
    assert s.lease() == right
    s.finish("a")


# -- passed through ----------------------------------------------------------------------


def test_replication_is_passed_through(script, new_server):
    own = new_server(hba="local replication all trust\n" + HBA)
    s = script(server=own, user="postgres", database="app")
    pids = []
    for value in ("database", "true", "on", "yes", "1", "1"):
        pids.append(s.connect("a", "replication=" + value))
        assert s.exec("a", "IDENTIFY_SYSTEM").count("|") == 3
        s.finish("a")
    assert len(set(pids)) == len(pids)
    assert [e["reason"] for e in s.events("release")] == ["not_pooled"] * len(pids)


@pytest.mark.parametrize("value", ["false", "off", "no", "0", "''"])
def test_no_replication_is_pooled(script, value):
    s = script()
    assert s.lease("replication=" + value) == s.lease("replication=" + value)
