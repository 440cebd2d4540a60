# SPDX-License-Identifier: PostgreSQL
"""`pqpool doctor` of programs that come to libpq by modules which they load at run time."""
import os
import shutil

import pytest

from diagnoses import NOT_POOLED, POOLED, USE, ldd, libpqs, one_reason
from running import SPAWN_NAMESPACE

PROGRAM = """#include <stdio.h>
%s
int main(int argc, char **argv) { return printf(path, argc > 1 ? argv[1] : "") < 0; }
"""
CONSTANT, VARIABLE = "static const char path[] = \"%s\";", "char path[200] = \"%s\";"
DEPENDS = " depends on what it loads: with a module named above it would be pooled"


@pytest.fixture
def module(compiled):
    """module(name, *flags): one that needs libpq."""
    def make(name, *flags, source=USE):
        return compiled(source, "-shared", "-fPIC", *(flags or ["-lpq"]), name=name)

    return make


def named(lines):
    """The modules that it names."""
    end = ", if the program uses it"
    return [line[len("ok: "):-len(end)] for line in lines if line.endswith(end)]


def depends(answer, *modules):
    status, lines = answer
    assert status == POOLED and lines[-1].endswith(DEPENDS), lines
    assert named(lines) == [str(each) for each in modules]
    assert set(libpqs(lines)) == {ldd(modules[0])}
    return lines


def only(path, how=CONSTANT):
    return PROGRAM % (how % path)


