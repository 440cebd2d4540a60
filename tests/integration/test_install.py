# SPDX-License-Identifier: PostgreSQL
"""What `make install` puts where, and completion in a real bash."""
import os
import re
import subprocess

import pytest

import house
from server import bare_environ, bindir

FILES = {"bin/pqpool", "lib/libpqpool.so", "share/man/man1/pqpool.1",
         "share/bash-completion/completions/pqpool"}
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
    assert {"run", "leaks", "top", "check", "metrics", "doctor", "--help"} <= everything
    assert complete("d") == {"doctor"}


@pytest.mark.parametrize("command", ["run", "leaks", "top", "check", "metrics", "doctor"])
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
    program.end()
    assert str(program.process.pid) not in complete("top", "")


def test_bash_has_it(installed):
    script = 'source "$1"; complete -p pqpool'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash",
                           str(installed / "share/bash-completion/completions/pqpool")],
                          text=True, capture_output=True, check=False)
    assert done.stdout == "complete -F _pqpool pqpool\n"
