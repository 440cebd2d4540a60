# SPDX-License-Identifier: PostgreSQL
"""Root sees the status pages of all users, and believes none of them more than its owner may say."""
import contextlib
import os
import shutil
import subprocess

import pytest

import pages
from conftest import ROOT
from server import wait_until
from tables import rows, samples

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root sees")

# Of no account, and not those of a test that runs beside this one.
FIRST = 2 * 10**9 + os.getpid() * 4
ONE, OTHER = FIRST, FIRST + 1
HOSTILE, YOUNGER, SECRET = ("app@%s%d:5432/shop" % (word, ONE)
                             for word in ("hostile", "younger", "secret"))
FOREVER = ["sleep", "1000"]

HEAD_ORDER = pages.HEAD.size + 48 * pages.REASON_BYTES


def as_user(uid):
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"]


def folder_of(uid):
    return "/dev/shm/pqpool-%d" % uid


@pytest.fixture(autouse=True)
def no_traces():
    yield
    for uid in (ONE, OTHER):
        shutil.rmtree(folder_of(uid), ignore_errors=True)


@pytest.fixture
def daemon(script):
    """daemon(uid, before=[...]): a program of that user's with a lease and an idle session."""
    def start(uid, before=(), **env):
        program = script(before=[*before, *as_user(uid)], tcp=True,
                         env={"PQPOOL_LOG": "stderr", "PQPOOL_REPORT": "off", **env})
        program.connect("a")
        program.connect("b")
        program.finish("b")
        return program

    return start


@pytest.fixture
def process():
    """process(uid): one that only sleeps; its number."""
    started = []

    def start(uid):
        started.append(subprocess.Popen([*as_user(uid), *FOREVER]))
        assert wait_until(lambda: os.stat("/proc/%d" % started[-1].pid).st_uid == uid)
        return started[-1].pid

    yield start
    for each in started:
        each.kill()
        each.wait()


def place(uid):
    os.makedirs(folder_of(uid), mode=0o700, exist_ok=True)
    os.chown(folder_of(uid), uid, uid)
    return folder_of(uid)


def put(uid, data, name="0x1.page", owner=None):
    path = os.path.join(place(uid), name)
    with open(path, "wb") as f:
        f.write(data)
    os.chown(path, uid if owner is None else owner, -1)
    return path


@contextlib.contextmanager
def forged(uid, pid, label=HOSTILE, name="0x1.page", **more):
    """A page of the user's, who says that it is of the living process `pid`."""
    data = pages.made_page(pid, [pages.made_pool(label, in_use=7, acquired=7)],
                           [pages.made_session(1000, stack=1)],
                           [pages.made_stack(1, 'frames="/dev/full+0x1" build_ids="/dev/full=ab"')], **more)
    path = put(uid, data, name)
    with pages.living(path):
        yield path


def rows_of(done, *pids):
    return [row for row in rows(done.stdout) if int(row["PID"]) in pids]


def told(done, uid):
    return [line for line in done.stderr.splitlines() if folder_of(uid) in line]


# ---- what is seen ----------------------------------------------------------------------


def shell(commands):
    return ["sh", "-ec", commands + '; exec "$@"', "sh"]


# How a service manager or a container puts a process where it has files of its own.
PLACES = {
    "here": [],
    "shm of its own": ["unshare", "-m", *shell("mount -t tmpfs -o mode=1777 none /dev/shm")],
    # What runs there may itself lie in /tmp.
    "tmp of its own": ["unshare", "-m", *shell(
        "mount -t ramfs none /dev/shm; mount --bind '%s' /mnt; mount -t tmpfs -o mode=1777 none /tmp;"
        "mkdir -p '%s'; mount --bind /mnt '%s'" % ((ROOT,) * 3))],
    "session": ["unshare", "-m", *shell(
        "mount -t tmpfs none /run; mkdir -p /run/user/%d; chown %d /run/user/%d" % (ONE, ONE, ONE))],
    "container": ["unshare", "-mpf", "--mount-proc", *shell("mount -t tmpfs -o mode=1777 none /dev/shm")],
}


def numbered_here(program):
    """The process that unshare may have forked."""
    pid = program.process.pid
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        return int(f.read() or pid)


