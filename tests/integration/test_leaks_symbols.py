# SPDX-License-Identifier: PostgreSQL
"""pqpool leaks: source lines from debug information, wherever that is and whatever it holds."""
import os
import re
import shutil
import socket
import subprocess
from collections import Counter

import pytest

from reports import HOLDS_SOURCE, check_seven

DEBUG_FOLDER = "/usr/lib/debug/.build-id"


@pytest.fixture
def compiled(tmp_path, run, leaks):
    """compiled(flags...): builds holds.c; the path, ready to be run and asked for."""
    include = subprocess.run(["pg_config", "--includedir"], capture_output=True, text=True,
                             check=True).stdout.strip()
    path = tmp_path / "a folder" / "holds;$(x)"
    path.parent.mkdir()

    def build(*flags):
        subprocess.run(["gcc", "-O2", "-g", "-I" + include, *flags, "-o", str(path), HOLDS_SOURCE,
                        "-lpq", "-lpthread"], check=True)
        return str(path)

    return build


@pytest.fixture
def ask(run, leaks, tmp_path):
    """ask(program, ...): runs it to its violent end; what leaks says, and its output."""
    def go(path, after=None, env=None, **options):
        log = tmp_path / "asked.log"
        done = run([path, "kill"], check_leases=False, env={"PQPOOL_LOG": log})
        if after:
            after()
        return leaks(log, env=env, **options), done.stdout

    return go


def without_debug(path, debug):
    subprocess.run(["objcopy", "--only-keep-debug", path, str(debug)], check=True)
    subprocess.run(["strip", "--strip-all", path], check=True)


def test_optimized_program(compiled, ask):
    check_seven(*ask(compiled()))


def test_debug_link(compiled, ask):
    path = compiled()
    debug = os.path.join(os.path.dirname(path), "holds.debug")
    without_debug(path, debug)
    subprocess.run(["objcopy", "--add-gnu-debuglink=" + debug, path], check=True)
    check_seven(*ask(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may put files there")
def test_debug_file_by_build_id(compiled, ask, tmp_path):
    path = compiled()
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True,
                           check=True).stdout
    build_id = re.search(r"Build ID: (\w+)", notes).group(1)
    folder = os.path.join(DEBUG_FOLDER, build_id[:2])
    there = os.path.exists(folder)
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, build_id[2:] + ".debug")
    without_debug(path, tmp_path / "debug")
    shutil.copy(tmp_path / "debug", target)
    try:
        check_seven(*ask(path))
    finally:
        os.remove(target)
        if not there:
            os.rmdir(folder)


def functions(said):
    return Counter(p["frames"][0].get("function") for p in said.places)


def test_without_debug_information_the_symbols(compiled, ask):
    path = compiled()
    subprocess.run(["strip", "--strip-debug", path], check=True)
    said, _ = ask(path)
    assert functions(said) == Counter(["four_times", "twice", "once"])
    assert not any("file" in f for p in said.places for f in p["frames"] if "holds" in f["module"])


def test_without_symbols_nothing_is_made_up(compiled, ask):
    """Some function always stands before: that does not make it the one."""
    path = compiled("-rdynamic")
    subprocess.run(["strip", "--strip-all", path], check=True)
    said, _ = ask(path)
    assert functions(said) == Counter([None] * 3)
    assert said.document["leaked"] == 7


def test_rebuilt_program_is_not_believed(compiled, ask):
    path = compiled()
    said, _ = ask(path, after=lambda: compiled("-O0"))
    assert said.document["leaked"] == 7 and functions(said) == Counter([None] * 3)
    assert {f["module_state"] for p in said.places for f in p["frames"]
            if "holds" in f["module"]} == {"rebuilt"}
    assert b"is not the file that ran" in said.stderr and said.stderr.count(b"\n") == 1


def test_program_without_build_id(compiled, ask):
    path = compiled("-Wl,--build-id=none")
    check_seven(*ask(path))
    said, _ = ask(path, after=lambda: compiled("-Wl,--build-id=none", "-O0"))
    assert functions(said) == Counter([None] * 3)


def test_program_that_is_gone(compiled, ask):
    path = compiled()
    said, _ = ask(path, after=lambda: os.remove(path))
    assert said.document["leaked"] == 7 and functions(said) == Counter([None] * 3)


SECTIONS = ["info", "abbrev", "line", "str"]


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x01\x7f\x80"], ids=["0", "ff", "mixed"])
@pytest.mark.parametrize("section", SECTIONS)
def test_damaged_debug_information(compiled, ask, tmp_path, section, fill):
    """What it cannot tell is left out; the symbols are another thing."""
    path = compiled()

    def damage():
        found = re.search(r"\.debug_%s +\w+ +\w+ (\w+) (\w+)" % section, subprocess.run(
            ["readelf", "-SW", path], capture_output=True, text=True, check=True).stdout)
        with open(path, "r+b") as file:
            file.seek(int(found.group(1), 16))
            size = int(found.group(2), 16)
            file.write((fill * size)[:size])

    subprocess.run(["objcopy", "--decompress-debug-sections", path], check=True)
    said, _ = ask(path, after=damage)
    assert said.document["leaked"] == 7 and len(said.places) == 3
    if section in ("info", "abbrev"):
        assert functions(said) == Counter(["four_times", "twice", "once"])


