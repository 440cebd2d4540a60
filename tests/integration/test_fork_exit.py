# SPDX-License-Identifier: PostgreSQL
"""Forking, starting programs and ending, with connections leased, idle and in between."""
import re
import subprocess

import pytest

from running import PYTHON, same
from server import wait_until
from tls import ROUGH

WAYS = ["unix", "tcp", "tls"]


@pytest.fixture
def on(run, program, tls_server):
    """on(way, [name, argument, ...]): runs one of the programs by one of the ways."""
    def start(way, argv, env=None, **options):
        return run([program(argv[0])] + argv[1:], server=tls_server,
                   env={**tls_server.ways()[way], **(env or {})}, **options)

    return start


def ends_of_sessions(server, marker):
    """(sessions that began, those of them that ended, rough ends) since the marker, the
    observer's left out."""
    text = server.log_text(marker)
    begun = set(re.findall(r"\[(\d+)\] LOG:  connection authorized: user=app ", text))
    ended = set(re.findall(r"\[(\d+)\] LOG:  disconnection: .* user=app ", text))
    rough = [line for line in text.splitlines() if re.search(ROUGH, line)]
    return begun, begun & ended, rough


def assert_ended_well(server, marker, silent="nothing"):
    def all_ended():
        begun, ended, _ = ends_of_sessions(server, marker)
        return begun and begun == ended

    assert wait_until(all_ended), server.log_text(marker)
    rough = [line for line in ends_of_sessions(server, marker)[2] if silent not in line]
    assert not rough, server.log_text(marker)


# ---- fork ----------------------------------------------------------------------------

CHILD = ["child has no socket but the lease's", "child is on a backend of its own",
         "child's second connect works", "child ended well", "lease is on the same backend"]
