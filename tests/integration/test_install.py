# SPDX-License-Identifier: PostgreSQL
"""What `make install` puts where, which versions it says it is of, and completion in a real bash."""
import os
import re
import shutil
import subprocess

import pytest

import house
from server import bare_environ, bindir

FILES = {"bin/pqpool", "lib/libpqpool.so", "share/man/man1/pqpool.1", "share/man/man7/pqpool.7",
         "share/bash-completion/completions/pqpool", "lib/systemd/user/pqpool-keep.socket",
         "lib/systemd/user/pqpool-keep.service", "lib/systemd/system/pqpool-keep@.service",
         "share/doc/pqpool/README.md", "share/doc/pqpool/LICENSE", "share/doc/pqpool/CHANGELOG.md",
         "share/pqpool/grafana.json"}
# Each somewhere else than by default; the library two folders beside the tool.
FOLDERS = {"bindir": "/opt/it/programs", "libdir": "/opt/it/lib/of-a-machine", "mandir": "/opt/pages",
           "docdir": "/opt/texts/it", "pkgdatadir": "/opt/data", "completiondir": "/opt/words", "unitdir": "/opt/units"}
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_pqpool "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def make(*arguments, build=house.BUILD):
    return house.output("make", "-s", "--no-print-directory", "WERROR=1",
                        "BUILD=%s" % os.path.relpath(build, house.ROOT), *arguments)


def files(root):
    return {os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root) for name in names}


@pytest.fixture
def installed(tmp_path):
    make("install", "DESTDIR=%s" % tmp_path, "PREFIX=/opt/it")
    return tmp_path / "opt" / "it"


@pytest.fixture
def build_copy(tmp_path):
    """A build of one's own, whose tool may be made anew: nothing but that has to be."""
    copy = tmp_path / "build"
    copy.mkdir()
    for name in os.listdir(house.BUILD):
        if name in ("shim", "tools", "report"):
            shutil.copytree(os.path.join(house.BUILD, name), copy / name, copy_function=shutil.copy2)
        elif os.path.isfile(os.path.join(house.BUILD, name)):
            shutil.copy2(os.path.join(house.BUILD, name), copy)
    return copy


