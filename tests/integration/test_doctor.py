# SPDX-License-Identifier: PostgreSQL
"""`pqpool doctor`: what it tells of a program must be what happens to it."""
import ctypes.util
import os
import re
import shutil
import subprocess

import pytest

import house
from diagnoses import (CALLS, CLASS, MACHINE, NOT_POOLED, POOLED, REQUIRED, USE, alter, ldd, libpqs,
                       one_reason, stub, troubles)
from running import SPAWN_NAMESPACE
from server import bindir

FUNCTIONS = "void *PQconnectdb(const char *s) { return 0; } void PQfinish(void *c) {}\n"
# For root: it, too, may not read what its mode forbids.
AS_OTHERS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] * (os.geteuid() == 0)


# -- roads -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["psql", "pgbench", "pg_dump"])
def test_server_programs(doctor, name):
    program = os.path.join(bindir(), name)
    status, lines = doctor(program)
    assert status == POOLED and libpqs(lines) == {ldd(program): "/etc/ld.so.cache"}
    assert lines[-1] == "Verdict: %s would be pooled" % program
    assert any(line.startswith("Never pooled, but passed through:") for line in lines)


def test_through_another_library(doctor, build):
    program = os.path.join(build, "tests/clients/pqxx")
    status, lines = doctor(program)
    assert status == POOLED and set(libpqs(lines)) == {ldd(program)}
    assert any(re.match(r"libpqxx-\S+ is there for pqxx, by /etc/ld.so.cache", line)
               for line in lines)


@pytest.fixture
def own_libpq(tmp_path):
    """A folder with a libpq of its own."""
    real = ldd(os.path.join(bindir(), "psql"))
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(real, folder / "libpq.so.5")
    return folder


