# SPDX-License-Identifier: PostgreSQL
"""pqpool top: piped, and on a real terminal, which tmux is."""
import os
import re
import shlex
import signal
import subprocess

import pytest

from conftest import built
from server import bare_environ, wait_until
from tables import rows


# ---- piped ---------------------------------------------------------------------------


def test_a_table(script, tool):
    program = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 1})
    program.connect("a")
    program.connect("b")
    program.finish("b")
    done = tool("top", program.process.pid)
    assert done.returncode == 0 and not done.stderr and "\033" not in done.stdout
    assert re.match(r"pqpool \d\d:\d\d:\d\d  1 program, 1 pool, 1 in use, 0 waiting\n",
                    done.stdout)
    [row] = rows(done.stdout)
    assert row.pop("POOL").startswith("app@") and row.pop("OLDEST") != "-"
    assert row == {"PID": str(program.process.pid), "PROGRAM": "script", "IN USE": "1",
                   "IDLE": "1", "WAITING": "0", "LIMIT": "2", "WAITS": "0", "TIMEOUTS": "0",
                   "TAKEN AT": "do_connect"}


def test_of_some_processes(script, tool):
    one, other = script(), script()
    one.connect("a")
    other.connect("a")
    everybody = [row["PID"] for row in rows(tool("top").stdout)]
    assert {str(one.process.pid), str(other.process.pid)} <= set(everybody)
    [row] = rows(tool("top", other.process.pid).stdout)
    assert row["PID"] == str(other.process.pid)
    done = tool("top", one.process.pid, os.getpid())
    assert done.returncode == 1 and len(rows(done.stdout)) == 1
    assert done.stderr == "pqpool: top: process %d has no pools; pqpool doctor --live %d tells why\n" % (
        (os.getpid(),) * 2)


def test_not_pooled_and_ended(script, tool):
    program = script()
    program.connect("a", "replication=database user=postgres")
    [row] = rows(tool("top", program.process.pid).stdout)
    assert (row["POOL"], row["IN USE"], row["LIMIT"]) == ("not pooled", "1", "-")
    program.kill()
    done = tool("top", program.process.pid)
    assert done.returncode == 1 and done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--interval", "0"], ["-i", "50ms"], ["-i", "soon"], ["12x"],
                                       ["-1", "0"], ["--colour"]])
def test_bad_arguments(tool, arguments):
    done = tool("top", *arguments)
    assert done.returncode == 2 and "top" in done.stderr and not done.stdout


# ---- on a terminal -------------------------------------------------------------------


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, folder, env, more):
        self.argv = ["tmux", "-f", "/dev/null", "-S", os.path.join(folder, "tmux")]
        self.env = {**env, "SHELL": "/bin/sh", "PS1": "prompt$ ", "TERM": "xterm",
                    "LC_ALL": "C.UTF-8"}
        self.tmux("new-session", "-d", "-x", "150", "-y", "24",
                  *(w for pair in more.items() for w in ("-e", "%s=%s" % pair)), "/bin/sh")

    def tmux(self, *arguments):
        return subprocess.run(self.argv + list(arguments), env=self.env, check=True,
                              capture_output=True, text=True).stdout

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def ask(self, what):
        return self.tmux("display-message", "-p", "#{%s}" % what).strip()

    def shows(self, pattern):
        assert wait_until(lambda: re.search(pattern, self.screen())), self.screen()

    def shows_times(self, count, word):
        assert wait_until(lambda: self.screen().count(word) == count), self.screen()

    def modes(self):
        tty = self.ask("pane_tty")
        return subprocess.run(["stty", "-a", "-F", tty], check=True, capture_output=True,
                              text=True).stdout

    def in_alternate_screen(self):
        return self.ask("alternate_on") == "1"

    def close(self):
        self.tmux("kill-server")


@pytest.fixture
def terminal(run, request):
    kind = getattr(request, "param", {})
    shown = Terminal(run.folder, {**bare_environ(), "XDG_RUNTIME_DIR": run.folder}, kind)
    shown.shows(r"\$")
    yield shown
    shown.close()


@pytest.fixture
def live(terminal):
    """live(option, ...): starts top there, and waits for its first picture."""
    terminal.before = terminal.modes()

    def start(*options):
        terminal.type(shlex.join([built("pqpool"), "top", *options]) + "; echo status=$?",
                      "Enter")
        terminal.shows(r"(?m)^pqpool \d\d:\d\d:\d\d ")
        return terminal

    return start


