# SPDX-License-Identifier: PostgreSQL
"""The status page: what is in it, whose it is, and what becomes of it."""
import glob
import os
import re
import signal
import socket
import stat
import subprocess

import pytest

import pages
from running import SPAWN_NAMESPACE
from server import wait_until


@pytest.fixture
def lives(script, run):
    """lives(...): starts the program of that name; it is ready."""
    def start(**options):
        program = script(name="lives", **options)
        assert program.answer() == ""
        return program

    return start


@pytest.fixture
def folder(run):
    return run.folder


def only_page(folder):
    found = pages.in_folder(folder)
    assert len(found) == 1, found
    return pages.read_page(found[0])


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# ---- what is in it -------------------------------------------------------------------


def test_tells_of_what_is_held(lives, folder):
    program = lives(env={"PQPOOL_SIZE": 3, "PQPOOL_MAX_OVERFLOW": 2})
    backends = program.do("take", "-", 3).split()
    program.do("give", "-", 1)
    page = only_page(folder)
    assert page.pid == program.process.pid and page.program == "lives"
    assert page.config["size"] == "3" and page.config["max_overflow"] == "2"
    assert (page.acquired, page.released) == (3, 2 - 1)
    [pool] = page.pools
    assert pool["label"].startswith("app@") and pool["limit"] == 5 and pool["size"] == 3
    assert (pool["in_use"], pool["idle"], pool["waiting"], pool["peak"]) == (2, 1, 0, 3)
    assert (pool["acquired"], pool["released"], pool["opened"]) == (3, 1, 3)
    assert [str(lease["backend"]) for lease in page.leases] == backends[:2]
    assert [lease["lease"] for lease in page.leases] == [1, 2]
    assert {lease["tid"] for lease in page.leases} == {page.pid}
    for lease in page.leases:
        assert "/lives+0x" in page.stacks[lease["stack"]]
    assert [str(s["backend"]) for s in page.sessions] == backends
    program.do("give", "-", 2)
    page = only_page(folder)
    assert page.leases == [] and page.acquired == page.released == 3
    assert page.pools[0]["idle"] == 3 and page.pools[0]["held_us"] > 0


def test_more_than_one_block_of_each(lives, folder):
    program = lives(env={"PQPOOL_SIZE": 0})
    backends = program.do("take", "-", 60).split()
    page = only_page(folder)
    assert sorted(str(lease["backend"]) for lease in page.leases) == sorted(backends)
    program.do("give", "-", 60)
    assert only_page(folder).leases == []


def test_waits_and_timeouts(script, folder):
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "200ms"})
    program.connect("a")
    program.do("begin", "b")
    assert wait_until(lambda: only_page(folder).pools[0]["waiting"] == 1)
    program.join("b")
    pool = only_page(folder).pools[0]
    assert (pool["waiting"], pool["waits"], pool["timeouts"]) == (0, 1, 1)
    assert pool["wait_us"] == pool["wait_max_us"] >= 200000


def test_a_connection_that_is_not_pooled(script, folder):
    program = script()
    program.connect("a", "replication=database user=postgres")
    page = only_page(folder)
    assert [lease["pool"] for lease in page.leases] == [pages.NO_POOL]
    program.finish("a")
    assert only_page(folder).sessions == []


def test_what_was_sent_last(script, folder):
    program = script()
    program.connect("a")
    [lease] = only_page(folder).leases
    assert (lease["statement"], lease["transaction"]) == ("", 1)
    program.exec("a", "BEGIN", "SELECT 'a secret', 2")
    [lease] = only_page(folder).leases
    assert (lease["statement"], lease["transaction"]) == ("SELECT ...", 3)
    program.finish("a")
    program.connect("a")
    [lease] = only_page(folder).leases
    assert (lease["statement"], lease["transaction"]) == ("", 1)


# ---- when it is made -----------------------------------------------------------------


def test_made_while_the_server_works_on_the_first_connect(script, folder):
    """Which the program would wait for anyway."""
    program = script()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert pages.in_folder(folder) == []
        program.do("begin", "a", "host=127.0.0.1 sslmode=disable gssencmode=disable port=%d" % port)
        backend, _ = silent.accept()
        with backend:
            assert wait_until(lambda: pages.in_folder(folder))
            page = only_page(folder)
            assert page.pid == program.process.pid and page.pools == [] and page.leases == []
        program.join("a")


