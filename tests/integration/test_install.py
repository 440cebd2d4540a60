# SPDX-License-Identifier: PostgreSQL
"""What `make install` puts where, and completion in a real bash."""
import os
import re
import subprocess

import pytest

import house
from server import bare_environ, bindir

FILES = {"bin/pqpool", "lib/libpqpool.so", "share/man/man1/pqpool.1",
         "share/bash-completion/completions/pqpool", "lib/systemd/user/pqpool-keep.socket",
         "lib/systemd/user/pqpool-keep.service", "lib/systemd/system/pqpool-keep@.service"}
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_pqpool "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def make(*arguments):
    return house.output("make", "-s", "--no-print-directory", "WERROR=1",
                        "BUILD=%s" % os.path.relpath(house.BUILD, house.ROOT), *arguments)


def files(root):
    return {os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root) for name in names}


@pytest.fixture
def installed(tmp_path):
    make("install", "DESTDIR=%s" % tmp_path, "PREFIX=/opt/it")
    return tmp_path / "opt" / "it"


def test_install_and_uninstall(installed, tmp_path):
    assert files(installed) == FILES
    assert b"@VARIABLES@" not in (installed / "share/man/man1/pqpool.1").read_bytes()
    make("uninstall", "DESTDIR=%s" % tmp_path, "PREFIX=/opt/it")
    assert files(tmp_path) == set()


def test_installed_tool_runs(installed, server, tmp_path):
    """It finds the library that was installed with it."""
    log = tmp_path / "log"
    done = subprocess.run(
        [str(installed / "bin/pqpool"), "run", "--log", str(log), "--",
         os.path.join(bindir(), "psql"), "-XAtc", "SELECT 'it works'"],
        env={**bare_environ(), **server.env(), "XDG_RUNTIME_DIR": str(tmp_path)}, text=True,
        capture_output=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("it works\n", "", 0)
    assert "event=acquire" in log.read_text(encoding="utf-8")


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
