# SPDX-License-Identifier: PostgreSQL
"""`pqpool doctor`: what it tells of a program must be what happens to it."""
import ctypes.util
import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

import house
from running import PYTHON
from server import bare_environ, bindir

POOLED, NOT_POOLED = 0, 1
FUNCTIONS = "void *PQconnectdb(const char *s) { return 0; } void PQfinish(void *c) {}\n"
CALLS = """void *PQconnectdb(const char *s);
void PQfinish(void *c);
int main(void) { PQfinish(PQconnectdb("")); return 0; }
"""


@pytest.fixture
def doctor(build, tmp_path):
    """doctor(program, env={...}): status, and lines without their indentation."""
    def ask(program, env=None, cwd=None):
        done = subprocess.run(
            [os.path.join(build, "pqpool"), "doctor", str(program)], text=True, cwd=cwd,
            capture_output=True, check=False,
            env={**bare_environ(), "XDG_RUNTIME_DIR": str(tmp_path), **(env or {})})
        complaints = [line for line in done.stderr.splitlines() if "from LD_PRELOAD" not in line]
        assert not complaints or done.returncode > 2, done
        return done.returncode, [line.strip() for line in done.stdout.splitlines()]

    return ask


@pytest.fixture
def compiled(tmp_path):
    """compiled(source, *flags, name=...): a program or library made of it."""
    def make(source, *flags, name="program"):
        path = tmp_path / name
        subprocess.run(["gcc", "-w", "-x", "c", "-", "-x", "none", "-o", path, *flags],
                       input=source, text=True, check=True)
        return path

    return make


def libpqs(lines):
    """The libpqs that it says will be found, with the road to each."""
    found = [re.match(r"ok: (\S+), which (.+) needs as (\S+), found by (.+)", line)
             for line in lines]
    return {match.group(1): match.group(4) for match in found if match}


def ldd(program, env=None):
    """Where the linker itself finds libpq. (Of programs that we trust.)"""
    out = subprocess.run(["ldd", str(program)], env={**bare_environ(), **(env or {})}, text=True,
                         capture_output=True, check=True).stdout
    return os.path.realpath(re.search(r"libpq[.-]\S* => (\S+)", out).group(1))


def troubles(lines):
    return [line for line in lines if line.startswith("! ")]