@pytest.fixture
def without_elfutils(compile_shared):
    """An environment in which libdwfl does not do its part, but this."""
    def make(body):
        return {"LD_PRELOAD": compile_shared(
            "#include <stdlib.h>\nvoid *dwfl_begin(void *unused) { %s }" % body)}

    return make


@pytest.fixture
def compile_shared(tmp_path):
    def build(source):
        path = tmp_path / "library.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)],
                       input=source, text=True, check=True)
        return str(path)

    return build


@pytest.mark.parametrize("body", ["return 0;", "abort();", "_Exit(0);", "exit(3);"])
def test_reading_that_fails(program, ask, without_elfutils, body):
    said, _ = ask(program("holds"), env=without_elfutils(body))
    assert said.document["leaked"] == 7
    assert (b"has failed: no files and lines of it" in said.stderr) == (body != "_Exit(0);")
    assert b"abort" not in said.stderr.lower()
    assert functions(said) == Counter(["four_times", "twice", "once"])  # from .symtab


@pytest.mark.limit(120)
def test_reading_that_hangs(compiled, ask, tmp_path):
    """Where the debug link leads to a pipe, to which nobody writes."""
    path = compiled()
    debug = os.path.join(os.path.dirname(path), "holds.debug")
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["strip", "--strip-debug", path], check=True)
    subprocess.run(["objcopy", "--add-gnu-debuglink=" + debug, path], check=True)
    os.remove(debug)
    os.mkfifo(debug)
    said, _ = ask(path)
    assert said.document["leaked"] == 7 and b"has taken too long" in said.stderr
    assert functions(said) == Counter(["four_times", "twice", "once"])


def test_no_server_is_asked_for_debug_information(compiled, ask, tmp_path):
    path = compiled()
    without_debug(path, tmp_path / "debug")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        said, _ = ask(path, env={"DEBUGINFOD_URLS": "http://127.0.0.1:%d" % listener.getsockname()[1]})
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert functions(said) == Counter([None] * 3)


@pytest.fixture
def frames_of(run, leaks, tmp_path):
    """frames_of(compiler, flags, name=source, ...): compiles these in a folder, by their names
    alone, runs that, and gives the frames of the one place that leaked."""
    include = subprocess.run(["pg_config", "--includedir"], capture_output=True, text=True,
                             check=True).stdout.strip()

    def build(compiler, *flags, **sources):
        names = [name.replace("_", ".") for name in sources]
        for name, source in zip(names, sources.values()):
            (tmp_path / name).write_text(source)
        subprocess.run([compiler, "-O2", "-g", "-I" + include, *flags, *names, "-o", "built",
                        "-lpq"], cwd=tmp_path, check=True)
        run([str(tmp_path / "built")], check_leases=False, env={"PQPOOL_LOG": tmp_path / "log"})
        [place] = leaks(tmp_path / "log").places
        return [(f.get("function"), f.get("file"), f.get("line"), f["inlined"])
                for f in place["frames"]]

    return build


def test_names_of_cpp(frames_of, tmp_path):
    """Demangled, those of inlined functions, too; and files with their whole path."""
    path = str(tmp_path / "a.cpp")
    assert frames_of("g++", a_cpp=CPP)[:3] == [
        ("shop::Pool::open(char const*)", path, 5, True),
        ("shop::Pool::Pool(int)", path, 6, True), ("main", path, 9, False)]


def test_functions_inlined_from_another_file(frames_of, tmp_path):
    """By link-time optimisation."""
    found = frames_of(
        "gcc", "-flto", a_c="""#include <unistd.h>
void other(const char *s);
int main(void) { other(""); _exit(0); }
""", b_c="""#include <libpq-fe.h>
void other(const char *s) { PQconnectdb(s); __asm__(""); }
""")
    assert found[:2] == [("other", str(tmp_path / "b.c"), 2, True),
                         ("main", str(tmp_path / "a.c"), 3, False)]


def test_names_of_cpp_without_debug_information(frames_of):
    """By the symbols of the file."""
    found = frames_of("g++", "-g0", "-fno-ipa-sra", "-rdynamic", a_cpp=CPP.replace("inline __attribute__((always_inline))",
                                                                  "__attribute__((noinline))"))
    assert [function for function, *_ in found[:3]] == [
        "shop::Pool::open(char const*)", "shop::Pool::Pool(int)", "main"]


def test_names_of_cpp_in_a_log(leaks, tmp_path):
    """Where the file is gone; what only looks like such a name stays as it is."""
    names = ["_ZN4shop4Pool4openEPKc", "_Znot", "_Z" + "1a" * 1500, "main"]
    lines = [*("time=2024-05-01T09:30:0%d.123456Z level=info pid=71 tid=71 program=app event=%s" % pair for pair in [
        (0, "stack stack=1 frames=\"%s\"" % " ".join("/gone+0x%d(%s)" % pair for pair in enumerate(names, 1))),
        (1, "acquire lease=1 session=1 backend=9 pool=a wait_us=0 stack=1")])]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    [place] = leaks(tmp_path / "log").places
    assert [frame["function"] for frame in place["frames"]] == ["shop::Pool::open(char const*)", *names[1:]]


CPP = """#include <libpq-fe.h>
#include <unistd.h>
namespace shop {
struct Pool {
    inline __attribute__((always_inline)) void open(const char *s) { PQconnectdb(s); asm(""); }
    inline __attribute__((always_inline)) Pool(int) { open(""); asm(""); }
};
}
int main() { shop::Pool pool(1); _exit(0); }
"""
