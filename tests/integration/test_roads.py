# SPDX-License-Identifier: PostgreSQL
"""Every road to libpq: linked, loaded, looked up, through wrappers and beside others.

Each program is run bare and pooled, must print the same, and must have come to the pool,
or must not have: the log tells.
"""
import os
import re
import subprocess

import pytest

from running import find_library

PYTHON, PHP = "/usr/bin/python3", "/usr/bin/php"
# As long as the other, for it is put in its place.
LIBPQ, OTHER_LIBPQ = b"libpq.so.5", b"libpq-x.so"
NO_CONNECTION, OTHER_NO_CONNECTION = b"connection to server on", b"Connection to server on"


def offset_of(library, symbol):
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True,
                           text=True, check=True).stdout
    return re.search(r"^(\w+) T %s(@|$)" % symbol, lines, re.M).group(1)


@pytest.fixture
def other_libpq(libpq, tmp_path):
    """Another libpq: another name, and it says "Connection" where the first does not."""
    with open(libpq, "rb") as f:
        content = f.read()
    assert len(LIBPQ) == len(OTHER_LIBPQ) and NO_CONNECTION in content
    content = content.replace(LIBPQ + b"\0", OTHER_LIBPQ + b"\0")
    path = tmp_path / OTHER_LIBPQ.decode()
    path.write_bytes(content.replace(NO_CONNECTION, OTHER_NO_CONNECTION))
    return str(path)


def same(run, argv, pooled=True, stderr=True, env=None, bare_env=None, **options):
    """Runs it bare and pooled: same output, same status, pooled or not. Pooled's result."""
    bare = run(argv, pooled=False, env=bare_env, **options)
    assert bare.returncode == 0, bare
    done = run(argv, env=env, **options)
    assert done.stdout == bare.stdout
    assert not stderr or done.stderr == bare.stderr
    assert done.returncode == 0, done
    assert bool(done.events("acquire")) == pooled, done.log
    return done


@pytest.fixture
def roads(run, program):
    return lambda *steps, **options: same(run, [program("roads"), *map(str, steps)], **options)


def assert_reused(done, acquires, sessions=1):
    assert len(done.events("acquire")) == acquires
    assert len(done.events("session_open")) == sessions


# ---- linked and loaded ------------------------------------------------------------------


def test_linked(run, program):
    assert_reused(same(run, [program("cycle"), "20"]), 20)


@pytest.mark.parametrize("flags", ["l", "g", "ld", "gd"])
def test_module(roads, module, flags):
    done = roads("open", "m", module("module", "module.so", "-lpq"), flags,
                 "call", "m", "module_run", "call", "m", "module_run")
    assert done.stdout.count("module_run: 42") == 2
    assert_reused(done, 40)


def assert_acquired_in(done, *modules):
    """20 times in each, by the innermost frames."""
    places = {e["stack"]: e["frames"].split("+")[0] for e in done.events("stack")}
    assert [places[e["stack"]] for e in done.events("acquire")] == [
        each for each in modules for _ in range(20)]


@pytest.mark.parametrize("flags", ["l", "ld"])
def test_one_module_in_the_place_of_another(roads, module, flags):
    """A stack is recognised by its addresses: those of the second are the same."""
    first, second = (module("module", name, "-lpq") for name in ("first.so", "other.so"))
    done = roads("open", "m", first, flags, "call", "m", "module_run", "close", "m",
                 "open", "m", second, flags, "call", "m", "module_run")
    assert_acquired_in(done, first, second)


def test_one_module_in_the_place_of_another_unseen(roads, module):
    """Bound to itself, what loads them calls the linker's own dlopen."""
    first, second = (module("module", name, "-lpq") for name in ("first.so", "other.so"))
    opener = module("opener", "opener.so", '-DFRIEND="%s"' % first, '-DOTHER="%s"' % second)
    done = roads("open", "o", opener, "ld", "call", "o", "opener_once",
                 "call", "o", "opener_once")
    assert_acquired_in(done, first, second)


def test_deepbind_keeps_a_module_from_a_libpq_of_another_kind(roads, module, libpq,
                                                              other_libpq):
    """Bound to us it would call the first libpq for what we do not answer."""
    done = roads("open", "a", libpq, "g",
                 "open", "m", module("module", "module.so", other_libpq), "ld",
                 "call", "m", "module_run", "call", "m", "module_fail", pooled=False,
                 env={"LD_LIBRARY_PATH": os.path.dirname(other_libpq)},
                 bare_env={"LD_LIBRARY_PATH": os.path.dirname(other_libpq)})
    assert "Connection to server" in done.stdout


