# SPDX-License-Identifier: PostgreSQL
"""What every test can ask for.

server      a private server for the whole run
new_server  makes further ones, for tests that break theirs
server_at   server_at("15.8"): one of that version for the whole run (versions.py)
server_of   server_of("15.8"): the programs of such a server, for new_server(programs=...)
libpq_of    libpq_of("18"): the folder of that libpq, for LD_LIBRARY_PATH
build       the build folder (PQPOOL_BUILD, default: build)
shim        path of libpqpool.so
program     program("name"): path of the built tests/programs/name.c
memory      a folder in memory, where status pages may be
run         run(argv, pooled=True, env={...}, ...): runs a program against the server
common_keeper  a keeper for the whole run, which --share has programs share through

After each test that ran a pooled program, two things must hold: every acquire in
its log has its release or its leak line, and no session is left on the server that
was not there before.
"""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest

import cmocka
import running
import versions
from keeper import Keeper
from server import Server, bindir, major_version

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.join(ROOT, os.environ.get("PQPOOL_BUILD", "build"))
MEMORY = "/dev/shm"  # where status pages may be
LIMIT_SECONDS = 120

# The stress programs are built for the sanitizers only: make asan, make tsan. The soak takes what
# make soak says. What times is for make stress.
collect_ignore_glob = [*([] if os.environ.get("PQPOOL_SANITIZED") else ["stress/*"]),
                       *([] if os.environ.get("SOAK_SECONDS") else ["soak/*"]),
                       *([] if os.environ.get("PQPOOL_STRESS") else ["page/test_large.py"])]


@pytest.fixture(scope="session")
def server():
    with Server() as common:
        yield common


@pytest.fixture
def new_server():
    """new_server(settings={...}, hba=...): a further server, ended with the test."""
    made = []

    def make(**options):
        made.append(Server(**options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def _version(function):
    """One of versions.py's functions, which skips the test where the version cannot be had;
    where everything must be there, it fails."""
    def get(version):
        try:
            return function(version)
        except versions.Unavailable as why:
            if os.environ.get("CI") == "true":
                pytest.fail(str(why), pytrace=False)
            pytest.skip(str(why))

    return get


@pytest.fixture(scope="session")
def server_of():
    return _version(versions.server_of)


@pytest.fixture(scope="session")
def libpq_of():
    return _version(versions.libpq_of)


@pytest.fixture(scope="session")
def server_at(server_of):
    started = {}

    def get(version):
        name = versions.name_of(version)
        if name not in started:
            started[name] = Server(programs=server_of(name))
            started[name].start()
        return started[name]

    yield get
    for each in started.values():
        each.stop()


@pytest.fixture(scope="session")
def build():
    return BUILD


def built(path):
    """The path below the build folder, which `make` must have made."""
    whole = os.path.join(BUILD, path)
    if not os.path.exists(whole):
        pytest.fail("%s is not built: run make check" % os.path.relpath(whole, ROOT),
                    pytrace=False)
    return whole


@pytest.fixture(scope="session")
def shim():
    return built("libpqpool.so")


@pytest.fixture(scope="session")
def program():
    return lambda name: built(os.path.join("tests/programs", name))


@pytest.fixture(scope="session")
def common_keeper():
    with tempfile.TemporaryDirectory(prefix="pqpool-keeper-", dir=MEMORY) as folder:
        keeper = Keeper(built("pqpool"), folder).start()
        yield keeper
        assert keeper.end() == 0, "the keeper had ended"


@pytest.fixture(autouse=True)
def _runner(request):
    # Autouse, and so the first made and the last undone: the check comes after
    # every connection that the test's other fixtures hold is closed.
    if "run" not in request.fixturenames:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pqpool-run-", dir=MEMORY) as folder:
        runner = running.Runner(request, folder)
        yield runner
        runner.check()


@pytest.fixture
def run(_runner):
    return _runner


@pytest.fixture
def memory():
    with tempfile.TemporaryDirectory(prefix="pqpool-memory-", dir=MEMORY) as folder:
        yield pathlib.Path(folder)


def pytest_addoption(parser):
    group = parser.getgroup("versions", "other versions than the machine's (versions.py)")
    group.addoption("--server-version", help="of the servers that do not say theirs")
    group.addoption("--libpq-version", help="of the libpq that programs run with")
    parser.addoption("--share", action="store_true",
                     help="clients share sessions through a keeper; where a program is run bare and "
                     "pooled it is run as one that shares, too")


def pytest_configure(config):
    try:
        if version := config.getoption("--server-version"):
            Server.default_programs = versions.server_of(version)
        if version := config.getoption("--libpq-version"):
            os.environ["LD_LIBRARY_PATH"] = versions.libpq_of(version)
    except versions.Unavailable as why:
        raise pytest.UsageError(str(why)) from why


def pytest_collect_file(file_path, parent):
    """Unit tests are C files; their cases become items."""
    if file_path.parent.name == "unit" and file_path.match("test_*.c"):
        return cmocka.UnitFile.from_parent(parent, path=file_path)
    return None


def machines_libpq():
    """The version of the headers' libpq, which is the one that programs find."""
    said = subprocess.check_output(["pg_config", "--version"], text=True)
    return re.search(r"[\d.]+", said).group()


def compares(item):
    """Whether a test runs programs that share, with --share: a client, or what running.same runs."""
    return (item.path.parent.name == "clients"
            or item.function.__globals__.get("same") is running.same
            and "same" in item.function.__code__.co_names)


def pytest_collection_modifyitems(config, items):
    """The quick ones first, and none that is for other versions than those at hand."""
    order = {"unit": 0, "lint": 1}
    items.sort(key=lambda item: order.get(item.path.parent.name, 2))
    libpq = int((config.getoption("--libpq-version") or machines_libpq()).split(".")[0])
    server = major_version(Server.default_programs or bindir())
    left_out = [item for item in items
                if any(libpq < mark.args[0] for mark in item.iter_markers("libpq"))
                or any(not mark.kwargs.get("since", 0) <= server < mark.kwargs.get("before", 99)
                       for mark in item.iter_markers("server"))]
    if config.getoption("--share"):
        left_out += [item for item in items if not compares(item) and item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """No test may hang the run."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT_SECONDS

    def expire(_signum, _frame):
        pytest.fail("took longer than %s s" % seconds)

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