def runs(tool, server, tmp_path):
    """Whether a psql that it runs is pooled, by the library that it found."""
    log = tmp_path / "log"
    done = subprocess.run(
        [tool, "run", "--log", str(log), "--", os.path.join(bindir(), "psql"), "-XAtc", "SELECT 'it works'"],
        env={**bare_environ(), **server.env(), "XDG_RUNTIME_DIR": str(tmp_path)}, text=True,
        capture_output=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("it works\n", "", 0)
    return "event=acquire" in log.read_text(encoding="utf-8")


def test_install_and_uninstall(installed, tmp_path):
    assert files(installed) == FILES
    assert b"@VARIABLES@" not in (installed / "share/man/man1/pqpool.1").read_bytes()
    make("uninstall", "DESTDIR=%s" % tmp_path, "PREFIX=/opt/it")
    assert files(tmp_path) == set() and not any(
        (installed / folder).exists() for folder in ("share/doc/pqpool", "share/pqpool"))


def test_every_directory_can_be_another(build_copy, server, tmp_path):
    given = ["DESTDIR=%s/root" % tmp_path, *("%s=%s" % folder for folder in FOLDERS.items())]
    make("install", *given, build=build_copy)
    root = tmp_path / "root" / "opt"
    assert files(root) == {
        "it/programs/pqpool", "it/lib/of-a-machine/libpqpool.so", "pages/man1/pqpool.1", "pages/man7/pqpool.7", "words/pqpool",
        "data/grafana.json", "texts/it/README.md", "texts/it/LICENSE", "texts/it/CHANGELOG.md", "units/user/pqpool-keep.socket",
        "units/user/pqpool-keep.service", "units/system/pqpool-keep@.service"}
    assert runs(str(root / "it/programs/pqpool"), server, tmp_path)
    for kind in ("user/pqpool-keep.service", "system/pqpool-keep@.service"):
        assert "ExecStart=/opt/it/programs/pqpool " in (root / "units" / kind).read_text(encoding="ascii")
    make("uninstall", *given, build=build_copy)
    assert files(root) == set()


def test_a_library_in_use_is_replaced(installed, tmp_path):
    """Who has it mapped goes on with the old file, which is not written to."""
    library = installed / "lib/libpqpool.so"
    before = library.stat().st_ino
    with open(library, "rb") as held:
        make("install", "DESTDIR=%s" % tmp_path, "PREFIX=/opt/it")
        assert os.fstat(held.fileno()).st_ino == before != library.stat().st_ino


def test_installed_tool_runs(installed, server, tmp_path):
    """It finds the library that was installed with it."""
    assert runs(str(installed / "bin/pqpool"), server, tmp_path)


def defined(name, where):
    return re.search(r"#define %s +\"?([^\s\"]+)" % name, house.read(where)).group(1)


def said_versions(installed):
    return subprocess.run([str(installed / "bin/pqpool"), "--version"], env=bare_environ(), text=True,
                          capture_output=True, check=False)


def test_versions(installed):
    """Of the tool, of the library that it finds, and of the formats."""
    version = defined("PQPOOL_VERSION", "shim/base/config/version.h")
    done = said_versions(installed)
    assert done.stdout.splitlines() == [
        "pqpool " + version, "libpqpool.so %s, %s" % (version, installed / "lib/libpqpool.so"),
        "formats: log %s, JSON %s, report %s, status page %s" % (
            defined("LOG_VERSION", "shim/base/config/version.h"),
            defined("JSON_VERSION", "shim/base/config/version.h"),
            defined("REPORT_VERSION", "shim/base/config/version.h"),
            defined("STATUS_VERSION", "shim/trace/status/status_format.h"))]
    assert (done.stderr, done.returncode) == ("", 0)
    notes = house.output("readelf", "-p", ".note.pqpool", str(installed / "lib/libpqpool.so"))
    assert re.findall(r"\]  (\S+)", notes) == ["pqpool", version]


def test_version_of_another_library(installed):
    """It is the file's own, and doctor tells that it is another one than the tool's."""
    library = installed / "lib/libpqpool.so"
    version = defined("PQPOOL_VERSION", "shim/base/config/version.h").encode()
    note = b"pqpool\0\0" + version
    other = b"9" * len(version)
    whole = library.read_bytes()
    assert whole.count(note) == 1
    for instead, said in [(note.replace(version, other), other.decode()),
                          (note.replace(b"pqpool", b"nobody"), "of no known version")]:
        library.write_bytes(whole.replace(note, instead))
        assert said_versions(installed).stdout.splitlines()[1] == "libpqpool.so %s, %s" % (said, library)
        done = subprocess.run([str(installed / "bin/pqpool"), "doctor", "/bin/sh"], env=bare_environ(),
                              text=True, capture_output=True, check=False)
        line, = re.findall("^  note: (.*) install both from one build$", done.stdout, re.M)
        assert ("of version " + said if said[0] == "9" else "of an unknown version") in line
        assert "this command of %s:" % version.decode() in line
    library.unlink()
    done = said_versions(installed)
    assert done.stdout.startswith("pqpool %s\nformats: " % version.decode())
    assert re.fullmatch(r"pqpool: libpqpool\.so is neither beside .*\n", done.stderr)


def test_units(installed, tmp_path):
    """A service manager would start the keeper by them."""
    for kind in ("user/pqpool-keep.service", "system/pqpool-keep@.service"):
        unit = (installed / "lib/systemd" / kind).read_text(encoding="ascii")
        start, = re.findall("^ExecStart=/opt/it(/bin/pqpool) (.*)$", unit, re.M)
        words = start[1].replace("%t", str(tmp_path)).replace("%i", "me").split()
        folder = os.path.dirname(words[words.index("--socket") + 1])
        os.makedirs(folder, mode=0o700, exist_ok=True)
        done = subprocess.run([str(installed) + start[0], *words, "--daemon", "--quiet-exit", "0.2"],
                              env=bare_environ(), text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
    socket = (installed / "lib/systemd/user/pqpool-keep.socket").read_text(encoding="ascii")
    assert re.findall("^ListenSequentialPacket=(.*)$", socket, re.M) == ["%t/pqpool/keeper.socket"]
    assert "\nDirectoryMode=0700\n" in socket


def test_tool_needs_no_libpq(installed):
    needed = house.output("readelf", "-dW", str(installed / "bin/pqpool"))
    assert "libpq" not in needed


# -- completion ------------------------------------------------------------------------------


@pytest.fixture
def complete(build, tmp_path, memory):
    """complete("run", "--si"): what bash would offer for the last word."""
    def ask(*words):
        script = os.path.join(house.ROOT, "tools/completion/pqpool.bash")
        done = subprocess.run(
            ["bash", "--norc", "-c", COMPLETE, "bash", script, os.path.join(build, "pqpool"), *words],
            env={**bare_environ(), "XDG_RUNTIME_DIR": str(memory)}, cwd=tmp_path, text=True,
            capture_output=True, check=False)
        assert done.stderr == "", done.stderr
        return set(done.stdout.split())

    return ask


def test_commands(complete):
    everything = complete("")
    assert {"run", "leaks", "top", "check", "metrics", "doctor", "keep", "--help"} <= everything
    assert complete("do") == {"doctor"}
    assert complete("keep", "s") == {"show", "set"}


@pytest.mark.parametrize("command", ["run", "leaks", "top", "check", "metrics", "doctor", "keep", "drain"])
def test_every_option_is_offered(complete, build, command):
    """Those of --help, and each that is offered is one: the tool knows it."""
    shown = house.output(os.path.join(build, "pqpool"), command, "--help")
    offered = complete(command, "--")
    assert offered == set(re.findall(r"^ *(?:-\w, *)?(--[a-z][a-z-]*)", shown, re.M)) | {"--help"}


def test_values(complete):
    assert complete("run", "--profile", "") == {"dev", "test", "prod"}
    assert complete("run", "--profile", "=", "t") == {"test"}
    assert complete("run", "--profile", "=") == {"dev", "test", "prod"}
    assert complete("run", "--pre-ping", "a") == {"auto"}


def test_files(complete, tmp_path):
    (tmp_path / "own.log").write_text("")
    assert complete("leaks", "ow") == {"own.log"}
    assert complete("run", "--log", "ow") == {"own.log"}
    assert "psql" in complete("run", "psq") and "psql" in complete("doctor", "psq")
    assert complete("run", "--size", "3", "--", "./o") == {"./own.log"}
    assert complete("run", "psql", "ow") == {"own.log"}


def test_pids(complete, script, memory):
    program = script(env={"XDG_RUNTIME_DIR": str(memory)})
    program.connect("a")
    assert str(program.process.pid) in complete("top", "")  # of all that this user runs
    assert {str(program.process.pid), "all"} <= complete("drain", "")
    program.end()
    assert str(program.process.pid) not in complete("top", "")


def test_bash_has_it(installed):
    script = 'source "$1"; complete -p pqpool'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash",
                           str(installed / "share/bash-completion/completions/pqpool")],
                          text=True, capture_output=True, check=False)
    assert done.stdout == "complete -F _pqpool pqpool\n"