def test_module_closed_and_opened_again(roads, module):
    path = module("module", "module.so", "-lpq")
    steps = ["open", "m", path, "l", "call", "m", "module_run", "close", "m"] * 3
    assert_reused(roads(*steps), 60)


def test_libpq_stays_while_there_are_sessions(run, program, module):
    """The module goes and takes its reference on libpq with it; the pool has another."""
    argv = [program("roads"), "open", "m", module("module", "module.so", "-lpq"), "l",
            "call", "m", "module_run", "close", "m", "loaded", "libpq.so.5"]
    assert "loaded: 0" in run(argv, pooled=False).stdout
    done = run(argv)
    assert done.returncode == 0 and "loaded: 1" in done.stdout
    assert done.events("session_close", reason="exit")


@pytest.mark.parametrize("road", ["linked", "loaded"])
def test_the_linker_is_not_asked_for_each_function(run, program, module, tmp_path, road):
    """It takes 1,500 instructions for one. By the search for the landmark a libpq is found."""
    argv = [program("cycle"), "2"] if road == "linked" else [
        program("roads"), "open", "m", module("module", "module.so", "-lpq"), "l",
        "call", "m", "module_run"]
    asked = {}
    for pooled in (False, True):
        output = tmp_path / ("debug-%s" % pooled)
        done = run(argv, pooled=pooled,
                   env={"LD_DEBUG": "symbols", "LD_DEBUG_OUTPUT": str(output)})
        assert done.returncode == 0, done
        text = "".join(path.read_text() for path in tmp_path.glob(output.name + ".*"))
        asked[pooled] = set(re.findall(r"symbol=(PQ\w+);", text))
    assert "PQconnectdb" in asked[False]
    assert asked[True] - asked[False] <= {"PQconninfoFree"}


# ---- looked up --------------------------------------------------------------------------


def test_looked_up(roads):
    assert_reused(roads("open", "q", "libpq.so.5", "l", "cycle", "q", 20), 20)


def test_looked_up_through_a_module(roads, module):
    """And what we looked up in between leaves no error behind."""
    done = roads("open", "m", module("module", "module.so", "-lpq"), "l",
                 "call", "m", "module_run", "look", "m", "PQfinish", "cycle", "m", 20)
    assert "PQfinish: yes, no error" in done.stdout
    assert_reused(done, 40)


@pytest.mark.parametrize("handle", ["default", "program"])
def test_looked_up_in_the_global_scope(roads, handle):
    assert_reused(roads("open", "q", "libpq.so.5", "g", "cycle", handle, 20), 20)


def test_looked_up_in_threads(roads):
    # All are kept: one that is given back beyond PQPOOL_SIZE may be closed, and opened again.
    done = roads("open", "q", "libpq.so.5", "l", "threads", "q", 16, env={"PQPOOL_SIZE": 16})
    assert len(done.events("acquire")) == 80
    assert len(done.events("session_open")) <= 16


def test_looked_up_and_opened_again(roads):
    steps = ["open", "q", "libpq.so.5", "l", "cycle", "q", 5, "close", "q"] * 3
    assert_reused(roads(*steps), 15)


@pytest.mark.parametrize("way, function", [("finish", "PQfinish"), ("connect", "PQconnectdb")])
def test_half_of_it_past_us(roads, libpq, way, function):
    """Connections that we see only the beginning of, or only the end, do no harm."""
    done = roads("open", "q", libpq, "l", "past", "q", way, offset_of(libpq, function),
                 stderr=False, check_leases=False)
    assert done.stdout.count("good") == 6