FORKS = {
    "child_exit": CHILD,
    "child__exit": CHILD,
    "inherited": ["child ended well", "lease is on the same backend"],
    "not_finished": ["child ended well"],
    "parent_first": ["parent is gone", "connection is on the same backend",
                     "new connections work"],
    "prefork": ["child ended well"] * 4 + ["idle session is still there"],
    "spawn": ["vfork", "vfork and no such program", "posix_spawn", "system", "popen's output",
              "popen", "lease is on the same backend", "idle session is still there"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", FORKS)
def test_fork(on, mode, way):
    # The log of a parent that left its connections to a child has no end of the lease.
    done = on(way, ["forks", mode], check_leases=mode not in ("parent_first", "not_finished"))
    assert done.stdout.splitlines() == ["%s: yes" % line for line in FORKS[mode]], done
    assert done.returncode == 0
    if mode != "parent_first":
        assert done.stderr == ""


@pytest.mark.parametrize("way", WAYS)
def test_connects_in_fork_handlers(on, way):
    """They are not pooled, as the handlers run inside of ours."""
    bare = on(way, ["forks", "handlers"], pooled=False)
    assert sorted(bare.stdout.splitlines()) == sorted("%s: yes" % line for line in (
        "first", "connects before the fork", "connects after the fork", "connects in the child",
        "child connects", "child ended well", "connects later"))
    done = on(way, ["forks", "handlers"])
    assert sorted(done.stdout.splitlines()) == sorted(bare.stdout.splitlines())
    assert (done.stderr, done.returncode) == (bare.stderr, bare.returncode) == ("", 0)


@pytest.mark.parametrize("mode", ["child_exit", "prefork", "spawn"])
@pytest.mark.parametrize("way", WAYS)
def test_forked_processes_end_their_sessions_well(on, tls_server, mode, way):
    marker = tls_server.marker()
    on(way, ["forks", mode])
    assert_ended_well(tls_server, marker)


def test_prefork_children_reuse_their_own_sessions(on, tls_server):
    marker = tls_server.marker()
    done = on("unix", ["forks", "prefork"])
    assert len(done.events("acquire")) == 4 * 50 + 2
    assert tls_server.connections_since(marker) == 5
    assert len({e["pid"] for e in done.log}) == 5


def test_lease_that_crossed_a_fork_is_not_lent_again(on):
    done = on("unix", ["forks", "crossed"])
    assert done.stdout == "backend is used again: no\n"
    assert done.events("session_close", reason="forked")


@pytest.mark.parametrize("way", ["unix", "tls"])
def test_fork_among_threads(on, way):
    done = on(way, ["forks", "among_threads"])
    assert (done.stdout, done.stderr) == ("50 children ended well\n", "")


def test_fork_while_another_thread_starts(on):
    done = on("unix", ["forks", "starting"], env={"PQPOOL_PING_QUERY": "SELECT 1"})
    assert done.stdout == "child ended well: yes\nconnects work: yes\n"
    assert {e["pid"] for e in done.events("acquire")} == {done.log[0]["pid"]}


def test_fork_while_others_look(run, program):
    done = same(run, [program("forks"), "while_looking"])
    assert done.stdout == "100 children ended well\n"


# ---- in the middle of a call -------------------------------------------------------------

CALLBACKS = ["finish", "reset", "early_reset", "connect", "exec"]


@pytest.fixture
def noisy(server):
    """A role whose connects are not silent."""
    server.sql("CREATE ROLE noisy LOGIN; ALTER ROLE noisy SET default_tablespace = 'no_such'")
    yield
    server.sql("DROP ROLE noisy")


@pytest.mark.parametrize("call", CALLBACKS)
def test_fork_in_a_callback(run, program, noisy, call):
    """The child has its locks as any other."""
    done = same(run, [program("midway"), call, "ends"])
    assert done.stdout == "15 times well\n"


# Not from a query, whose answer parent and child would share.
@pytest.mark.parametrize("call", [c for c in CALLBACKS if c != "exec"])
def test_child_comes_back_from_a_callback(run, program, noisy, call):
    """What was begun before is the parent's, and what it does then is its own."""
    done = same(run, [program("midway"), call, "returns"])
    assert done.stdout == "15 times well\n"
    totals = done.events("totals")
    assert len(totals) == 16 and all(e["acquired"] == e["released"] for e in totals)


@pytest.mark.parametrize("how", ["looks", "ends", "returns"])
def test_signal_handler_in_the_middle_of_anything(run, program, how):
    """It asks how the connections are, which takes no lock of libpq's, and so does a child
    that it forks."""
    done = same(run, [program("midway"), "handler", how])
    assert done.stdout == "100 times well\n"


# ---- exit ----------------------------------------------------------------------------

# (way to end, status asked for, status as the parent sees it)
STATUSES = [
    ("return", 0, 0), ("return", 3, 3), ("exit", 0, 0), ("exit", 3, 3), ("thread", 5, 5),
    ("_exit", 0, 0), ("_exit", 4, 4), ("_Exit", 5, 5), ("quick_exit", 6, 6),
    ("abort", 0, -6), ("kill", 0, -9), ("term", 0, -15),
]
ENDS = ["return", "exit", "thread", "_exit", "_Exit", "quick_exit"]


@pytest.mark.parametrize("state", ["idle", "busy", "leased", "none"])
@pytest.mark.parametrize("way, asked, seen", STATUSES)
def test_status_is_kept(on, way, asked, seen, state):
    argv = ["exits", way, str(asked), state]
    options = {"check_leases": way not in ("abort", "kill", "term")}
    bare = on("unix", argv, pooled=False)
    pooled = on("unix", argv, env={"PQPOOL_REPORT": "off"}, **options)
    assert bare.returncode == seen
    assert (pooled.returncode, pooled.stdout, pooled.stderr) == (seen, bare.stdout, bare.stderr)


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("exit_way", ENDS)
@pytest.mark.parametrize("way", WAYS)
def test_idle_sessions_are_ended_with_terminate(on, tls_server, way, exit_way, state):
    marker = tls_server.marker()
    done = on(way, ["exits", exit_way, "0", state])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.events("session_close", reason="exit")
    assert_ended_well(tls_server, marker)


@pytest.mark.parametrize("exit_way", ["handler_exit", "handler__exit"])
@pytest.mark.parametrize("way", ["unix", "tcp"])
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_an_end_in_a_signal_handler_is_no_connection_reset(on, tls_server, way, exit_way, state):
    """Nothing may be freed there, but an answer that nobody reads would make the kernel reset
    the connection. That there is no Terminate the server says to those who debug it."""
    marker = tls_server.marker()
    done = on(way, ["exits", exit_way, "0", state])
    assert (done.returncode, done.stderr) == (0, "")
    assert not done.events("session_close", reason="exit")
    assert_ended_well(tls_server, marker, silent=" DEBUG: ")


def test_first_session_over_tls_is_not_the_first(on, tls_server):
    """The library of TLS sets its exit handler later than we set our first."""
    marker = tls_server.marker()
    done = on("tls", ["exits", "exit", "0", "second", tls_server.folder.path])
    assert (done.returncode, done.stderr) == (0, "")
    assert "SSL enabled" in tls_server.log_text(marker)
    assert_ended_well(tls_server, marker)


@pytest.mark.parametrize("last", ["atexit_after", "atexit_before", "cxx_destructor", "destructor"])
@pytest.mark.parametrize("way", WAYS)
def test_connections_in_exit_handlers(on, way, last):
    """Where OpenSSL is gone by then it fails as it does without us."""
    argv = ["exits", last, "0", "none"]
    bare = on(way, argv, pooled=False)
    pooled = on(way, argv, check_leases=False, env={"PQPOOL_REPORT": "off"})
    assert (pooled.returncode, pooled.stdout) == (bare.returncode, bare.stdout)
    assert re.sub(r"port \d+", "", pooled.stderr) == re.sub(r"port \d+", "", bare.stderr)


@pytest.mark.parametrize("last", ["atexit_after", "cxx_destructor"])
@pytest.mark.parametrize("way", WAYS)
def test_exit_handlers_end_sessions_well(on, tls_server, way, last):
    marker = tls_server.marker()
    done = on(way, ["exits", last, "3", "idle"], env={"PQPOOL_REPORT": "off"})
    assert (done.returncode, done.stderr) == (3, "")
    assert not done.events("leak", kind="never_released")
    assert_ended_well(tls_server, marker)


@pytest.mark.parametrize("way", WAYS)
def test_exit_with_leases_open(on, way):
    done = on(way, ["exits", "exit", "3", "leased"])
    assert done.returncode == 3 and done.stdout == "buffered, and written at exit\n"
    assert "1 connection leaked" in done.stderr and len(done.events("leak")) == 1


def test_exit_while_a_thread_waits(on):
    full = {"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": 100}
    done = on("unix", ["exits", "exit_while_waiting", "2", "none"], env=full)
    assert done.returncode == 2 and done.stdout == "buffered, and written at exit\n"


# ---- libraries that are finalised after us ---------------------------------------------

LIBRARY = """
#include <libpq-fe.h>
#include <stdio.h>

static PGconn *kept;

void work(void)
{
	for (volatile int i = 0; i < 2; i++) {
		PQfinish(kept);
		kept = PQconnectdb("");
	}
}

__attribute__((destructor)) static void finish(void)
{
	printf("%d\\n", PQtransactionStatus(kept));
	PQfinish(kept);
}
"""
MAIN = """
void work(void);

int main(void)
{
	work();
	return 0;
}
"""


@pytest.fixture
def late_library(tmp_path):
    """A program whose library keeps a connection until its own destructor."""
    include = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    (tmp_path / "late.c").write_text(LIBRARY)
    (tmp_path / "main.c").write_text(MAIN)
    for argv in (["-shared", "-fPIC", "-I" + include, "-o", "liblate.so", "late.c", "-lpq"],
                 ["-o", "main", "main.c", "-L.", "-llate", "-Wl,-rpath," + str(tmp_path)]):
        subprocess.run(["gcc"] + argv, cwd=tmp_path, check=True)
    return str(tmp_path / "main")


@pytest.mark.parametrize("leak_exitcode", [0, 9])
def test_destructor_of_a_library(run, late_library, leak_exitcode):
    done = run([late_library], env={"PQPOOL_LEAK_EXITCODE": leak_exitcode})
    assert (done.stdout, done.returncode) == ("0\n", leak_exitcode)
    assert "1 connection released only by exit" in done.stderr


# ---- PQPOOL_LEAK_EXITCODE --------------------------------------------------------------

LEAK_EXITCODE = {"PQPOOL_LEAK_EXITCODE": 77}


@pytest.mark.parametrize("way", ["return", "exit", "thread", "_exit", "_Exit", "quick_exit"])
def test_leak_exitcode(on, way):
    bare = on("unix", ["exits", way, "3", "leased"], pooled=False)
    done = on("unix", ["exits", way, "3", "leased"], env=LEAK_EXITCODE)
    assert done.returncode == 77 and "1 connection leaked" in done.stderr
    assert done.stdout == bare.stdout
    quiet = on("unix", ["exits", way, "3", "leased"],
               env={**LEAK_EXITCODE, "PQPOOL_REPORT": "off"})
    assert (quiet.returncode, quiet.stderr) == (77, "")


@pytest.mark.parametrize("way", ["return", "exit", "_exit", "quick_exit"])
@pytest.mark.parametrize("state", ["idle", "none"])
def test_leak_exitcode_without_leaks(on, way, state):
    done = on("unix", ["exits", way, "3", state], env=LEAK_EXITCODE)
    assert (done.returncode, done.stderr) == (3, "")


def test_leak_exitcode_keeps_death_by_signal(on):
    done = on("unix", ["exits", "abort", "0", "leased"], env=LEAK_EXITCODE, check_leases=False)
    assert done.returncode == -6


FULL = """
import os, psycopg2

for _ in range(3):
    psycopg2.connect("").close()
kept = psycopg2.connect("")
child = os.fork()
if child == 0:
    for _ in range(3):
        connection = psycopg2.connect("")
        connection.cursor().execute("SELECT 1")
        connection.close()
    os._exit(0)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
kept.cursor().execute("SELECT 1")
kept.close()
"""


def test_child_of_a_full_pool(run):
    """What its parent has on lease takes no room in the child's pool."""
    done = run([PYTHON, "-c", FULL], env={
        "PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "1s"})
    assert done.stdout == "child 0\n" and done.stderr == "", done


@pytest.mark.parametrize("mode", ["copied", "shared", "beside"])
def test_children_made_by_clone(run, program, mode):
    """Past fork and its handlers; with a copy of the memory, or with the parent's own."""
    bare = run([program("clones"), mode], pooled=False)
    assert bare.stdout == "child: exit 0\nheld: same\n1\n1\n1\n"
    done = run([program("clones"), mode], check_leases=False)
    assert (done.stdout, done.stderr, done.returncode) == (bare.stdout, bare.stderr, 0)
