# SPDX-License-Identifier: PostgreSQL
"""The tarball, and the Debian packages, built, installed, used and purged in roots of Debian 12 and 13."""
import functools
import hashlib
import os
import re
import subprocess
import tarfile

import pytest

import house

DEBIAN = os.path.join(house.ROOT, "tests/debian.sh")
RELEASES = ("12", "13")


@functools.cache
def tarball():
    """Its path from the top, which is /src in the roots."""
    house.output("make", "-s", "--no-print-directory", "dist", "BUILD=" + folder())
    found, = house.output("sh", "-c", "ls %s/pqpool-*.tar.xz" % folder()).split()
    return found


def folder():
    return os.path.relpath(house.BUILD, house.ROOT)


def digest(path):
    with open(house.path(path), "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def test_a_commit_makes_one_tarball():
    """With the page of reports, which is in no commit."""
    before = digest(tarball())
    os.utime(os.path.join(house.BUILD, "report/page.html"))
    tarball.cache_clear()
    assert digest(tarball()) == before
    with tarfile.open(house.path(tarball())) as whole:
        members = whole.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert names >= {"tools/report/page/page.html", "tools/debian/control", "Makefile"}
    assert len({member.mtime for member in members}) == 1 and not {m.uid for m in members} - {0}


def in_root(release, *command):
    """What a command says in a root of that Debian; the test is not run where there is none."""
    done = subprocess.run([DEBIAN, "--release", release, *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    missing = re.search("^not run: (.*)\n\\Z", done.stdout, re.M)
    if missing and os.environ.get("CI") != "true":
        pytest.skip(missing[1])
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


@functools.cache
def built(release):
    """What the build says."""
    return in_root(release, "tests/package/build.sh", "build", tarball())


@pytest.mark.limit(900)
@pytest.mark.parametrize("release", RELEASES)
def test_builds(release):
    """Without network and npm, without a warning, and with the tests that need no server."""
    said = built(release)
    assert "warning:" not in said, said
    assert len(re.findall(r"\[  PASSED  \]", said)) > 10


@pytest.mark.limit(120)
@pytest.mark.parametrize("release", RELEASES)
def test_is_clean(release):
    built(release)
    assert in_root(release, "tests/package/build.sh", "lint") == ""


@pytest.mark.limit(600)
def test_is_the_same_if_built_again():
    built(RELEASES[-1])
    in_root(RELEASES[-1], "tests/package/build.sh", "again", tarball())


@pytest.mark.limit(300)
@pytest.mark.parametrize("release", RELEASES)
def test_purge_leaves_nothing(release):
    built(release)
    said = in_root(release, "--fresh", "tests/package/install.sh", "%s/debian-%s/deb" % (folder(), release))
    acquired, sessions = re.search(r"^pqpool: (\d+) acquired, (\d+) sessions$", said, re.M).groups()
    assert int(acquired) >= 50 and int(sessions) <= 2, said