CTYPES = """
import ctypes
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = pq.PQerrorMessage.restype = ctypes.c_char_p
for i in range(20):
    conn = ctypes.c_void_p(pq.PQconnectdb(b""))
    result = ctypes.c_void_p(pq.PQexec(conn, b"SELECT 6 * 7"))
    print(pq.PQgetvalue(result, 0, 0), pq.PQerrorMessage(conn))
    pq.PQclear(result)
    pq.PQfinish(conn)
"""
# Through one foreign function interface, which looks functions up in two ways.
TWO_BY_CTYPES = """
import ctypes, sys
def functions(find):
    return (ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(find(b"PQconnectdb")),
            ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(find(b"PQerrorMessage")),
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(find(b"PQfinish")))
def attribute(library, name):
    return ctypes.cast(library[name.decode()], ctypes.c_void_p).value
a, b = map(ctypes.CDLL, sys.argv[1:])
dlsym = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("dlsym", ctypes.CDLL(None)))
ways = (functions(lambda name: attribute(a, name)),
        functions(lambda name: dlsym(b._handle, name)))
for connect, error, finish in ways * 3:
    conn = connect(b"host=/nonexistent")
    print(error(conn))
    finish(conn)
    finish(connect(b""))
"""
PSYCOPG = """
import psycopg
print(psycopg.pq.__impl__)
for i in range(20):
    with psycopg.connect("") as conn:
        print(conn.execute("SELECT %s + 1", [i]).fetchone())
try:
    psycopg.connect("host=/nonexistent")
except psycopg.OperationalError as e:
    print(e)
"""
PHP_CONNECT = """
for ($i = 0; $i < 20; $i++) {
    $conn = pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    print(pg_fetch_result(pg_query($conn, "SELECT $i + 1"), 0, 0) . "\\n");
    pg_close($conn);
}
"""


def test_ctypes(run):
    assert_reused(same(run, [PYTHON, "-c", CTYPES]), 20)


def test_psycopg(run):
    by_ctypes = {"PSYCOPG_IMPL": "python"}
    done = same(run, [PYTHON, "-c", PSYCOPG], env=by_ctypes, bare_env=by_ctypes)
    assert done.stdout.startswith("python\n")
    assert_reused(done, 20)


def test_ctypes_and_a_module(run):
    """One libpq for both: the pool is one."""
    program = CTYPES + "import psycopg2\npsycopg2.connect('').close()\n"
    assert_reused(same(run, [PYTHON, "-c", program]), 21)


def test_php(run, server):
    conninfo = PHP_CONNECT.replace('""', '"user=app"')
    done = same(run, [PHP, "-r", conninfo])
    assert_reused(done, 20)


# ---- two libpqs in one process ----------------------------------------------------------


def libpq_said(done):
    return re.findall(r"[Cc]onnection to server", done.stdout)


def test_two_libpqs_by_modules(roads, module, other_libpq):
    a = module("module", "a.so", "-lpq")
    b = module("module", "b.so", other_libpq, "-Wl,-rpath,$ORIGIN")
    steps = ["call", "a", "module_run", "call", "b", "module_run", "call", "a", "module_fail",
             "call", "b", "module_fail", "call", "a", "module_keep", "call", "b", "module_keep"]
    done = roads("open", "a", a, "l", "open", "b", b, "l", *steps * 3, stderr=False)
    assert libpq_said(done) == ["connection to server", "Connection to server"] * 3
    # Of each one for all connects but that which is kept, which is reset three times.
    assert len(done.events("session_open")) == 2 * (1 + 1 + 3)


def test_an_object_keeps_its_libpq(roads, module, libpq, other_libpq):
    """Another one in the global scope would be what a new object is bound to."""
    done = roads("open", "a", module("module", "a.so", "-lpq"), "l",
                 "call", "a", "module_fail", "call", "a", "module_keep",
                 "open", "b", other_libpq, "g",
                 "call", "a", "module_fail", "call", "a", "module_keep", stderr=False)
    assert libpq_said(done) == ["connection to server"] * 2


def test_two_libpqs_looked_up(roads, libpq, other_libpq):
    """Nothing in the calls tells them apart: the second is left alone, throughout."""
    done = roads("open", "a", libpq, "l", "open", "b", other_libpq, "l",
                 *["cycle", "a", 3, "cycle", "b", 3] * 3)
    assert re.findall(r"[Cc]onnec", done.stdout) == (["connec"] * 3 + ["Connec"] * 3) * 3
    assert_reused(done, 9)


def test_two_libpqs_by_one_interface(run, libpq, other_libpq):
    """The calls all come from the interface: only one libpq can be meant by them."""
    done = same(run, [PYTHON, "-c", TWO_BY_CTYPES, libpq, other_libpq])
    assert libpq_said(done) == ["connection to server", "Connection to server"] * 3
    assert_reused(done, 3)


def test_a_module_and_another_libpq_looked_up(roads, module, other_libpq):
    done = roads("open", "a", module("module", "a.so", "-lpq"), "l",
                 "call", "a", "module_run", "open", "b", other_libpq, "l", "cycle", "b", 20,
                 "call", "a", "module_fail", "call", "a", "module_run")
    assert done.stdout.count("good: Connection") == 20
    assert libpq_said(done)[-1] == "connection to server"
    assert_reused(done, 60, sessions=2)


