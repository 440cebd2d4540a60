# SPDX-License-Identifier: PostgreSQL
"""`pqpool doctor` of interpreters and scripts: by which modules they come to libpq."""
import glob
import os
import shutil
import subprocess
import sys

import pytest

from diagnoses import CALLS, NOT_POOLED, POOLED, USE, ldd, libpqs, one_reason, stub
from running import PYTHON


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
    assert sum("pq_ctypes.py looks up libpq's functions by dlsym" in line for line in lines) == 1


@pytest.mark.parametrize("first", ["#!/usr/bin/python3 -u", "#!\t/usr/bin/env python3",
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


def test_script_of_a_script(doctor, tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/usr/bin/python3\n")
    outer.write_text("#!%s\n" % inner)
    for script in (inner, outer):
        script.chmod(0o755)
    status, lines = doctor(outer)
    assert status == POOLED
    assert "ok: %s is a script, /usr/bin/python3 can be preloaded into" % outer in lines


def test_script_that_cannot_be_preloaded_into(doctor, compiled, tmp_path):
    compiled("int main(void) { return 0; }", "-static", name="static")
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env static\n")
    script.chmod(0o755)
    status, lines = doctor(script, {"PATH": "%s:/usr/bin:/bin" % tmp_path})
    assert status == NOT_POOLED
    assert one_reason(lines).startswith("! %s/static is statically linked" % tmp_path)


def test_virtual_environment(doctor, compiled, tmp_path):
    """A wheel's module, with the libpq that came with it."""
    folder = tmp_path / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    version = "python%d.%d" % sys.version_info[:2]
    packages = folder / "lib" / version / "site-packages"
    if not packages.is_dir():
        pytest.skip("%s is of another version than we" % PYTHON)
    lib = stub(compiled, packages / "psycopg2_binary.libs" / "libpq-0a1b2c3d.so.5.16",
               "-Wl,-soname,libpq-0a1b2c3d.so.5.16", "-Wl,--hash-style=sysv")
    name = os.path.basename(module_of("python3"))
    compiled(USE, "-shared", "-fPIC", str(lib), "-Wl,--enable-new-dtags,-rpath,"
             "$ORIGIN/../psycopg2_binary.libs", name=packages / "psycopg2" / name)
    for python in (folder / "bin" / "python3", "./python3"):
        status, lines = doctor(python, cwd=folder / "bin")
        assert status == POOLED
        assert libpqs(lines)[str(lib)] == "DT_RUNPATH"
        assert sum("it is older than 14" in line for line in lines) == 1


def test_driver_without_libpq(doctor, tmp_path):
    (tmp_path / "asyncpg").mkdir()
    (tmp_path / "asyncpg" / "__init__.py").write_text("")
    lines = doctor(PYTHON, {"PYTHONPATH": str(tmp_path)})[1]
    assert "note: %s/asyncpg/__init__.py speaks to the server without libpq: its connections " \
           "are not pooled" % tmp_path in lines


PLACES = [  # interpreter, module, variables
    ("python3.9", "usr/lib/python3.9/site-packages/psycopg2/_psycopg.cpython-39-x.so", {}),
    ("python3.9", "usr/lib64/python3.9/dist-packages/psycopg_c/pq.abi3.so", {}),
    ("python3.9", "usr/local/lib/python3.9/dist-packages/psycopg_binary/pq.so", {}),
    ("python3.9", "usr/lib/python3/dist-packages/_pg.so", {}),
    ("python3.9", "home/.local/lib/python3.9/site-packages/psycopg2/_psycopg.so",
     {"HOME": "home"}),
    ("python3.9", "path/psycopg2/_psycopg.so", {"PYTHONPATH": "nowhere:path"}),
    ("python3.9", "psycopg2/_psycopg.so", {}),  # beside the script
    ("perl5.36", "path/x/auto/DBD/Pg/Pg.so", {"PERL5LIB": "path"}),
    ("perl", "usr/lib/x/perl5/5.36/auto/DBD/Pg/Pg.so", {}),
    ("perl", "usr/local/share/perl/5.36/auto/DBD/Pg/Pg.so", {}),
    ("php8.2", "usr/lib/php/2022/pgsql.so", {}),
    ("php", "usr/lib64/php/modules/pdo_pgsql.so", {}),
    ("ruby3.1", "path/pg_ext.so", {"RUBYLIB": "path"}),
    ("ruby3.1", "path/gems/pg-1.4/lib/pg_ext.so", {"GEM_HOME": "path"}),
    ("ruby3.1", "path/extensions/x/3.1.0/pg-1.4/pg_ext.so", {"GEM_HOME": "path"}),
    ("ruby3.1", "usr/lib/x/ruby/vendor_ruby/3.1.0/pg_ext.so", {}),
    ("ruby3.1", "usr/local/lib/ruby/site_ruby/3.1.0/x/pg_ext.so", {}),
    ("ruby3.1", "usr/lib/ruby/gems/3.1.0/gems/pg-1.4/lib/pg_ext.so", {}),
    ("node", "path/libpq/build/Release/addon.node", {"NODE_PATH": "path"}),
    ("node", "node_modules/libpq/build/Release/addon.node", {}),
    ("node", "../node_modules/libpq/build/Release/addon.node", {}),
]
NOT_PLACES = [
    ("python3.9", "usr/lib/python3.8/site-packages/psycopg2/_psycopg.cpython-38-x.so", {}),
    ("python3.9", "usr/lib/python3.9/site-packages/psycopg2/_psycopg.cpython-38-x.so", {}),
    ("python3.9", "home/.local/lib/python3.9/site-packages/_pg.so", {"HOME": "other"}),
    ("python3.9", "path/psycopg2/_psycopg.so", {"PYTHONPATH": "pat*"}),
    ("python3.9", "path/psycopg2/_psycopg.so", {"PYTHONPATH": "{path,p}"}),
    ("python3.9", "path/psycopg2/_psycopg.so", {"PYTHONPATH": "[p]ath"}),
    ("perl", "path/auto/DBD/Pg/Pg.so", {"PYTHONPATH": "path"}),
    ("ruby3.1", "usr/lib/x/ruby/vendor_ruby/2.7.0/pg_ext.so", {}),
]


@pytest.fixture
def interpreter(compiled, tmp_path):
    """interpreter(name): a script of a program called so, in a place where nothing else is."""
    made = {}

    def make(name, *flags, source="int main(void) { return 0; }"):
        if flags not in made:
            made[flags] = compiled(source, *flags, name="interpreter%d" % len(made))
        path = tmp_path / "all/usr/bin" / name
        script = tmp_path / "all/srv/script"
        for each in (path, script):
            each.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made[flags], path)
        script.write_text("#!%s\n" % path)
        script.chmod(0o755)
        return script

    return make


def test_places_of_modules(doctor, compiled, interpreter, tmp_path):
    real = compiled(USE, "-shared", "-fPIC", "-lpq", name="module.so")
    everything = tmp_path / "all"
    for name, place, variables in PLACES + NOT_PLACES:
        script = interpreter(name)
        above = everything if place.split("/")[0] in ("usr", "home", "path") else script.parent
        module = above / place
        module.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real, module)
        status, lines = doctor(script, {"HOME": "/nowhere", **{
            variable: ":".join("%s/%s" % (everything, v) for v in value.split(":"))
            for variable, value in variables.items()}})
        found = ["ok: %s, if the program uses it" % module] * ((name, place, variables) in PLACES)
        assert [line for line in lines if line.endswith("uses it")] == found, (place, lines)
        assert status == (POOLED if found else NOT_POOLED)
        shutil.rmtree(everything)


def test_module_is_told_once(doctor, compiled, interpreter, tmp_path):
    """Though its folder is named twice."""
    script = interpreter("python3.9")
    folder = tmp_path / "all/usr/lib/python3.9/site-packages"
    compiled(USE, "-shared", "-fPIC", "-lpq", name=folder / "_pg.so")
    lines = doctor(script, {"PYTHONPATH": str(folder)})[1]
    assert sum(line.endswith("_pg.so, if the program uses it") for line in lines) == 1


def test_interpreter_without_modules(doctor, interpreter):
    note = "note: no module that needs libpq is where python3.9 looks by default"
    status, lines = doctor(interpreter("python3.9"))
    assert status == NOT_POOLED and note in lines
    status, lines = doctor(interpreter("python3.9", "-lpq", source=CALLS))
    assert status == POOLED and note in lines  # it has a libpq of its own


def test_functions_looked_up_by_the_only_module(doctor, compiled, interpreter, tmp_path):
    module = tmp_path / "psycopg/pq/pq_ctypes.py"
    module.parent.mkdir(parents=True)
    module.touch()
    env = {"PYTHONPATH": str(tmp_path)}
    status, lines = doctor(interpreter("python3.9"), env)
    assert status == POOLED
    assert libpqs(lines) == {ldd(compiled(CALLS, "-lpq")): "/etc/ld.so.cache"}
    status, lines = doctor(interpreter("python3.9", "-Wl,-z,nodefaultlib"), env)
    assert status == NOT_POOLED
    assert one_reason(lines) == "! %s needs libpq.so.5, which is not found" % module


def test_modules_with_different_libpqs(doctor, compiled, interpreter, tmp_path):
    """One of them will do, one will not, and one is no module at all."""
    script = interpreter("python3.9")
    lib = stub(compiled, "old/libpq-old.so.5", functions=["PQconnectdb"])
    compiled(USE, "-shared", "-fPIC", str(lib), name="path/psycopg_c/pq.so")
    compiled(USE, "-shared", "-fPIC", "-lpq", name="path/psycopg2/_psycopg.so")
    garbage = tmp_path / "path/_pg.so"
    garbage.write_text("garbage")
    status, lines = doctor(script, {"PYTHONPATH": str(tmp_path / "path")})
    assert status == NOT_POOLED
    assert "libpq-old.so.5 has no " in one_reason(lines, "perhaps not, or only in part,")
    assert set(libpqs(lines)) == {ldd(compiled(CALLS, "-lpq"))}
    assert "note: %s cannot be read, or is of another machine" % garbage in lines


@pytest.mark.parametrize("name, deepbound", [("php", True), ("php8.4", True), ("php8.5", False),
                                             ("php9.0", False)])
def test_php_by_version(doctor, compiled, interpreter, name, deepbound):
    compiled(USE, "-shared", "-fPIC", "-lpq", name="all/usr/lib/php/x/pgsql.so")
    status, lines = doctor(interpreter(name))
    assert status == POOLED and any("RTLD_DEEPBIND" in line for line in lines) == deepbound


# ---- whose scripts' lines are known ---------------------------------------------------------

PYTHON_OF = """
unsigned long Py_Version = 0x%08x;
int Py_FinalizeEx(void) { return 0; }
int main(void) { return 0; }
"""


@pytest.mark.parametrize("interpreter", [PYTHON, "/usr/bin/perl", "/usr/bin/php",
                                         "/usr/bin/ruby"])
def test_lines_of_the_machines_own_are_known(doctor, interpreter):
    told, = [line for line in doctor(interpreter)[1] if "leaks are reported" in line]
    assert told.startswith("ok: leaks are reported with the script's line (")


@pytest.mark.parametrize("number, known", [(0x030b02f0, True), (0x030c01f0, False),
                                           (0x030f00a1, False)])
def test_lines_of_another_version(doctor, compiled, number, known):
    program = compiled(PYTHON_OF % number, "-rdynamic", name="python")
    told, = [line for line in doctor(program)[1] if "leaks are reported" in line]
    if known:
        assert told == "ok: leaks are reported with the script's line (CPython 3.11)"
    else:
        assert told.startswith("note: CPython 3.%d is not known: " % (number >> 16 & 255))
        assert told.endswith("with the C stack alone, without the script's line")


def test_perl_without_threads(doctor, compiled):
    program = compiled("char PL_version = 36; int main(void) { return 0; }", "-rdynamic",
                       name="perl")
    assert any("Perl without threads is not known" in line for line in doctor(program)[1])