@pytest.mark.parametrize("where", PLACES)
def test_each_place(daemon, tool, leaks, where):
    program = daemon(ONE, PLACES[where],
                     XDG_RUNTIME_DIR="/run/user/%d" % ONE if where == "session" else "")
    pid = numbered_here(program)
    row, = rows_of(tool("top", pid), pid)
    assert (row["UID"], row["PROGRAM"], row["IN USE"], row["IDLE"]) == (str(ONE), "script", "1", "1")
    figures = samples(tool("metrics").stdout)[str(pid)]
    assert figures["pqpool_sessions_in_use", None] == 1
    said = leaks(pid)
    assert said.document["held"] == 1 and said.returncode == 0
    assert b"as user %d tells" % ONE in said.stderr
    program.finish("a")


def test_of_a_program_that_gave_up_root(run, server, tool, memory):
    """Its page is root's if it connected before; that it drops afterwards is no secret to root."""
    source = ("import os, psycopg2, sys\n"
              "first = psycopg2.connect('')\n"
              "os.setgid(%d); os.setuid(%d)\n"
              "second = psycopg2.connect('')\n"
              "print(os.getpid(), flush=True); sys.stdin.read()\n" % (ONE, ONE))
    env = run._environ(True, {**server.env(tcp=True), "PQPOOL_LOG": "stderr", "PQPOOL_REPORT": "off"},
                       server)
    with subprocess.Popen(["/usr/bin/python3", "-c", source], env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as program:
        pid = int(program.stdout.readline())
        assert {row["IN USE"] for row in rows_of(tool("top"), pid)} == {"1"}
        assert len(rows_of(tool("top"), pid)) == 2  # a pool for each user
        program.communicate("")
    assert not rows_of(tool("top"), pid)


def test_after_the_death_of_the_last_process(daemon, leaks):
    program = daemon(ONE)
    program.kill()
    said = leaks(program.process.pid)
    assert said.returncode == 1 and said.document["leaked"] == 1


def test_others_see_their_own(daemon, tool):
    one, other = daemon(ONE), daemon(OTHER)
    done = tool("top", before=as_user(ONE), env={"XDG_RUNTIME_DIR": ""})
    assert [row["PID"] for row in rows(done.stdout)] == [str(one.process.pid)]
    assert "UID" not in done.stdout and not done.stderr
    for program in (one, other):
        program.finish("a")


# ---- what is believed --------------------------------------------------------------------


def test_nobody_speaks_for_another_users_process(process, tool, leaks):
    victim = process(OTHER)
    with forged(ONE, victim) as path:
        for command in (["top"], ["metrics"]):
            done = tool(*command)
            assert HOSTILE not in done.stdout
            assert told(done, ONE) == ["pqpool: %s: is of no process of its owner's" % path]
        assert leaks(victim).returncode == 125
    with forged(ONE, os.getpid()):
        assert HOSTILE not in tool("top").stdout


def test_for_his_own_he_speaks_once(process, tool):
    """Prometheus takes nothing of a scrape in which a sample comes twice."""
    mine = process(ONE)
    with forged(ONE, mine, created_us=1), \
         forged(ONE, mine, YOUNGER, name="0x2.page", created_us=2):
        text = tool("metrics").stdout
        assert HOSTILE not in text and YOUNGER in text


def test_a_reason_that_comes_twice_is_one_sample(process, tool):
    mine = process(ONE)
    pool = pages.made_pool(HOSTILE, closed=(1, 2, 3))
    with pages.living(put(ONE, pages.made_page(mine, [pool], reasons=["aged", "drained", "aged"]))):
        text = tool("metrics").stdout
    assert samples(text)[str(mine)]["pqpool_sessions_closed_total", "aged"] == 4
    assert text.count('pid="%d",pool="%s",reason="aged"' % (mine, HOSTILE)) == 1


def test_of_the_dead_who_says_so(leaks):
    """Nobody can tell whose a number was; so it is said whose word it is, or nothing."""
    nobody = 2**31 - 20 - os.getpid()
    stack = pages.made_stack(1, 'frames="/m+0x1(f)"', given_back=True)
    data = pages.made_page(nobody, [pages.made_pool(HOSTILE)],
                           [pages.made_session(1000, stack=1)], [stack])
    put(ONE, data, "0x1.dead")
    said = leaks(nobody)
    assert said.document["leaked"] == 1 and b"as user %d tells" % ONE in said.stderr
    put(OTHER, data, "0x1.dead")
    said = leaks(nobody)
    assert said.returncode == 125 and b"both have a page" in said.stderr


def test_what_a_page_names_is_not_opened(process, build):
    """To open some devices does something; and the reader of debug information is large."""
    mine = str(process(ONE))
    with forged(ONE, int(mine)):
        for command in ("top", "leaks"):
            traced = subprocess.run(["strace", "-f", "-e", "trace=%file",
                                     os.path.join(build, "pqpool"), command, mine],
                                    capture_output=True, check=False)
            assert b"/dev/full+0x1" in traced.stdout and b'/dev/full"' not in traced.stderr


def test_what_a_log_names_is_not_opened(script, leaks, build):
    """If root reads another user's."""
    program = script()
    program.connect("a")
    program.kill()
    with_lines = leaks(program.log_name)
    assert any(file == "script.c" for place in with_lines.places
               for file, _, _ in (line[:3] for line in with_lines.lines(place)))
    os.chown(program.log_name, ONE, -1)
    said = leaks(program.log_name)
    assert b"is another user's" in said.stderr and len(said.places) == 1
    assert not any(file for place in said.places for file, *_ in said.lines(place))
    traced = subprocess.run(["strace", "-f", "-e", "trace=%file", os.path.join(build, "pqpool"),
                             "leaks", program.log_name], capture_output=True, check=False)
    assert b"programs/script" not in traced.stderr


# ---- traps ---------------------------------------------------------------------------------


def test_traps(process, tool):
    """Nothing is followed out of a folder, and nothing blocks; what is good is read all the same."""
    mine = process(ONE)
    secret = "/dev/shm/pqpool-test-%d" % ONE
    data = pages.made_page(process(ONE), [pages.made_pool(SECRET)])
    with open(secret, "wb") as f:
        f.write(data)
    try:
        os.symlink(secret, os.path.join(place(ONE), "0x2.page"))
        os.mkfifo(os.path.join(place(ONE), "0x3.page"))
        os.mknod(os.path.join(place(ONE), "0x4.page"), 0o20600, os.makedev(1, 3))
        os.link(secret, os.path.join(place(ONE), "0x5.page"))  # root's own file
        os.symlink(folder_of(ONE), folder_of(OTHER))
        with forged(ONE, mine), pages.living(secret):
            done = tool("metrics")
        assert HOSTILE in done.stdout and SECRET not in done.stdout
        assert len(told(done, ONE)) == 1  # one line a folder
    finally:
        os.unlink(secret)
        with contextlib.suppress(OSError):
            os.unlink(folder_of(OTHER))


@pytest.mark.parametrize("mode, owner", [(0o755, ONE), (0o770, ONE), (0o700, OTHER)])
def test_folder_that_is_not_its_owners_alone(process, tool, mode, owner):
    """A file of another's in it is not read either."""
    mine = process(ONE)
    with forged(ONE, mine):
        os.chmod(folder_of(ONE), mode)
        os.chown(folder_of(ONE), owner, -1)
        assert HOSTILE not in tool("metrics").stdout


def test_control_characters(process, tool):
    mine = process(ONE)
    with forged(ONE, mine, HOSTILE + '"\\}\n\033[2J', program='x\n"\033]0;title\a'):
        for command in (["top"], ["metrics"], ["top", mine]):
            done = tool(*command)
            assert "\033" not in done.stdout + done.stderr and "\a" not in done.stdout
            assert "\n\"" not in done.stdout
            assert sum(HOSTILE in line for line in done.stdout.splitlines()) >= 1
        samples(done.stdout if command == ["metrics"] else tool("metrics").stdout)


@pytest.mark.limit(300)
def test_so_many_pages_that_they_would_fill_the_memory(process, tool):
    """Each of these takes some megabytes to hold; their owner can make as many as he likes."""
    mine = process(ONE)
    stacks = [pages.made_stack(1, "") * 65536]
    data = pages.made_page(mine, [pages.made_pool(HOSTILE)], (), stacks)
    first = put(ONE, data, "0x0.dead")
    for number in range(1, 200):
        os.link(first, os.path.join(place(ONE), "0x%x.dead" % number))
    limit = ["prlimit", "--as=%d" % (1 << 30)]
    done = tool("metrics", before=limit)
    assert done.returncode == 0 and told(done, ONE) == [
        "pqpool: %s: has more pages than are read" % folder_of(ONE)]


# ---- orders ----------------------------------------------------------------------------------


def test_drain(daemon, tool):
    program = daemon(ONE)
    pid = program.process.pid
    assert tool("drain", pid).returncode == 1  # root's own programs are meant
    first = program.lease()
    done = tool("drain", "--all-users", pid)
    assert done.stdout == "script (pid %d): 2 sessions\n" % pid
    assert program.lease() != first
    program.finish("a")


@pytest.fixture
def machine():
    """The words before a command that is run where nobody else is."""
    holder = subprocess.Popen(
        ["unshare", "-mpf", "--mount-proc", *shell(
            "mount -t tmpfs -o mode=1777 none /dev/shm; mount -t tmpfs none /run; echo"), *FOREVER],
        stdout=subprocess.PIPE)
    holder.stdout.readline()
    path = "/proc/%d/task/%d/children" % (holder.pid, holder.pid)
    with open(path, encoding="ascii") as f:
        inner = int(f.read())
    yield ["nsenter", "-t", str(inner), "-m", "-p"]
    os.kill(inner, 9)
    holder.wait()
    holder.stdout.close()


def test_pause_and_wait(daemon, tool, machine):
    def operate(*words, before=()):
        return tool(*words, before=[*machine, *before], env={"XDG_RUNTIME_DIR": ""})

    one, other = daemon(ONE, machine), daemon(OTHER, machine)
    assert operate("pause").returncode == 0
    one.lease()  # it is not root's
    assert operate("resume").returncode == 0
    assert operate("pause", "-A").returncode == 0
    for program in (one, other):
        program.do("begin", "c", "")
    left = operate("wait", "-A", "--timeout", "0")
    assert left.returncode == 1 and left.stderr.count("in use for") == 2
    assert operate("wait", "--timeout", "0").returncode == 0  # root's own
    # Whose folder it is may end it, too.
    assert operate("resume", before=as_user(ONE)).returncode == 0
    one.join("c")
    assert not other.done("c")
    one.finish("a", "c")
    left = operate("wait", "-A", "--timeout", "0")
    assert left.returncode == 1 and left.stderr.count("in use for") == 1
    assert operate("resume", "-A").returncode == 0
    other.join("c")
    other.finish("a", "c")


def fill(fd):
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(4096))
    os.set_blocking(fd, True)