# -- roads -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["psql", "pgbench", "pg_dump"])
def test_server_programs(doctor, name):
    program = os.path.join(bindir(), name)
    status, lines = doctor(program)
    assert status == POOLED and libpqs(lines) == {ldd(program): "/etc/ld.so.cache"}
    assert lines[-1] == "Verdict: %s would be pooled" % program


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
    env = {"LD_LIBRARY_PATH": "/nowhere:%s" % other}
    plain = compiled(CALLS, "-lpq")
    new = compiled(CALLS, "-lpq", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/own", name="new")
    old = compiled(CALLS, "-lpq", "-Wl,--disable-new-dtags,-rpath,${ORIGIN}/own", name="old")
    for program, environment, road in [
            (plain, {}, "/etc/ld.so.cache"), (plain, env, "LD_LIBRARY_PATH"),
            (new, {}, "DT_RUNPATH"), (new, env, "LD_LIBRARY_PATH"),
            (old, {}, "DT_RPATH"), (old, env, "DT_RPATH")]:
        status, lines = doctor(program, environment)
        assert status == POOLED
        assert libpqs(lines) == {ldd(program, environment): road}


def test_missing_libpq(doctor, compiled):
    stub = compiled(FUNCTIONS, "-shared", "-fPIC", "-Wl,-soname,libpq-gone.so.9", name="libpq-gone.so.9")
    program = compiled(CALLS, str(stub))
    os.unlink(stub)
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert troubles(lines)[0].endswith("needs libpq-gone.so.9, which is nowhere")


def test_libpq_that_lacks_functions(doctor, compiled, tmp_path):
    stub = compiled(FUNCTIONS, "-shared", "-fPIC", "-Wl,-soname,libpq.so.5", name="libpq.so.5")
    program = compiled(CALLS, str(stub), "-Wl,-rpath,%s" % tmp_path)
    status, lines = doctor(program)
    assert status == NOT_POOLED and re.search("libpq.so.5 has no PQ", troubles(lines)[0])


@pytest.mark.parametrize("flags", [[], ["-rdynamic"]])
def test_libpq_inside(doctor, compiled, flags):
    status, lines = doctor(compiled(FUNCTIONS + CALLS, *flags))
    assert status == NOT_POOLED and "has a libpq linked into it" in troubles(lines)[0]


def test_no_libpq(doctor):
    status, lines = doctor("/bin/ls")
    assert status == NOT_POOLED and "no way to a libpq is to be seen" in troubles(lines)[0]
    assert lines[-1] == "Verdict: /bin/ls would not be pooled: 1 reason above"


# -- interpreters ---------------------------------------------------------------------------


def module_of(language):
    import psycopg2
    return {
        "python3": glob.glob(os.path.dirname(psycopg2.__file__) + "/_psycopg.cpython*.so"),
        "perl": glob.glob("/usr/lib/*/perl5/*/auto/DBD/Pg/Pg.so"),
        "php": glob.glob("/usr/lib/php/2*/pgsql.so"),
        "ruby": glob.glob("/usr/lib/*/ruby/vendor_ruby/*/pg_ext.so"),
    }[language][0]


@pytest.mark.parametrize("language", ["python3", "perl", "php", "ruby"])
def test_interpreters(doctor, language):
    module = module_of(language)
    status, lines = doctor("/usr/bin/" + language)
    assert status == POOLED
    assert "ok: %s, if the program uses it" % module in lines, lines
    assert set(libpqs(lines)) == {ldd(module)}
    deepbound = any("RTLD_DEEPBIND" in line for line in lines)
    assert deepbound == (language == "php")


def test_functions_looked_up(doctor):
    """Debian's psycopg 3 uses ctypes."""
    lines = doctor(PYTHON)[1]
    assert any("pq_ctypes.py looks libpq's functions up by dlsym" in line for line in lines)


@pytest.mark.parametrize("first", ["#!/usr/bin/python3 -u", "#! /usr/bin/env python3",
                                   "#!/usr/bin/env -S A=b /usr/bin/python3 -u"])
def test_script(doctor, tmp_path, first):
    script = tmp_path / "script"
    proof = tmp_path / "it ran"
    script.write_text("%s\nopen(%r, 'w')\n" % (first, str(proof)))
    script.chmod(0o755)
    status, lines = doctor(script, {"PATH": "/usr/bin:/bin"})
    assert status == POOLED and set(libpqs(lines)) == {ldd(module_of("python3"))}
    assert "ok: %s is a script, /usr/bin/python3 can be preloaded into" % script in lines
    assert not proof.exists()


def test_virtual_environment(doctor, tmp_path):
    """A wheel's module, with the libpq that came with it."""
    folder = tmp_path / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    version = "python%d.%d" % sys.version_info[:2]
    packages = folder / "lib" / version / "site-packages"
    if not packages.is_dir():
        pytest.skip("%s is of another version than we" % PYTHON)
    (packages / "psycopg2").mkdir()
    (packages / "psycopg2_binary.libs").mkdir()
    required = re.findall(r"^(?:HOOK|CALL)\((\w+)\)", house.read("shim/base/hooks.def"), re.M)
    stub = packages / "psycopg2_binary.libs" / "libpq-0a1b2c3d.so.5.16"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", stub,
                    "-Wl,-soname,libpq-0a1b2c3d.so.5.16"], text=True, check=True,
                   input="".join("int %s(void) { return 0; }\n" % name for name in required))
    name = os.path.basename(module_of("python3"))
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o",
                    packages / "psycopg2" / name, stub, "-Wl,--enable-new-dtags,-rpath,"
                    "$ORIGIN/../psycopg2_binary.libs"], text=True, check=True,
                   input="int PQconnectdb(void); int use(void) { return PQconnectdb(); }\n")
    status, lines = doctor(folder / "bin" / "python3")
    assert status == POOLED
    assert libpqs(lines)[str(stub)] == "DT_RUNPATH"
    assert any("it is older than 14" in line for line in lines)


def test_driver_without_libpq(doctor, tmp_path):
    (tmp_path / "asyncpg").mkdir()
    (tmp_path / "asyncpg" / "__init__.py").write_text("")
    lines = doctor(PYTHON, {"PYTHONPATH": str(tmp_path)})[1]
    assert "note: %s/asyncpg/__init__.py speaks to the server without libpq: its connections " \
           "are not pooled" % tmp_path in lines


# -- what stands against preloading ---------------------------------------------------------


def test_static(doctor, compiled):
    status, lines = doctor(compiled("int main(void) { return 0; }", "-static"))
    assert status == NOT_POOLED and "statically linked" in troubles(lines)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a setuid program")
def test_setuid(doctor, compiled):
    program = compiled(CALLS, "-lpq")
    os.chown(program, 65534, 65534)
    os.chmod(program, 0o4755)
    status, lines = doctor(program)
    assert status == NOT_POOLED and "raised privileges" in troubles(lines)[0]