def test_the_other_of_two_modules_in_its_place(roads, module, other_libpq):
    """What is loaded where another object was is not taken for that one."""
    a = module("module", "a.so", "-lpq")
    b = module("module", "b.so", other_libpq, "-Wl,-rpath,$ORIGIN")
    steps = []
    for path in (a, b) * 4:
        steps += ["open", "m", path, "l", "call", "m", "module_fail", "close", "m"]
    done = roads(*steps, pooled=False)
    assert libpq_said(done) == ["connection to server", "Connection to server"] * 4


# ---- what is not about libpq stays as it is ---------------------------------------------


@pytest.mark.parametrize("env", [{}, {"LD_BIND_NOW": "1"}])
def test_look_ups_that_find_nothing(run, program, libpq, env):
    """Nothing of ours is found, and errors are as they are: one each, of the same text."""
    steps = []
    for handle in ("default", "program", "c", "next"):
        for symbol in ("PQnosuch", "nosuch", "puts", "PQfinish", "PQconnectdb", "PQgetgssctx"):
            # By RTLD_NEXT we are found, as a wrapper is that has nobody to call.
            if handle != "next" or symbol not in ("PQfinish", "PQconnectdb", "PQgetgssctx"):
                steps += ["look", handle, symbol]
    argv = [program("roads"), "open", "c", "libc.so.6", "l", *steps,
            "open", "x", "./nosuch.so", "ld", "open", "x", "nosuch.so", "l",
            "loaded", "libpq.so.5", "open", "q", libpq, "l", "look", "default", "PQfinish",
            "look", "q", "PQnosuch", "look", "q", "PQfinish", "look", "default", "PQfinish"]
    bare, pooled = (run(argv, pooled=p, env=env) for p in (False, True))
    assert "PQfinish: no, " in bare.stdout and "another" not in bare.stdout
    # Where only we have a name, the linker is asked for it with a space behind.
    assert pooled.stdout.replace(" , no other", ", no other") == bare.stdout
    assert (pooled.stderr, pooled.returncode, pooled.log) == ("", 0, [])


def test_global_look_up_from_a_library(roads, module):
    done = roads("open", "o", module("opener", "opener.so", '-DFRIEND="none"'), "l",
                 "look", "default", "opener_own", "call", "o", "opener_look", pooled=False)
    assert "opener_look: 42" in done.stdout and "opener_own: no" in done.stdout


def test_runpath_of_the_caller(roads, module):
    module("module", "sub/friend.so", "-lpq", "-Wl,-soname,friend.so")
    opener = module("opener", "opener.so", '-DFRIEND="friend.so"',
                    "-Wl,--enable-new-dtags,-rpath,$ORIGIN/sub")
    done = roads("open", "o", opener, "l", "open", "f", "friend.so", "l",
                 "call", "o", "opener_run", pooled=False)
    assert "opener_run: 42" in done.stdout


@pytest.mark.parametrize("order", ["before", "after"])
def test_wrapper_by_rtld_next(run, program, module, shim, order):
    wrapper = module("wrapper", "wrapper.so")
    both = [wrapper, shim] if order == "before" else [shim, wrapper]
    for argv in ([program("cycle"), "20"], [program("roads"), "look", "next", "malloc"]):
        done = same(run, argv, pooled=argv[0] == program("cycle"),
                    env={"LD_PRELOAD": ":".join(both)}, bare_env={"LD_PRELOAD": wrapper})
        assert "mallocs: some" in done.stdout
        assert done.stderr == ""
    assert_reused(run([program("cycle"), "20"], env={"LD_PRELOAD": ":".join(both)}), 20)


@pytest.mark.parametrize("order", ["before", "after"])
def test_jemalloc(run, program, shim, order):
    jemalloc = find_library("libjemalloc.so.2")
    both = [jemalloc, shim] if order == "before" else [shim, jemalloc]
    for argv, pooled in (([program("cycle"), "20"], True), ([PYTHON, "-c", CTYPES], True),
                         ([program("threads"), "cycles"], True), (["/bin/ls", "/"], False)):
        same(run, argv, pooled, env={"LD_PRELOAD": ":".join(both)},
             bare_env={"LD_PRELOAD": jemalloc})