def is_blocked_in_write(pid):
    with open("/proc/%d/syscall" % pid, encoding="ascii") as f:
        return f.read().startswith("1 0x1 ")


def test_orders_go_to_the_page_that_was_read(process, tool, build):
    """Between reading and writing its owner puts a link there, to a file he cannot write himself."""
    victim = "/dev/shm/pqpool-test-%d" % ONE
    os.makedirs(victim, mode=0o700)
    target = os.path.join(victim, "0x2.page")
    with open(target, "wb") as f:
        f.write(bytes(8192))
    swap = "mv {0} {0}.old && ln -s {1} {0}".format(folder_of(ONE), victim)
    label = HOSTILE
    reader, writer = os.pipe()
    try:
        first, second = sorted((process(ONE), process(ONE)))
        with forged(ONE, first, label), forged(ONE, second, label, "0x2.page") as path:
            # What it says of the first has to wait, and so the second's order.
            fill(writer)
            with subprocess.Popen(["stdbuf", "-oL", os.path.join(build, "pqpool"), "drain", "-A",
                                   label], stdout=writer) as done:
                assert wait_until(lambda: is_blocked_in_write(done.pid))
                subprocess.run(["sh", "-c", swap], check=True)
                os.close(writer)
                while os.read(reader, 65536):
                    pass
            assert done.returncode == 0
        for name, given in ((path.replace("0x2", "0x1"), True), (path, False)):
            with open(name.replace(folder_of(ONE), folder_of(ONE) + ".old"), "rb") as f:
                f.seek(HEAD_ORDER)
                assert (f.read(8) != bytes(8)) is given
        with open(target, "rb") as f:
            assert f.read() == bytes(8192)
    finally:
        os.close(reader)
        shutil.rmtree(victim)
        shutil.rmtree(folder_of(ONE) + ".old", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(folder_of(ONE))


def test_pause_is_not_stopped_by_what_lies_there(process, tool, machine):
    """A FIFO of that name says the same."""
    command = "d=%s; mkdir -m 700 $d && mkfifo $d/paused && chown -R %d $d" % (folder_of(ONE), ONE)
    subprocess.run([*machine, "sh", "-ec", command], check=True)
    for words in (["pause", "-A"], ["resume", "-A"]):
        assert tool(*words, before=machine, env={"XDG_RUNTIME_DIR": ""}).returncode == 0
    listed = subprocess.run([*machine, "ls", folder_of(ONE)], capture_output=True, check=True)
    assert listed.stdout == b""
