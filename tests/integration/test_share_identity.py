# SPDX-License-Identifier: PostgreSQL
"""Who is lent what: a session goes to a program only if everything is the same that it was opened
with, and no secret of it is known to the keeper."""
import os
import pwd
import re
import signal
import subprocess

import pytest

from running import PYTHON, stopped
from server import HBA, wait_until

SESSION = "SELECT pg_backend_pid()"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root is others, too")


def handed_over(get):
    """The backend that two programs in turn have got. A keeper that is late is no keeper."""
    backends = [get(), get()]
    assert wait_until(lambda: len(set(backends[-2:])) == 1 or backends.append(get()))
    return backends[-1]


@pytest.fixture(name="keeper")
def one_keeper(keep):
    return keep()


@pytest.fixture(name="backend")
def lent_backend(run, program, keeper, server):
    """backend(...): the backend that a program of its own gets; in argv what starts it."""
    def of(before=(), tcp=False, env=None, status=0):
        done = run([*before, program("cycle"), "1", SESSION],
                   env={**server.env(tcp=tcp), "PQPOOL_SHARE": keeper.path, **(env or {})})
        assert done.returncode == status, done
        return done.stdout.strip()

    return of


@pytest.fixture(name="only_one")
def a_session_for_the_same_alone(backend):
    """only_one(...): what differs gets another session, and neither keeps the first from its own."""
    def check(tcp=False, **differs):
        mine = handed_over(lambda: backend(tcp=tcp))
        other = backend(tcp=tcp, **differs)
        assert other and other != mine
        assert wait_until(lambda: backend(tcp=tcp) == mine)

    return check


@pytest.mark.parametrize("differs", [
    {"PGDATABASE": "postgres"}, {"PGUSER": "postgres"}, {"PGOPTIONS": "-c work_mem=8MB"},
    {"PGAPPNAME": "other"}, {"PGCLIENTENCODING": "LATIN1"}, {"PGTZ": "UTC"}, {"PGGEQO": "off"},
    {"PGPASSWORD": "x"}, {"PGHOST": "127.0.0.1", "PGPASSWORD": "{password}"},
    {"PQPOOL_RESET": "auto"}], ids=lambda d: next(iter(d)))
def test_other_parameters(only_one, server, differs):
    only_one(env={k: v.format(password=server.password) for k, v in differs.items()})


def test_another_password(only_one, backend, server):
    """It is the server that refuses it; and a new one that is right is not served by what was
    opened with the old one, although that lives."""
    backend(tcp=True)
    assert backend(tcp=True, env={"PGPASSWORD": "x"}, status=1) == ""
    try:
        mine = backend(tcp=True)
        server.sql("ALTER ROLE app PASSWORD 'renewed'")
        other = backend(tcp=True, env={"PGPASSWORD": "renewed"})
        assert other and other != mine
        assert server.sessions("pid = %s" % mine)
    finally:
        server.sql("ALTER ROLE app PASSWORD '%s'" % server.password)


@pytest.mark.parametrize("program_of_libpq", ["13", "18"])
def test_another_libpq(only_one, libpq_of, program_of_libpq):
    only_one(env={"LD_LIBRARY_PATH": libpq_of(program_of_libpq)})


@ROOT_ONLY
def test_another_uid(only_one, keeper):
    """Once he may not even look, and once the way is open and only the kernel's word counts."""
    nobody = pwd.getpwnam("nobody")
    as_nobody = ["setpriv", "--reuid=%d" % nobody.pw_uid, "--regid=%d" % nobody.pw_gid,
                 "--clear-groups"]
    only_one(before=as_nobody, tcp=True)
    os.chmod(keeper.folder, 0o755)
    os.chmod(keeper.path, 0o777)
    others = subprocess.run(
        [*as_nobody, PYTHON, "-c", "import socket, sys; s = socket.socket(socket.AF_UNIX,"
         " socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); print(len(s.recv(1)))", keeper.path],
        capture_output=True, text=True, check=False)
    os.chmod(keeper.folder, 0o700)
    assert others.stdout == "0\n" or "ConnectionReset" in others.stderr


@ROOT_ONLY
def test_another_group(only_one):
    only_one(before=["setpriv", "--regid=12345", "--keep-groups"])


@ROOT_ONLY
@pytest.mark.parametrize("what", ["--net", "--mount"])
def test_another_namespace(only_one, what):
    only_one(before=["unshare", what])