def test_roads(doctor, compiled, own_libpq, tmp_path):
    """Each is what the linker takes; DT_RPATH goes before LD_LIBRARY_PATH, DT_RUNPATH after."""
    other = tmp_path / "other"
    shutil.copytree(own_libpq, other)
    env = {"LD_LIBRARY_PATH": "/nowhere;%s" % other}
    plain = compiled(CALLS, "-lpq")
    new = compiled(CALLS, "-lpq", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/own", name="new")
    old = compiled(CALLS, "-lpq", "-Wl,--disable-new-dtags,-rpath,${ORIGIN}/own", name="old")
    lib = compiled(CALLS, "-lpq", "-Wl,--enable-new-dtags,-rpath,/usr/$LIB", name="lib")
    link = other / "link"
    link.symlink_to(new)
    for program, environment, road in [
            (plain, {}, "/etc/ld.so.cache"), (plain, env, "LD_LIBRARY_PATH"),
            (plain, {"LD_LIBRARY_PATH": ":/nowhere"}, "LD_LIBRARY_PATH"),
            (new, {}, "DT_RUNPATH"), (new, env, "LD_LIBRARY_PATH"), (link, {}, "DT_RUNPATH"),
            (old, {}, "DT_RPATH"), (old, env, "DT_RPATH"), (lib, {}, "DT_RUNPATH")]:
        status, lines = doctor(program, environment, cwd=own_libpq)
        assert status == POOLED
        # ldd(1) would take a link's folder for $ORIGIN, which it is not when it is executed.
        assert libpqs(lines) == {ldd(program.resolve(), environment, own_libpq): road}


def test_roads_of_what_a_library_needs(doctor, compiled, own_libpq):
    """A program's DT_RPATH serves for its libraries, too, if they have no DT_RUNPATH."""
    compiled(USE, "-shared", "-fPIC", "-lpq", name="lib/libplain.so")
    compiled(USE, "-shared", "-fPIC", "-lpq", "-Wl,--enable-new-dtags,-rpath,/nowhere",
             name="lib/libother.so")
    for name, tags, road in [
            ("plain", "disable", "DT_RPATH"), ("plain", "enable", "/etc/ld.so.cache"),
            ("other", "disable", "/etc/ld.so.cache")]:
        program = compiled(
            "void *use(void); int main(void) { return !use(); }", "-L%s/lib" % own_libpq.parent,
            "-l" + name, "-Wl,--%s-new-dtags,-rpath,$ORIGIN/lib:$ORIGIN/own" % tags)
        status, lines = doctor(program)
        assert status == POOLED and libpqs(lines) == {ldd(program): road}


@pytest.mark.parametrize("at, value", [(CLASS, 1), (MACHINE, 183)])
def test_libpq_of_another_machine_is_passed_over(doctor, compiled, own_libpq, at, value):
    alter(own_libpq / "libpq.so.5", at, value)
    program = compiled(CALLS, "-lpq")
    env = {"LD_LIBRARY_PATH": str(own_libpq)}
    assert libpqs(doctor(program, env)[1]) == {ldd(program, env): "/etc/ld.so.cache"}


def test_libpq_is_told_once(doctor, compiled):
    """By whatever many ways it is needed."""
    lib = compiled(USE, "-shared", "-fPIC", "-lpq", name="libuse.so")
    program = compiled(CALLS, "-lpq", str(lib))
    assert set(libpqs(doctor(program)[1])) == {ldd(program)}


def test_libpq_by_another_name(doctor, compiled, own_libpq, tmp_path):
    """By its file's name alone, by its own alone, and not by that of the program."""
    nameless = stub(compiled, "libpq.so.5")
    lines = doctor(compiled(CALLS, str(nameless)))[1]
    assert libpqs(lines) == {str(nameless): "its path"}
    hidden = stub(compiled, "libhidden.so")
    program = compiled(CALLS, "-L%s" % tmp_path, "-lhidden", "-Wl,-rpath,%s" % tmp_path)
    shutil.copy(own_libpq / "libpq.so.5", hidden)
    assert libpqs(doctor(program)[1]) == {str(hidden): "DT_RUNPATH"}
    called_so = compiled(CALLS, "-lpq", name="bin/libpq.so.5")
    status, lines = doctor(called_so)
    assert status == POOLED and set(libpqs(lines)) == {ldd(called_so)}


def test_missing_libpq(doctor, compiled):
    stub = compiled(FUNCTIONS, "-shared", "-fPIC", "-Wl,-soname,libpq-gone.so.9", name="libpq-gone.so.9")
    program = compiled(CALLS, str(stub))
    os.unlink(stub)
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert one_reason(lines).endswith("needs libpq-gone.so.9, which is not found")


def test_missing_library(doctor, compiled):
    """Another one: somebody may yet say where it is."""
    gone = compiled("int gone(void) { return 0; }", "-shared", "-fPIC", name="libgone.so")
    program = compiled("int gone(void); int main(void) { return gone(); }", "-Wl,--no-as-needed",
                       "-lpq", "-L%s" % gone.parent, "-lgone")
    os.unlink(gone)
    status, lines = doctor(program)
    assert status == POOLED
    assert "note: %s needs libgone.so, which is not found" % program in lines


def test_nothing_by_default(doctor, compiled):
    program = compiled(CALLS, "-lpq", "-Wl,-z,nodefaultlib")
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert "needs libpq.so.5, which is not found" in one_reason(lines)


@pytest.mark.parametrize("missing", ["PQfinish", "PQbackendPID"])
def test_libpq_that_lacks_a_function(doctor, compiled, tmp_path, missing):
    """One that we answer, one that we call."""
    lib = stub(compiled, "libpq.so.5", "-Wl,-soname,libpq.so.5",
               functions=[f for f in REQUIRED if f != missing])
    program = compiled(CALLS, str(lib), "-Wl,--unresolved-symbols=ignore-all,-rpath,%s" % tmp_path)
    status, lines = doctor(program)
    assert status == NOT_POOLED and "libpq.so.5 has no %s: " % missing in one_reason(lines)


@pytest.mark.parametrize("flags", [[], ["-rdynamic"], ["-rdynamic", "-s"]])
def test_libpq_inside(doctor, compiled, flags):
    status, lines = doctor(compiled(FUNCTIONS + CALLS, *flags))
    assert status == NOT_POOLED and "has a libpq linked into it" in one_reason(lines)


def test_no_libpq(doctor):
    status, lines = doctor("/bin/ls")
    assert status == NOT_POOLED and "no libpq is found" in one_reason(lines)
    assert not any(line.startswith("Never pooled") for line in lines)


# -- what stands against preloading ---------------------------------------------------------


def test_static(doctor, compiled):
    status, lines = doctor(compiled("int main(void) { return 0; }", "-static"))
    assert status == NOT_POOLED and "statically linked" in one_reason(lines)


@pytest.mark.parametrize("at, value", [(CLASS, 1), (MACHINE, 183)])
def test_another_machine(doctor, compiled, at, value):
    program = compiled(CALLS, "-lpq")
    alter(program, at, value)
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert "is built for another machine than libpqpool.so" in one_reason(lines)


def test_program_that_may_not_be_read(doctor, compiled):
    program = compiled(CALLS, "-lpq")
    program.chmod(0o111)
    status, lines = doctor(program, before=AS_OTHERS)
    assert status == NOT_POOLED
    assert one_reason(lines) == "! %s cannot be read" % program


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a setuid program")
def test_setuid(doctor, compiled):
    program = compiled(CALLS, "-lpq")
    os.chown(program, 65534, 65534)
    os.chmod(program, 0o4755)
    status, lines = doctor(program)
    assert status == NOT_POOLED and "raised privileges" in one_reason(lines)


def test_musl(doctor, compiled):
    status, lines = doctor(compiled(CALLS, "-lpq", "-Wl,--dynamic-linker=/lib/ld-musl-x.so.1"))
    assert status == NOT_POOLED and "runs with musl" in one_reason(lines)


def test_old_libc(doctor, compiled):
    libc = compiled("int version;", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6",
                    name="libc.so.6")
    program = compiled(CALLS, "-lpq", "-Wl,--disable-new-dtags,-rpath,%s" % libc.parent)
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert any("libpqpool.so needs GLIBC_2." in line and "too old" in line
               for line in troubles(lines))
    assert not any("libpqpool.so fits" in line for line in lines)
    assert " would not be pooled: " in lines[-1]


def test_sanitized(doctor, compiled):
    program = compiled(CALLS, "-lpq", "-fsanitize=address")
    status, lines = doctor(program)
    assert status == NOT_POOLED and "must be loaded first" in one_reason(lines)


def test_preloads(doctor, compiled, shim):
    psql = os.path.join(bindir(), "psql")
    jemalloc = ctypes.util.find_library("jemalloc")
    # Of the two symbols, which have one hash bucket, the linker puts the other one first.
    other = compiled("void PQfinish(void *c) {} void b(void) {}", "-shared", "-fPIC",
                     name="other.so")
    status, lines = doctor(psql, {"LD_PRELOAD": "%s:/nowhere.so %s" % (jemalloc, shim)})
    assert status == POOLED
    assert any(re.match(r"ok: \S*jemalloc\S* in LD_PRELOAD does not affect pqpool", line) for line in lines)
    assert "note: /nowhere.so in LD_PRELOAD cannot be preloaded; the linker says so and goes " \
           "on" in lines
    assert "ok: %s is in LD_PRELOAD already" % shim in lines
    status, lines = doctor(psql, {"LD_PRELOAD": str(other)})
    assert status == NOT_POOLED
    assert "%s in LD_PRELOAD also replaces libpq's functions (PQfinish)" % other in one_reason(
        lines, "perhaps not, or only in part,")


def test_preload_file(doctor, compiled, tmp_path):
    if subprocess.run([*SPAWN_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user")
    other = compiled("void PQfinish(void *c) {}", "-shared", "-fPIC", name="other.so")
    etc = tmp_path / "etc"
    etc.mkdir()
    shutil.copy("/etc/ld.so.cache", etc)
    (etc / "ld.so.preload").write_text("%s\n" % other)
    status, lines = doctor(os.path.join(bindir(), "psql"), before=[
        *SPAWN_NAMESPACE, "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc])
    assert status == NOT_POOLED
    assert "%s in /etc/ld.so.preload also replaces libpq's functions" % other in troubles(lines)[0]


def test_another_pqpool(doctor, shim, tmp_path):
    copy = shutil.copy(shim, tmp_path / "libpqpool.so")
    status, lines = doctor(os.path.join(bindir(), "psql"), {"LD_PRELOAD": str(copy)})
    assert status == NOT_POOLED and "is another pqpool" in troubles(lines)[0]


# -- configuration ------------------------------------------------------------------------


def test_settings(doctor, tmp_path, memory):
    psql = os.path.join(bindir(), "psql")
    status, lines = doctor(psql, {
        "PQPOOL_PROFILE": "dev", "PQPOOL_SIZE": "7", "PQPOOL_TIMEOUT": "",
        "PQPOOL_LOG": "%s/%%n.%%p.log" % tmp_path})
    assert status == POOLED
    rows = {line.split()[0]: line.split(None, 1)[1] for line in lines
            if line.startswith("PQPOOL_")}
    table = set(re.findall(r'^VARIABLE\(\w+, "(\w+)"', house.read("shim/base/config/config.def"), re.M))
    assert set(rows) == table
    assert rows["PQPOOL_SIZE"].split() == ["environment", "7"]
    assert rows["PQPOOL_MAX_OVERFLOW"].split() == ["profile", "dev", "10"]
    assert rows["PQPOOL_TIMEOUT"].split() == ["default", "30"]
    assert "log: %s/psql.%%p.log, will be created" % tmp_path in lines
    assert "status page: in %s/pqpool, will be created" % memory in lines


@pytest.mark.parametrize("env, why", [
    ({"PQPOOL_SIZE": "ten"}, 'PQPOOL_SIZE="ten": must be'),
    ({"PQPOOL_DISABLE": "on"}, "PQPOOL_DISABLE is on"),
    ({"PQPOOL_ONLY": "httpd"}, "PQPOOL_ONLY or PQPOOL_SKIP leaves psql out"),
    ({"PQPOOL_SKIP": "p*"}, "PQPOOL_ONLY or PQPOOL_SKIP leaves psql out"),
])
def test_settings_that_do_not_pool(doctor, env, why):
    status, lines = doctor(os.path.join(bindir(), "psql"), env)
    assert status == NOT_POOLED and why in "\n".join(lines)
    assert lines[-1].endswith("psql would not be pooled: 1 reason above")


def test_unknown_variable(doctor):
    status, lines = doctor(os.path.join(bindir(), "psql"), {"PQPOOL_SIZES": "3"})
    assert status == POOLED and any("did you mean PQPOOL_SIZE?" in line for line in lines)


@pytest.mark.parametrize("log, said", [
    ("/nowhere/x.log", "/nowhere/x.log, which cannot be created (No such file or directory): "
                       "stderr instead"),
    ("stderr", "stderr"), ("syslog", "syslog"),
    ("%h%%%n", "{host}%psql, will be created"), ("there", "there, exists and is writable"),
    ("locked", "locked, exists but is not writable: stderr instead"),
])
def test_log(doctor, tmp_path, log, said):
    (tmp_path / "there").touch()
    (tmp_path / "locked").touch(mode=0o400)
    lines = doctor(os.path.join(bindir(), "psql"), {"PQPOOL_LOG": log}, cwd=tmp_path,
                   before=AS_OTHERS)[1]
    assert "log: " + said.format(host=os.uname().nodename) in lines


def test_status_page(doctor, memory):
    place = memory / "pqpool"
    psql = os.path.join(bindir(), "psql")
    place.mkdir(mode=0o700)
    assert "status page: in %s" % place in doctor(psql)[1]
    place.rmdir()
    place.touch()
    found, = [line for line in doctor(psql)[1] if line.startswith("status page: ")]
    assert re.fullmatch("status page: in /dev/shm/pqpool-%d(, will be created)?" % os.geteuid(), found)


# -- usage -----------------------------------------------------------------------------------


def test_usage(build, tmp_path):
    def status(*arguments):
        return subprocess.run([os.path.join(build, "pqpool"), "doctor", *arguments],
                              capture_output=True, check=False).returncode

    (tmp_path / "plain").write_text("")
    assert status("--help") == 0
    assert status() == status("a", "b") == status("--no") == 2
    assert status("/nowhere/at all") == status("no such program") == 127
    assert status(str(tmp_path / "plain")) == 126
    (tmp_path / "plain").chmod(0o755)
    (tmp_path / "plain").write_text("#!/nowhere/interpreter\n")
    assert status(str(tmp_path / "plain")) == 127
    (tmp_path / "plain").write_bytes(b"\x7fELF")
    assert status(str(tmp_path / "plain")) == 126


def test_damaged_files(doctor, compiled, tmp_path):
    """Whatever is in the file, it ends in good order."""
    whole = compiled(CALLS, "-lpq").read_bytes()
    program = tmp_path / "damaged"
    for cut in list(range(0, 4096, 37)) + [len(whole) // 2]:
        program.write_bytes(whole[:cut])
        program.chmod(0o755)
        doctor(program)
    for at in range(0, 2048, 8):
        program.write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8:])
        program.chmod(0o755)
        status, _ = doctor(program)
        assert status in (0, 1, 126), status