def test_not_made_for_a_server_that_is_not_there(script, folder):
    program = script()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = "host=127.0.0.1 port=%d" % unused.getsockname()[1]
        assert "refused" in program.do("connect", "a", where)
    assert pages.in_folder(folder) == []


# ---- whose it is ---------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["0", "0777"])
def test_nobody_else_may_read_it(lives, folder, mask):
    program = lives()
    program.do("umask", "-", mask)
    program.do("take", "-", 1)
    page = only_page(folder)
    assert mode(page.path) == 0o600 and mode(os.path.dirname(page.path)) == 0o700
    for log in glob.glob(os.path.join(folder, "*.log")):
        os.chmod(log, 0o600)  # it heeds the umask, and we want to read it


@pytest.mark.parametrize("trap", ["link", "open to all", "a file"])
def test_a_hostile_directory_is_left_alone(run, program, memory, trap):
    elsewhere = memory / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    place = memory / "run" / "pqpool"
    place.parent.mkdir(mode=0o700)
    if trap == "link":
        place.symlink_to(elsewhere)
    elif trap == "a file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o755)
    done = run([program("cycle")], env={"XDG_RUNTIME_DIR": place.parent})
    assert done.returncode == 0
    assert os.listdir(elsewhere) == []
    assert trap != "open to all" or os.listdir(place) == []


def test_elsewhere_if_the_directory_is_not_to_be_trusted(lives, tool, memory):
    (memory / "pqpool").touch()
    program = lives(env={"XDG_RUNTIME_DIR": memory})
    program.do("take", "-", 1)
    pid = program.process.pid
    assert " lives " in tool("top", pid, env={"XDG_RUNTIME_DIR": str(memory)}).stdout


def test_nothing_without_libpq(run, program, folder):
    assert run([program("exits"), "return", "0", "none"]).returncode == 0
    assert not os.path.exists(os.path.join(folder, "pqpool"))


def test_nothing_when_disabled(run, program, folder):
    assert run([program("cycle")], env={"PQPOOL_DISABLE": "on"}).returncode == 0
    assert not os.path.exists(os.path.join(folder, "pqpool"))


# ---- its life ------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["return", "_exit", "quick_exit", "exit"])
def test_gone_after_a_clean_end(run, program, folder, way):
    run([program("exits"), way, "0", "leased"])
    assert os.listdir(os.path.join(folder, "pqpool")) == []


def test_outlives_a_kill(lives, folder):
    victim = lives()
    backends = victim.do("take", "-", 7).split()
    victim.kill()
    page = only_page(folder)
    assert [str(lease["backend"]) for lease in page.leases] == backends
    assert all("/lives+0x" in page.stacks[lease["stack"]] for lease in page.leases)
    other = lives()
    pages.nobody_has_looked(folder)
    other.do("take", "-", 1)
    dead = [p for p in pages.in_folder(folder) if p.endswith(".dead")]
    assert [pages.read_page(p).pid for p in dead] == [victim.process.pid]


def test_nothing_open_nothing_kept(lives, folder):
    victim = lives()
    victim.do("take", "-", 2)
    victim.do("give", "-", 2)
    victim.kill()
    assert only_page(folder).pid == victim.process.pid
    other = lives()
    pages.nobody_has_looked(folder)
    other.do("take", "-", 1)
    assert only_page(folder).pid == other.process.pid


def test_only_so_many_dead_are_kept(lives, folder):
    for _ in range(18):
        victim = lives()
        victim.do("take", "-", 1)
        victim.kill()
    last = lives()
    pages.nobody_has_looked(folder)
    last.do("take", "-", 1)
    assert sum(p.endswith(".dead") for p in pages.in_folder(folder)) == 16


def test_each_process_has_its_own(lives, folder):
    program = lives()
    program.do("take", "-", 1)
    parents = only_page(folder)
    child = int(program.do("fork"))
    [backend] = program.do("take", "-", 1).split()
    after = {page.pid: page for page in map(pages.read_page, pages.in_folder(folder))}
    assert set(after) == {program.process.pid, child}
    assert after[program.process.pid] == parents
    assert [str(lease["backend"]) for lease in after[child].leases] == [backend]
    assert all("/lives+0x" in after[child].stacks[s["stack"]] for s in after[child].leases)
    program.do("give", "-", 2)
    assert pages.read_page(parents.path) == parents