def test_musl(doctor, compiled):
    status, lines = doctor(compiled(CALLS, "-lpq", "-Wl,--dynamic-linker=/lib/ld-musl-x.so.1"))
    assert status == NOT_POOLED and "it runs with musl" in troubles(lines)[0]


def test_old_libc(doctor, compiled):
    libc = compiled("int version;", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6",
                    name="libc.so.6")
    program = compiled(CALLS, "-lpq", "-Wl,--disable-new-dtags,-rpath,%s" % libc.parent)
    status, lines = doctor(program)
    assert status == NOT_POOLED
    assert any("libpqpool.so needs GLIBC_2." in line and "too old" in line
               for line in troubles(lines))


def test_sanitized(doctor, compiled):
    program = compiled(CALLS, "-lpq", "-fsanitize=address")
    status, lines = doctor(program)
    assert status == NOT_POOLED and "wants to be loaded first" in troubles(lines)[0]


def test_preloads(doctor, compiled, shim):
    psql = os.path.join(bindir(), "psql")
    jemalloc = ctypes.util.find_library("jemalloc")
    other = compiled("void PQfinish(void *c) {}", "-shared", "-fPIC", name="other.so")
    status, lines = doctor(psql, {"LD_PRELOAD": "%s:/nowhere.so %s" % (jemalloc, shim)})
    assert status == POOLED
    assert any(re.match(r"ok: \S*jemalloc\S* in LD_PRELOAD is no concern", line) for line in lines)
    assert "note: /nowhere.so in LD_PRELOAD cannot be preloaded; the linker says so and goes " \
           "on" in lines
    assert "ok: %s is in LD_PRELOAD already" % shim in lines
    status, lines = doctor(psql, {"LD_PRELOAD": str(other)})
    assert status == NOT_POOLED
    assert "%s in LD_PRELOAD answers libpq's functions, too (PQfinish)" % other in troubles(lines)[0]


def test_another_pqpool(doctor, shim, tmp_path):
    copy = shutil.copy(shim, tmp_path / "libpqpool.so")
    status, lines = doctor(os.path.join(bindir(), "psql"), {"LD_PRELOAD": str(copy)})
    assert status == NOT_POOLED and "is another pqpool" in troubles(lines)[0]


# -- configuration ------------------------------------------------------------------------


def test_settings(doctor, tmp_path):
    psql = os.path.join(bindir(), "psql")
    status, lines = doctor(psql, {
        "PQPOOL_PROFILE": "dev", "PQPOOL_SIZE": "7", "PQPOOL_TIMEOUT": "",
        "PQPOOL_LOG": "%s/%%n.%%p.log" % tmp_path})
    assert status == POOLED
    rows = {line.split()[0]: line.split(None, 1)[1] for line in lines
            if line.startswith("PQPOOL_")}
    table = set(re.findall(r'^VARIABLE\(\w+, "(\w+)"', house.read("shim/base/config.def"), re.M))
    assert set(rows) == table
    assert rows["PQPOOL_SIZE"].split() == ["environment", "7"]
    assert rows["PQPOOL_MAX_OVERFLOW"].split() == ["profile", "dev", "10"]
    assert rows["PQPOOL_TIMEOUT"].split() == ["default", "30"]
    assert "log: %s/psql.%%p.log, to be made" % tmp_path in lines
    assert "status page: in %s/pqpool, to be made" % tmp_path in lines


@pytest.mark.parametrize("env, why", [
    ({"PQPOOL_SIZE": "ten"}, 'PQPOOL_SIZE="ten": must be'),
    ({"PQPOOL_DISABLE": "on"}, "PQPOOL_DISABLE is on"),
    ({"PQPOOL_ONLY": "httpd"}, "PQPOOL_ONLY or PQPOOL_SKIP leaves psql out"),
    ({"PQPOOL_SKIP": "p*"}, "PQPOOL_ONLY or PQPOOL_SKIP leaves psql out"),
])
def test_settings_that_do_not_pool(doctor, env, why):
    status, lines = doctor(os.path.join(bindir(), "psql"), env)
    assert status == NOT_POOLED and why in "\n".join(lines)


def test_unknown_variable(doctor):
    status, lines = doctor(os.path.join(bindir(), "psql"), {"PQPOOL_SIZES": "3"})
    assert status == POOLED and any("did you mean PQPOOL_SIZE?" in line for line in lines)


@pytest.mark.parametrize("log, said", [
    ("/nowhere/x.log", "which cannot be made (No such file or directory): stderr instead"),
    ("stderr", "log: stderr"),
])
def test_log(doctor, log, said):
    lines = doctor(os.path.join(bindir(), "psql"), {"PQPOOL_LOG": log})[1]
    assert any(line.startswith("log: ") and line.endswith(said) for line in lines)


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