ANOTHER_ROOT = """
mount -t tmpfs none "$0"
for each in /*; do
    if [ -h "$each" ]; then cp -P "$each" "$0"
    elif [ -d "$each" ]; then mkdir "$0$each"; mount --rbind "$each" "$0$each"; fi
done
"$@"; "$@"; chroot "$0" "$@"; "$@"
"""


@ROOT_ONLY
def test_another_root(run, program, keeper, tmp_path):
    """In the same namespace: all that is below it is the same here, but need not be."""
    done = run(["unshare", "--mount", "sh", "-ec", ANOTHER_ROOT, tmp_path, program("cycle"), "1",
                SESSION], env={"PQPOOL_SHARE": keeper.path})
    mine, again, other, last = done.stdout.split()
    assert mine == again == last != other


# ---- a keeper of somebody else

LISTENS = """
import os, socket, sys
path, uid = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(path)
os.chown(path, 0, 0)
os.setresuid(uid, uid, uid)
s.listen()
print("listens", flush=True)
while True:
    print(len(s.accept()[0].recv(65536)), flush=True)
"""


@ROOT_ONLY
def test_keeper_of_another_uid_hears_nothing(run, program, server, memory):
    """The folder and the file are this user's, the process that listens is not."""
    memory.chmod(0o700)
    path = str(memory / "keeper.socket")
    with subprocess.Popen([PYTHON, "-c", LISTENS, path, str(pwd.getpwnam("nobody").pw_uid)],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "listens\n"
            done = run([program("cycle"), "2", SESSION],
                       env={**server.env(tcp=True), "PQPOOL_SHARE": path})
            assert done.returncode == 0 and len(done.events("session_open")) == 1
            assert process.stdout.readline() == "0\n"
        finally:
            process.kill()


# ---- secrets

def memory_of(pid):
    """All that can be read of it, as a core would have it."""
    with open("/proc/%d/maps" % pid, encoding="ascii") as maps, \
            open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if "r" in line.split()[1] and "[vvar" not in line and "[vsyscall" not in line:
                mem.seek(begin)
                yield mem.read(end - begin)


def one_lease(program, conninfo):
    backend = program.lease(conninfo)
    program.end()
    return backend


def texts_of(folder):
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    yield file.read()


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
def test_no_password_is_known_to_the_keeper(memory, tmp_path, tool, new_server, script, method):
    """Planted in the environment of who starts it, and in all ways to say it: it is in no file,
    no message, and nowhere in its memory."""
    memory.chmod(0o700)
    server = new_server(hba=HBA.replace("scram-sha-256", method),
                        settings={"password_encryption": "md5"} if method == "md5" else {})
    secret = "planted%sword" % os.urandom(6).hex()
    server.sql("ALTER ROLE app PASSWORD '%s'" % secret)
    path = str(memory / "keeper.socket")
    said = {"PGPASSWORD": secret, "OTHER_SECRET": "x" + secret}
    log = {"PQPOOL_LOG": str(memory / "log"), "PQPOOL_LOG_LEVEL": "debug"}
    done = tool("run", "--share", path, "--", "true", env={**said, **log})
    assert done.returncode == 0, done
    pid = int(re.search(r"kind=keeper pid=(\d+)", tool("keep", "-s", path, "show").stdout)[1])
    heard = tmp_path / "heard"
    with subprocess.Popen(["strace", "-f", "-s", "100000", "-o", heard, "-p", str(pid)],
                          stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert "attached" in strace.stderr.readline()
            host = {**server.env(tcp=True), "PQPOOL_SHARE": path}
            url = "postgresql://app:%s@127.0.0.1:%d/app" % (secret, server.port)
            for conninfo in ("", "password=" + secret, url):
                env = {**host, **({"PGPASSWORD": secret} if not conninfo else {})}
                if conninfo:
                    del env["PGPASSWORD"]
                handed_over(lambda: one_lease(script(env=env), conninfo))
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
    with stopped(pid):  # else a page may be unmapped meanwhile
        known = list(memory_of(pid))
    shown = tool("keep", "-s", path, "show").stdout
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: not os.path.exists(path))
    # The search finds what is there.
    assert any(b"app@127.0.0.1" in piece for piece in known)
    assert b"app@127.0.0.1" in heard.read_bytes() and b"SCM_RIGHTS" in heard.read_bytes()
    for piece in (*known, heard.read_bytes(), *texts_of(memory), shown.encode()):
        assert secret.encode() not in piece