def test_parent_that_is_killed_is_not_kept_alive_by_its_child(lives, folder, tool):
    program = lives()
    program.do("take", "-", 1)
    child = int(program.do("fork"))
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait()
    program.do("take", "-", 1)
    assert re.findall(r"(\d+) lives ", tool("top").stdout) == [str(child)]
    assert [pages.read_page(p).pid for p in pages.in_folder(folder)
            if p.endswith(".dead")] == [program.process.pid]


def test_outlives_a_child_in_the_same_memory(lives, folder):
    program = lives()
    program.do("take", "-", 1)
    program.do("vfork")
    assert only_page(folder).pid == program.process.pid


def test_exec_leaves_a_page_that_is_nobodys(lives, folder, tool):
    program = lives()
    program.do("take", "-", 1)
    program.do("give", "-", 1)
    before = only_page(folder).path
    pages.nobody_has_looked(folder)
    program.do("execute")
    program.do("take", "-", 1)
    assert only_page(folder).path != before
    assert tool("top").stdout.count(" lives ") == 1


def test_a_program_that_closes_all_descriptors_lives(lives, folder, tool):
    program = lives(env={"PQPOOL_SIZE": 0})
    program.do("take", "-", 1)
    path = only_page(folder).path
    [number] = opens(program.process.pid, path)
    assert number > 100  # out of the program's way
    program.do("closeall")
    assert not opens(program.process.pid, path)  # the fault is there
    other = lives()
    other.do("take", "-", 1)  # would remove what is nobody's
    assert path in pages.in_folder(folder)
    assert tool("top").stdout.count(" lives ") == 2
    program.do("take", "-", 50)  # the page grows all the same
    assert len(pages.read_page(path).leases) == 51


def opens(pid, path):
    """The descriptors that it has of that file."""
    folder = "/proc/%d/fd" % pid
    return [int(fd) for fd in os.listdir(folder) if os.readlink(os.path.join(folder, fd)) == path]


@pytest.mark.parametrize("grows", [True, False])
def test_a_stranger_in_its_place_is_left_alone(lives, folder, grows):
    program = lives(env={"PQPOOL_SIZE": 0})
    program.do("take", "-", 1)
    program.do("replace")
    before = program.do("look")
    assert int(before.split()[0]) > 2 and before.endswith(" 0")
    if grows:
        program.do("take", "-", 50)
        assert len(only_page(folder).leases) == 51 and program.do("look") == before
    program.do("fork")
    assert program.do("look") == before


# ---- a full disk ---------------------------------------------------------------------

FULL = ('mount -t tmpfs -o size=32k,mode=700 tmpfs "$XDG_RUNTIME_DIR" && '
        'head -c 1M /dev/zero >"$XDG_RUNTIME_DIR/fill" 2>/dev/null; exec "$0" "$@"')


# One that gives no blocks beforehand, in all places.
UNRELIABLE = ('mkdir -p -m 700 /tmp/pqpool-$(id -u) && '
              'for place in "$XDG_RUNTIME_DIR" /dev/shm /tmp/pqpool-$(id -u); do '
              'mount -t ramfs -o mode=700 ramfs "$place" || exit 1; done; exec "$0" "$@"')


@pytest.fixture
def mounted(run, program, tmp_path):
    """mounted(command): runs the cycle program with its status pages on what that mounts."""
    if subprocess.run([*SPAWN_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user")

    place = tmp_path / "run"
    place.mkdir()

    def start(command, **env):
        return run([*SPAWN_NAMESPACE, "sh", "-c", command, program("cycle")],
                   env={"XDG_RUNTIME_DIR": place, **env}, check_leases=False)

    return start


def test_file_system_that_promises_nothing(mounted, tmp_path):
    done = mounted(UNRELIABLE, PQPOOL_LOG=tmp_path / "log", PQPOOL_LOG_LEVEL="debug")
    [told] = done.events("status")
    assert done.returncode == 0 and told["error"] == "Operation not supported"


def test_full_disk(mounted, shim, tmp_path):
    module = tmp_path / "unallocated.so"
    source = os.path.join(os.path.dirname(__file__), "../programs/modules/unallocated.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", module, source], check=True)
    assert mounted(FULL, LD_PRELOAD="%s:%s" % (shim, module)).returncode == -signal.SIGBUS
    done = mounted(FULL, PQPOOL_LOG=tmp_path / "log", PQPOOL_LOG_LEVEL="debug")
    assert done.returncode == 0 and done.events("acquire")
    [told] = done.events("status")
    assert told["error"] == "No space left on device"
