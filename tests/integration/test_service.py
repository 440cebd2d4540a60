# SPDX-License-Identifier: PostgreSQL
"""What only a service file says counts as much as what a program says itself, and the files
that it names are looked at as any others."""
import os
import subprocess

import pytest

from server import HBA

APP_NAME = "SHOW application_name"
DEBIAN = "/etc/postgresql-common"


def write(path, name, **options):
    path.write_text("[%s]\n%s" % (name, "".join("%s=%s\n" % o for o in options.items())))
    return str(path)


@pytest.fixture
def both(script, tmp_path):
    """both(server, options...): a program with the service s, pooled, and one without us."""
    def start(server=None, **options):
        env = {"PGSERVICEFILE": write(tmp_path / "services", "s", **options),
               "PGPASSWORD": None, "PGSSLMODE": None, "PGHOST": None}
        server = {"server": server} if server else {}
        return script(env=env, **server), script(pooled=False, env=env, **server)

    return start


def test_replication(script, new_server, tmp_path):
    own = new_server(hba="local replication all trust\n" + HBA)
    file = write(tmp_path / "services", "s", replication="database")
    s = script(server=own, user="postgres", database="app", env={"PGSERVICEFILE": file})
    pids = []
    for _ in range(2):
        pids.append(s.connect("a", "service=s"))
        assert s.exec("a", "IDENTIFY_SYSTEM").count("|") == 3
        s.finish("a")
    assert pids[0] != pids[1]
    assert [e["reason"] for e in s.events("release")] == ["not_pooled"] * 2


def test_what_is_resolved_is_what_counts(script, server, tmp_path):
    """As it is said, be it by a service or not, does not matter to libpq's own list."""
    env = server.env()
    file = write(tmp_path / "services", "s", host=env["PGHOST"], port=env["PGPORT"],
                 user="app", dbname="app", application_name="first")
    s = script(env={"PGSERVICEFILE": file})
    s.connect("a", "service=s application_name=second")
    assert s.exec("a", APP_NAME) == "second"
    s.finish("a")
    pid = s.connect("a", "service=s")
    assert s.exec("a", APP_NAME) == "first"
    s.finish("a")
    assert s.lease("service=s") == pid


@pytest.mark.parametrize("place", ["home", "folder", "compiled in"])
def test_where_services_are(script, server, tmp_path, place):
    """Changed in any place where libpq looks for them, it is another."""
    before, env = (), {"PGSERVICEFILE": None}
    name = "pg_service.conf"
    if place == "home":
        name, env["HOME"] = ".pg_service.conf", str(tmp_path)
    elif place == "folder":
        env["PGSYSCONFDIR"] = str(tmp_path)
    else:
        covered = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" %s && exec "$@"' % DEBIAN,
                   str(tmp_path)]
        if not os.path.isdir(DEBIAN) or subprocess.run(
                [*covered, "true"], capture_output=True, check=False).returncode:
            pytest.skip("takes root, a mount namespace and Debian's " + DEBIAN)
        before = covered
    tmp_path.chmod(0o755)
    options = {"host": server.env()["PGHOST"], "user": "app"}
    file = tmp_path / name
    write(file, "s", application_name="first", **options)
    s = script(env=env, before=before)
    first = s.connect("a", "service=s")
    assert s.exec("a", APP_NAME) == "first"
    s.finish("a")
    assert s.lease("service=s") == first
    write(file, "s", application_name="and another", **options)
    assert s.connect("a", "service=s") != first
    assert s.exec("a", APP_NAME) == "and another"
    s.finish("a")
    file.unlink()
    assert "not found" in s.refused("a", "service=s")


def test_passfile(both, server, tmp_path):
    path = tmp_path / "passwords"
    path.write_text("*:*:*:*:%s\n" % server.password)
    path.chmod(0o600)
    s, bare = both(host="127.0.0.1", passfile=path)
    right = s.lease("service=s")
    assert s.lease("service=s") == right
    path.write_text("*:*:*:*:wrong\n")
    assert s.refused("a", "service=s") == bare.refused("a", "service=s")


class Authority:
    """The server's certificate, which signed itself, as an authority that revokes."""

    def __init__(self, server, folder):
        self.certificate = os.path.join(server.data, "server.crt")
        self.key = os.path.join(server.data, "server.key")
        self.folder = folder
        (folder / "index").touch()
        (folder / "conf").write_text("[ca]\ndefault_ca=a\n[a]\ndatabase=%s\n" % (folder / "index"))

    def openssl(self, *words):
        return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True,
                              check=True).stdout.strip()

    def ca(self, *words):
        self.openssl("ca", "-config", self.folder / "conf", "-cert", self.certificate,
                     "-keyfile", self.key, "-md", "sha256", *words)

    def write_list(self, path):
        """As to which certificates are revoked."""
        self.ca("-gencrl", "-crldays", "2", "-out", path)

    def revoke(self):
        self.ca("-revoke", self.certificate)

    def hash(self):
        return self.openssl("x509", "-in", self.certificate, "-noout", "-issuer_hash")


@pytest.fixture
def authority(tls_server, tmp_path):
    (tmp_path / "authority").mkdir()
    return Authority(tls_server, tmp_path / "authority")


def test_root_certificate(both, tls_server, tmp_path, authority):
    path = tmp_path / "root"
    with open(authority.certificate, encoding="ascii") as file:
        path.write_text(file.read())
    s, bare = both(tls_server, host="127.0.0.1", password=tls_server.password,
                   sslmode="verify-ca", sslrootcert=path)
    first = s.lease("service=s")
    assert s.lease("service=s") == first
    authority.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-subj", "/CN=stranger", "-keyout", "/dev/null", "-out", path)
    error = bare.refused("a", "service=s")
    assert "certificate verify failed" in error
    assert s.refused("a", "service=s") == error
    path.unlink()
    assert s.refused("b", "service=s") == bare.refused("b", "service=s")


@pytest.mark.parametrize("by", ["service", "environment"])
@pytest.mark.parametrize("option", ["sslcrl", "sslcrldir"])
def test_revoked_certificate(both, script, tls_server, tmp_path, authority, option, by):
    folder = tmp_path / "revoked"
    folder.mkdir()
    path = folder / (authority.hash() + ".r0")
    authority.write_list(path)
    named = {option: path if option == "sslcrl" else folder}
    options = {"host": "127.0.0.1", "password": tls_server.password, "sslmode": "verify-ca",
               "sslrootcert": authority.certificate}
    if by == "service":
        s, bare = both(tls_server, **options, **named)
    else:
        s, bare = both(tls_server, **options)
        for each in (s, bare):
            each.do("setenv", "-", "PG%s\t%s" % (option.upper(), named[option]))
    first = s.lease("service=s")
    assert s.lease("service=s") == first
    authority.revoke()
    authority.write_list(path)
    error = bare.refused("a", "service=s")
    assert "certificate" in error
    assert s.refused("a", "service=s") == error