@pytest.mark.parametrize("how", [CONSTANT, VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize("what", ["plugins", "plugins/", "plugins/%%s_plugin.so", "plugins/one.so",
                                  "nowhere:%(here)s/plugins", "PLUGINS=%(here)s/plugins"])
def test_folder_in_a_program(doctor, compiled, module, tmp_path, how, what):
    plugin = module("plugins/pgsql.so")
    module("plugins/other.so", "-lm", source="int other;")
    (tmp_path / "plugins/text.so").write_text("text")
    where = what % {"here": tmp_path} if "%(here)" in what else "%s/%s" % (tmp_path, what.replace("%%", "%"))
    depends(doctor(compiled(only(where, how), "-w")), plugin)


def test_folder_in_a_library(doctor, compiled, module, tmp_path):
    plugin = module("plugins/pgsql.so")
    source = "const char *folder(void) { return \"%s/plugins\"; }" % tmp_path
    library = compiled(source, "-shared", "-fPIC", name="libfolder.so")
    program = compiled("const char *folder(void); int main(void) { return !folder(); }", str(library))
    depends(doctor(program), plugin)


def test_folder_of_libraries(doctor, compiled, module, tmp_path):
    plugin = module("own/pgsql.so")
    depends(doctor(compiled(only("%s"), "-Wl,--enable-new-dtags,-rpath,%s/own" % tmp_path)), plugin)


def test_folders_in_folders(doctor, compiled, module, tmp_path):
    plugin = module("plugins/pgtcl3/libpgtcl.so")
    (tmp_path / "plugins/again").symlink_to(tmp_path / "plugins")
    (tmp_path / "plugins/pgtcl3/libpgtcl.so.3").symlink_to(plugin)
    depends(doctor(compiled(only("%s/plugins" % tmp_path))), plugin)


def test_module_that_needs_libpq_by_another_library(doctor, compiled, module, tmp_path):
    library = module("libuse.so")
    plugin = module("plugins/pgsql.so", str(library), source="void *use(void); void *f(void) { return use(); }")
    lines = depends(doctor(compiled(only("%s/plugins" % tmp_path))), plugin)
    assert any(line.startswith("libuse.so is there for pgsql.so") for line in lines)


def test_module_of_a_module(doctor, compiled, module, tmp_path):
    """As PHP's of Apache has."""
    plugin = module("inner/pgsql.so")
    module("outer/php.so", "-lm", source=only("%s/inner" % tmp_path))
    depends(doctor(compiled(only("%s/outer" % tmp_path))), plugin)


@pytest.mark.parametrize("library, interpreter, driver", [
    ("libpython3.9.so.1.0", "python3.9", "lib/python3/dist-packages/psycopg2/_psycopg.so"),
    ("libperl.so.5.36", "perl5.36", "lib/x/perl5/5.36/auto/DBD/Pg/Pg.so"),
    ("libruby-3.1.so.3.1", "ruby3.1", "lib/x/ruby/vendor_ruby/3.1.0/pg_ext.so"),
    ("libphp8.2.so", "php8.2", "lib/php/2022/pgsql.so"),
])
@pytest.mark.parametrize("where", ["library", "module"])
def test_interpreter_inside(doctor, compiled, module, tmp_path, where, library, interpreter, driver):
    home = tmp_path / "usr"
    inside = module("usr/lib/" + library, "-Wl,-soname," + library, source="int inside;")
    flags = [str(inside), "-Wl,--no-as-needed,-rpath,%s/lib" % home]
    if where == "module":
        module("plugins/language.so", *reversed(flags), source="int language;")
        flags = []
    program = compiled(only("%s/plugins" % tmp_path), *reversed(flags))
    env = {"HOME": "/nowhere"}
    note = "note: no module that needs libpq is where %s looks by default" % interpreter
    status, lines = doctor(program, env)
    assert status == NOT_POOLED and note in lines
    plugin = module("usr/" + driver)
    lines = depends(doctor(program, env), plugin)
    assert "note: %s is an interpreter that the program may run" % inside in lines
    assert any("RTLD_DEEPBIND" in line for line in lines) == (interpreter == "php8.2")


@pytest.mark.parametrize("name, folder", [
    ("bin/apache2", "lib/apache2/modules"), ("sbin/httpd", "lib64/httpd/modules"),
    ("bin/R", "local/lib/R/site-library/RPostgreSQL/libs"), ("lib/R/bin/exec/R", "lib/R/library"),
    ("bin/Rscript4.2", "lib/R/library"),
])
@pytest.mark.parametrize("script", [False, True])
def test_known_programs(doctor, compiled, module, tmp_path, name, folder, script):
    plugin = module("usr/%s/pgsql.so" % folder)
    program = tmp_path / "usr" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    if script:
        program.write_text("#!/bin/sh\n")
    else:
        shutil.copy(compiled(only("%s")), program)
    program.chmod(0o755)
    depends(doctor(program), plugin)


def test_known_library(doctor, compiled, module, tmp_path):
    plugin = module("usr/lib/x/odbc/psqlodbcw.so")
    library = module("usr/lib/x/libodbc.so.2", "-lm", source="int odbc;")
    depends(doctor(compiled(only("%s"), "-Wl,--no-as-needed", str(library))), plugin)


def test_no_module_that_needs_libpq(doctor, compiled, module, tmp_path):
    module("plugins/other.so", "-lm", source="int other;")
    shutil.move(module("plugins/pgsql.so"), tmp_path / "plugins/pgsql.txt")
    status, lines = doctor(compiled(only("%s/plugins" % tmp_path)))
    assert status == NOT_POOLED and named(lines) == []
    assert "(1 files in 1 folders)" in one_reason(lines)


def test_module_with_a_libpq_that_will_not_do(doctor, compiled, module, tmp_path):
    library = compiled("int PQconnectdb;", "-shared", "-fPIC", "-Wl,-soname,libpq.so.5", name="libpq.so.5")
    module("plugins/pgsql.so", str(library), "-Wl,-rpath,%s" % tmp_path)
    status, lines = doctor(compiled(only("%s/plugins" % tmp_path)))
    assert status == NOT_POOLED
    assert "libpq.so.5 has no " in one_reason(lines)


@pytest.mark.parametrize("folder", ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/lib/", "/tmp", "/bin", "/"])
def test_folders_of_everything(doctor, compiled, folder):
    """Some library there needs libpq for sure."""
    status, lines = doctor(compiled(only(folder)))
    assert status == NOT_POOLED and "(0 files in 0 folders)" in one_reason(lines)


def test_program_with_a_libpq_of_its_own(doctor, compiled, module, tmp_path):
    """Nothing depends then."""
    module("plugins/pgsql.so")
    program = compiled(USE + only("%s/plugins" % tmp_path), "-Wl,--no-as-needed", "-lpq")
    status, lines = doctor(program)
    assert (status, named(lines)) == (POOLED, []) and lines[-1].endswith(" would be pooled")


def test_search_is_bounded(doctor, compiled, tmp_path):
    """Whatever number of files and folders there is."""
    for i in range(1100):
        (tmp_path / "plugins" / str(i)).mkdir(parents=True)
    (tmp_path / "plugins/deep/1/2/3/4/5/6/7").mkdir(parents=True)
    status, lines = doctor(compiled(only("%s/plugins" % tmp_path)))
    assert status == NOT_POOLED
    assert any(line.startswith("note: the search for modules ended after 0 files in 1 folders")
               for line in lines), lines


def test_apache(doctor):
    """With the packages of PHP's and Perl's modules."""
    status, lines = doctor("/usr/sbin/apache2")
    assert status == POOLED and lines[-1] == "Verdict: /usr/sbin/apache2" + DEPENDS
    assert any(os.path.basename(each) == "Pg.so" for each in named(lines)), lines


# ---- how known programs are set up -----------------------------------------------------------


def setting_up(lines):
    return lines[lines.index("Setting up") + 1:] if "Setting up" in lines else []


@pytest.mark.parametrize("name, line", [
    ("apache2", "export LD_PRELOAD=%s"), ("php-fpm8.2", "env[PQPOOL_SIZE] = 5"),
    ("exim4", "keep_environment = LD_PRELOAD : ^PQPOOL_"),
    ("dovecot", "import_environment = $import_environment LD_PRELOAD=%s"),
    ("postfix/sbin/smtpd", 'postconf -e "import_environment = $(postconf -dh import_environment) '
                           'LD_PRELOAD=%s"'),
    ("cron", "LD_PRELOAD=%s"), ("sudo", "sudo env LD_PRELOAD=%s PROGRAM"),
    ("su", "su USER -c 'LD_PRELOAD=%s exec PROGRAM'"),
])
def test_known_habits(doctor, compiled, shim, name, line):
    told = setting_up(doctor(compiled(only("%s"), name=name))[1])
    assert told[0].startswith("note: ")
    assert told[1] == (line % shim if "%s" in line else line)


@pytest.mark.parametrize("name", ["sum", "apache2ctl", "postfixed"])
def test_unknown_habits(doctor, compiled, name):
    assert setting_up(doctor(compiled(only("%s"), name=name))[1]) == []


@pytest.mark.parametrize("private", ["", "PrivateTmp=true\n"])
def test_service(doctor, compiled, shim, tmp_path, private):
    program = compiled(only("%s"), name="served")
    units = tmp_path / "units"
    units.mkdir()
    (units / "another.service").write_text("[Service]\nExecStart=%s2\n" % program)
    (units / "one.service").write_text("[Service]\n%sExecStart=-%s -f\n" % (private, program))
    told = setting_up(doctor(program, before=[
        *SPAWN_NAMESPACE, "sh", "-c", 'mount --bind "$0" /etc/systemd/system && exec "$@"', units])[1])
    assert told[:3] == ["note: its service's environment is systemd's; run systemctl edit one.service and "
                        "write:", "[Service]", "Environment=LD_PRELOAD=%s" % shim]
    assert any("PrivateTmp= gives it" in line for line in told) == bool(private)