def left_as_found(terminal):
    return not terminal.in_alternate_screen() and terminal.modes() == terminal.before


def test_is_drawn_anew(live, script):
    terminal = live("-i", "100ms")
    assert terminal.in_alternate_screen() and "-icanon" in terminal.modes()
    terminal.shows("0 programs, 0 pools")
    program = script()
    program.connect("a")
    terminal.shows("(?s)1 program, 1 pool, 1 in use.* do_connect")
    [row] = rows(terminal.screen().rstrip("\n") + "\n")
    assert row["PID"] == str(program.process.pid) and row["TAKEN AT"] == "do_connect"
    program.connect("b")
    terminal.shows("1 program, 1 pool, 2 in use")
    program.finish("a", "b")
    terminal.shows("1 program, 1 pool, 0 in use")
    program.end()
    terminal.shows("0 programs, 0 pools")
    assert "script" not in terminal.screen()  # the line is gone from the picture, too
    terminal.type("q")
    terminal.shows("status=0")
    assert left_as_found(terminal)


def test_fits_whatever_the_size(live, script):
    program = script()
    for i in range(8):
        program.connect(str(i), "application_name=app%d" % i)
    terminal = live("-i", "1h", str(program.process.pid))
    terminal.shows_times(8, " do_connect")
    terminal.tmux("resize-window", "-x", "60", "-y", "7")
    terminal.shows(r"\.\.\. and 4 more")
    lines = terminal.screen().splitlines()
    assert len(lines) == 7 and all(len(line) <= 60 for line in lines)
    assert lines[0].startswith("pqpool ") and "IN USE" in lines[1]
    terminal.tmux("resize-window", "-x", "10", "-y", "2")
    terminal.shows(r"^pqpool ...\n *PID P")  # where PIDs have 7 digits, no more fits
    terminal.tmux("resize-window", "-x", "150", "-y", "24")
    terminal.shows_times(8, " do_connect")
    terminal.type("q")
    terminal.shows("status=0")
    assert left_as_found(terminal)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(live, signum):
    terminal = live()
    if signum == signal.SIGINT:
        terminal.type("C-c")
    else:
        os.kill(foreground(terminal), signum)
    assert wait_until(lambda: left_as_found(terminal)), terminal.modes()
    if signum != signal.SIGINT:  # which ends the shell's line, too
        terminal.shows("status=%d" % (128 + signum))


def foreground(terminal):
    """The process that has the terminal."""
    with open("/proc/%s/stat" % terminal.ask("pane_pid"), encoding="ascii") as f:
        return int(f.read().rpartition(")")[2].split()[5])


def test_stopped_and_continued(live):
    terminal = live("-i", "100ms")
    terminal.type("C-z")
    assert wait_until(lambda: left_as_found(terminal)), terminal.modes()
    terminal.type("fg", "Enter")
    terminal.shows(r"^pqpool \d\d:\d\d:\d\d  0 programs")
    assert wait_until(terminal.in_alternate_screen)
    terminal.type("q")
    assert wait_until(lambda: left_as_found(terminal)), terminal.modes()


def test_once_on_a_terminal(live):
    terminal = live("--once")
    terminal.shows("status=0")
    assert left_as_found(terminal)


@pytest.mark.parametrize("terminal", [
    {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LINES": "5", "COLUMNS": "20"}, {"TERM": "vt100"},
    {"TERM": "a-kind-in-no-terminfo"}], indirect=True, ids=str)
def test_shows_the_same_whatever_the_environment(live, server, script):
    server.sql('DROP DATABASE IF EXISTS "\u00e9\u6f22\u5b57"', "postgres")
    server.sql('CREATE DATABASE "\u00e9\u6f22\u5b57"', "postgres")
    program = script()
    program.connect("a", "dbname=\u00e9\u6f22\u5b57")
    terminal = live("-i", "100ms", str(program.process.pid))
    terminal.shows("/\u00e9\u6f22\u5b57 +do_connect")
    assert "1 in use, 0 waiting" in terminal.screen()
    terminal.type("q")
    terminal.shows("status=0")
    assert terminal.modes() == terminal.before
    program.end()


def test_no_picture_where_the_terminal_cannot_show_one(terminal):
    for kind in ("dumb", ""):
        terminal.type("TERM=%s %s top; echo %sstatus=$?" % (kind, built("pqpool"), kind), "Enter")
        terminal.shows(r"(?s)\d programs?, \d+ pools?, \d+ in use, .*\n%sstatus=0" % kind)
        assert not terminal.in_alternate_screen()
