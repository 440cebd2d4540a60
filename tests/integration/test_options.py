# SPDX-License-Identifier: PostgreSQL
"""The options of a connect as each libpq merges them: those of 10 to 18 know more and more of
them, and fill some in by themselves."""
import os
import subprocess

import pytest

VERSIONS = ["10", "11", "13", "15", "16", "17", "18"]


@pytest.fixture
def by(script, libpq_of):
    """by(version, ...): a script with that libpq."""
    def start(version, env=None, **more):
        s = script(env={"LD_LIBRARY_PATH": libpq_of(version), **(env or {})}, **more)
        s.lease()
        with open("/proc/%d/maps" % s.process.pid, encoding="ascii") as maps:
            assert os.path.realpath(libpq_of(version)) in maps.read()
        return s

    return start


def service(path, **options):
    path.write_text("[s]\n" + "".join("%s=%s\n" % option for option in options.items()))
    return {"PGSERVICEFILE": str(path)}


@pytest.mark.parametrize("version", VERSIONS)
def test_service(by, script, server, tmp_path, version):
    """Merged into one list, whatever the version: what it says, and the file it names."""
    passwords, others = tmp_path / "passwords", tmp_path / "others"
    for path in (passwords, others):
        path.write_text("*:*:*:*:%s\n" % server.password)
        path.chmod(0o600)
    env = service(tmp_path / "services", host="127.0.0.1", passfile=passwords,
                  application_name="of the service")
    s = by(version, {**env, "PGHOST": None, "PGPASSWORD": None, "PGHOSTADDR": "127.0.0.1",
                     "PGPASSFILE": str(others)})
    first = s.connect("a", "service=s")
    assert s.exec("a", "SHOW application_name") == "of the service"
    s.finish("a")
    assert s.lease("service=s") == first
    passwords.write_text("*:*:*:*:wrong\n")
    assert "password authentication failed" in s.refused("a", "service=s")


@pytest.mark.parametrize("version", VERSIONS)
def test_service_that_is_not_pooled(by, tmp_path, version):
    s = by(version, service(tmp_path / "services", replication="database"))
    # The server has no rule for it; the connect that fails is the program's own.
    s.refused("a", "service=s")
    assert not s.events("session_open_failed")


@pytest.mark.parametrize("version, option, value", [
    ("16", "load_balance_hosts", "random"), ("18", "load_balance_hosts", "random"),
    ("18", "oauth_issuer", "https://example.org")])
@pytest.mark.parametrize("where", ["service", "PGSERVICE", "string"])
def test_exceptions(by, tmp_path, version, option, value, where):
    """What asks for something of its own at each connect, wherever that is said."""
    env = service(tmp_path / "services", **{option: value})
    s = by(version, env)
    if where == "PGSERVICE":
        s.do("setenv", "-", "PGSERVICE\ts")
    words = {"service": "service=s", "string": "%s=%s" % (option, value)}.get(where, "")
    assert s.lease(words) != s.lease(words)
    assert [e.get("reason") for e in s.events("release")][-2:] == ["not_pooled"] * 2


@pytest.mark.parametrize("version", ["13", "15", "16", "17", "18"])
@pytest.mark.parametrize("words", ["", "application_name=x", "sslmode=allow"])
def test_connected_again_by_what_it_says(by, version, words):
    """As psql's \\c does: what libpq has filled in is not what the program said."""
    s = by(version)
    pid = s.connect("a", words)
    said = [line.split("=", 1) for line in s.do("info", "a").splitlines()]
    pairs = [word for pair in said if pair[0].islower() and pair[1] != "NULL"
             and not pair[0] in ("needs",) for word in pair]
    s.finish("a")
    assert s.do("params", "b", "\t".join(["0", *pairs])) == pid
    s.finish("b")


@pytest.fixture
def root(tls_server, tmp_path):
    """The server's own certificate among the system's roots: in a file, and in a folder."""
    with open(os.path.join(tls_server.data, "server.crt"), encoding="ascii") as file:
        text = file.read()
    name = subprocess.run(["openssl", "x509", "-noout", "-hash"], input=text, text=True,
                          capture_output=True, check=True).stdout.strip()
    (tmp_path / "roots").mkdir()
    path = tmp_path / "roots" / (name + ".0")
    path.write_text(text)
    return path


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("where", ["service", "string", "PGSSLROOTCERT"])
def test_roots_of_the_system(by, tls_server, root, tmp_path, variable, where):
    """Changed on disk, what trusted them is not lent."""
    env = {**service(tmp_path / "services", sslrootcert="system"), "SSL_CERT_FILE": None,
           "SSL_CERT_DIR": None, variable: root if variable == "SSL_CERT_FILE" else root.parent,
           "PGHOST": "localhost", "PGHOSTADDR": "127.0.0.1", "PGSSLMODE": None}
    env = {name: value if value is None else str(value) for name, value in env.items()}
    s = by("18", env, server=tls_server, tcp=True)
    if where == "PGSSLROOTCERT":
        s.do("setenv", "-", "PGSSLROOTCERT\tsystem")
    words = {"service": "service=s", "string": "sslrootcert=system"}.get(where, "")
    first = s.lease(words)
    assert s.lease(words) == first
    root.write_text("# nobody is trusted any more\n")
    assert "SSL error" in s.refused("a", words)
