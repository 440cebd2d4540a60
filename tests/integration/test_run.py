# SPDX-License-Identifier: PostgreSQL
"""pqpool run: --wait and --fail-on-leak. The program must not notice who its parent is."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import built
from server import bare_environ, wait_until

PYTHON = "/usr/bin/python3"
NOTICE = "no libpq call was intercepted"
LIBPQ_A = "/usr/lib/x86_64-linux-gnu/libpq.a"

# Prints each of the given signals that it gets, and ends with its input, or at "q". By way
# of a pipe: a handler's words could be late, if the signal came just before the reading.
LISTENER = """
import os, select, signal, sys
out, into = os.pipe()
os.set_blocking(into, False)
signal.set_wakeup_fd(into)
for number in map(int, sys.argv[1].split()):
    signal.signal(number, lambda *_: None)
os.write(1, b"ready %d %d\\n" % (os.getpid(), os.getppid()))
while True:
    ready = select.select([0, out], [], [])[0]
    if out in ready:
        for number in os.read(out, 100):
            os.write(1, b"%d\\n" % number)
    if 0 in ready and os.read(0, 1) in (b"", b"q"):
        break
"""


@pytest.fixture
def environ(server, tmp_path):
    return {**bare_environ(), **server.env(), "PQPOOL_LOG": str(tmp_path / "log"),
            "TMPDIR": str(tmp_path)}


@pytest.fixture
def pqpool(environ):
    """pqpool(argument...): runs `pqpool run` to its end."""
    def go(*argv, env=None, stdin=""):
        return subprocess.run([built("pqpool"), "run", *map(str, argv)],
                              env={**environ, **(env or {})}, input=stdin, text=True,
                              capture_output=True, timeout=60, check=False)

    return go


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path):
    yield
    assert not [n for n in os.listdir(tmp_path) if "witness" in n]


# ---- whether libpq was called ---------------------------------------------------------


def test_says_that_no_call_was_intercepted(pqpool):
    done = pqpool("--wait", "/bin/true")
    assert done.returncode == 0 and done.stderr.count(NOTICE) == 1
    assert done.stderr.count("\n") == 1 and "/bin/true" in done.stderr


def test_says_nothing_where_there_was_one(pqpool, program):
    done = pqpool("--wait", program("leaks"), "none")
    assert (done.returncode, done.stderr) == (0, "")


def test_says_nothing_without_wait(pqpool):
    done = pqpool("/bin/true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("way", [["sh", "-c", '"$0" none; true'], ["env", "-u", "PGUSER"]])
def test_a_call_of_what_it_starts_counts(pqpool, program, way):
    done = pqpool("--wait", *way, program("leaks"), "none")
    assert NOTICE not in done.stderr and "PQPOOL" not in done.stderr


def test_one_in_the_other(pqpool, program):
    inner = [built("pqpool"), "run", "--wait"]
    done = pqpool("--wait", *inner, program("leaks"), "none")
    assert (done.returncode, done.stderr) == (0, "")
    done = pqpool("--wait", *inner, "/bin/true")
    assert done.stderr.count(NOTICE) == 2


def test_call_that_is_not_pooled_was_intercepted(pqpool, program):
    done = pqpool("--wait", "--disable", "on", program("leaks"), "none")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists(LIBPQ_A), reason="no static libpq here")
def test_libpq_within_the_program(pqpool, tmp_path):
    """Linked into it, libpq's functions are called without the linker's help."""
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                          "programs", "leaks.c")
    run = {"capture_output": True, "text": True, "check": True}
    needed = subprocess.run(["ldd", LIBPQ_A[:-1] + "so.5"], **run).stdout
    lib = subprocess.run(["pg_config", "--pkglibdir"], **run).stdout.strip()
    include = subprocess.run(["pg_config", "--includedir"], **run).stdout.strip()
    path = str(tmp_path / "static")
    subprocess.run(["gcc", "-I" + include, "-o", path, source, LIBPQ_A,
                    *[part for name in ("common_shlib", "port_shlib", "common", "port")
                      if os.path.exists(part := "%s/libpg%s.a" % (lib, name))],
                    *re.findall(r"=> (/\S+)", needed), "-lm"], **run)
    done = pqpool("--wait", path, "none")
    assert done.returncode == 0 and done.stderr.count(NOTICE) == 1


def test_without_a_place_for_the_witness(pqpool, tmp_path):
    done = pqpool("--wait", "/bin/true", env={"TMPDIR": str(tmp_path / "nowhere")})
    assert done.returncode == 0 and NOTICE not in done.stderr
    assert "cannot tell whether libpq is used" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_program_that_gives_up_root(pqpool):
    """By the time it connects it is not the one who made the witness."""
    become = ("import os, sys, psycopg2; os.setgid(65534); os.setuid(65534);"
              "psycopg2.connect(host='/nowhere')")
    done = pqpool("--wait", PYTHON, "-c", become, env={"TMPDIR": "/tmp", "PQPOOL_LOG": "stderr"})
    assert NOTICE not in done.stderr and "connect" in done.stderr  # it may not, as nobody


def test_musl(pqpool, compiled):
    """Its dynamic linker knows nothing of what the library needs."""
    program = compiled("int main(void) { return 0; }", "-Wl,--dynamic-linker=/lib/ld-musl-x.so.1")
    done = pqpool(program)
    assert done.returncode == 125 and "runs with musl: libpqpool.so needs glibc" in done.stderr


# ---- how it ends -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status(pqpool, status):
    assert pqpool("--wait", "sh", "-c", "exit %d" % status).returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_end_by_signal(pqpool, number):
    assert pqpool("--wait", "sh", "-c", "kill -%d $$" % number).returncode == -number


@pytest.mark.parametrize("name, status", [("no/such", 127), ("no-such", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_run(pqpool, name, status):
    waited, replaced = pqpool("--wait", name), pqpool(name)
    assert waited.returncode == replaced.returncode == status
    assert waited.stderr == replaced.stderr and waited.stderr.count("\n") == 1


def test_damaged_program_cannot_be_run(pqpool, tmp_path):
    """What only execve finds out comes from below the fork."""
    path = tmp_path / "script"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    with open(path, "a", encoding="utf-8"):  # a file that is open for writing is not run
        waited, replaced = pqpool("--wait", path), pqpool(path)
    assert waited.returncode == replaced.returncode == 126
    assert waited.stderr == replaced.stderr and "Text file busy" in waited.stderr


def test_program_sees_what_it_would_see(pqpool, program):
    """Descriptors, signals and process group; only its parent is another."""
    look = ("grep -E '^(Sig(Blk|Ign|Cgt|Pnd)|ShdPnd)' /proc/self/status; ls -l /proc/self/fd |"
            " grep -c -v -E 'pipe|/proc|total'; ps -o pgid= -p $$ | grep -c .; trap")
    before = [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGCHLD, signal.SIGUSR1)]
    try:
        waited, replaced = pqpool("--wait", "sh", "-c", look), pqpool("sh", "-c", look)
    finally:
        signal.signal(signal.SIGCHLD, before[0])
        signal.signal(signal.SIGUSR1, before[1])
    assert waited.stdout == replaced.stdout and "SigIgn" in waited.stdout
    assert waited.returncode == 0


# ---- signals ------------------------------------------------------------------------------


@pytest.fixture
def listener(environ):
    """Starts a listener below `pqpool run --wait`: the process, the listener's pid."""
    started = []

    def start(*numbers):
        process = subprocess.Popen(
            [built("pqpool"), "run", "--wait", PYTHON, "-c", LISTENER,
             " ".join(str(int(n)) for n in numbers)],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, process_group=0)
        started.append(process)
        word, pid, parent = process.stdout.readline().split()
        assert word == "ready" and int(parent) == process.pid
        return process, int(pid)

    yield start
    for process in started:
        process.kill()
        process.communicate()


PASSED_ON = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
             signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM, signal.SIGRTMIN + 1]


def test_signals_are_passed_on_once(listener):
    process, _ = listener(*PASSED_ON)
    for number in PASSED_ON:
        process.send_signal(number)
        assert process.stdout.readline() == "%d\n" % number
    out, err = process.communicate()
    assert (out, process.returncode) == ("", 0) and NOTICE in err


def test_ends_as_the_signal_ends_the_program(listener):
    process, _ = listener()
    process.terminate()
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def test_program_that_signals_its_parent_does_not_hear_it(environ):
    code = ("import os, signal; signal.signal(signal.SIGUSR1, lambda *_: print('heard'));"
            "os.kill(os.getppid(), signal.SIGUSR1); os.kill(os.getpid(), 0)")
    done = subprocess.run([built("pqpool"), "run", "--wait", PYTHON, "-c", code], env=environ,
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def state(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def test_stop_and_continue(listener):
    """A stop by the terminal's signal is followed, so that a shell would notice."""
    process, pid = listener(signal.SIGCONT)
    process.send_signal(signal.SIGTSTP)
    assert wait_until(lambda: state(pid) == "T" and state(process.pid) == "T")
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == "%d\n" % signal.SIGCONT
    assert wait_until(lambda: state(pid) == "S" and state(process.pid) == "S")
    os.kill(pid, signal.SIGSTOP)  # somebody's own business
    assert wait_until(lambda: state(pid) == "T")
    os.kill(pid, signal.SIGCONT)
    assert process.stdout.readline() == "%d\n" % signal.SIGCONT
    assert process.communicate() and process.returncode == 0


# ---- a terminal -----------------------------------------------------------------------------


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, env):
        self.text = ""  # since the last typing
        self.all = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "-i"],
                      {**env, "PS1": "$ ", "TERM": "dumb", "HISTFILE": ""})

    def type(self, text):
        self.text = ""
        os.write(self.fd, text.encode())

    def wait_for(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text, re.S):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                pytest.fail("no %r in %r" % (pattern, self.text), pytrace=False)
            try:
                piece = os.read(self.fd, 4096).decode()
            except OSError:
                pytest.fail("ended before %r: %r" % (pattern, self.text), pytrace=False)
            self.text += piece
            self.all += piece
        return self.text

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(environ, tmp_path):
    (tmp_path / "job.py").write_text(LISTENER)
    shell = Terminal({**environ, "RUN": "%s run --wait" % built("pqpool"), "PY": PYTHON,
                      "JOB": str(tmp_path / "job.py")})
    shell.wait_for(r"\$ $")
    yield shell
    shell.close()


def test_in_a_terminal(terminal):
    terminal.type("$RUN $PY $JOB '2 18 28'\n")
    terminal.wait_for("ready")
    terminal.type("\x03")
    terminal.wait_for("2\r\n")
    terminal.type("\x1a")
    terminal.wait_for(r"Stopped.*\$ $")
    terminal.type("jobs -l; echo still here\n")
    terminal.wait_for(r"Stopped.*\nstill here\r\n\$ $")
    terminal.type("fg\n")
    terminal.wait_for("18\r\n")
    terminal.type("\x03")
    terminal.wait_for("2\r\n")
    terminal.type("q\n")
    terminal.wait_for(NOTICE + r".*\$ $")
    terminal.type("echo st=$?\n")
    terminal.wait_for("st=0")
    # Each came once: from the terminal itself.
    assert len(re.findall(r"^(?:\^C)?2\r", terminal.all, re.M)) == 2, terminal.all


def test_killed_from_the_terminal(terminal):
    terminal.type("$RUN sh -c 'echo u\"\"p; exec cat'; echo not this\n")
    terminal.wait_for("up")
    terminal.type("x\n")
    terminal.wait_for("x\r\nx\r\n")
    terminal.type("\x03")
    terminal.wait_for(r"\$ $")
    terminal.type("echo st=$?\n")  # the shell saw it die, and gave up the rest of the line
    terminal.wait_for("st=130")
    terminal.type("$RUN $PY -c 'import sys; print(sys.stdin.isatty())' | cat; echo st=$?\n")
    terminal.wait_for("True.*st=0")


# ---- --fail-on-leak ----------------------------------------------------------------------


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_fail_on_leak(pqpool, program, wait):
    assert pqpool(*wait, "--fail-on-leak", program("leaks"), "one").returncode == 23
    assert pqpool(*wait, "--fail-on-leak", program("leaks"), "none").returncode == 0
    assert pqpool(*wait, program("leaks"), "one").returncode == 0


def test_all_is_told_unless_it_says_otherwise(pqpool, program):
    kept = "1 connection kept to the end, taken at 1 place (leaks: 1 acquired, 0 released)"
    assert kept in pqpool(program("leaks"), "kept").stderr
    assert kept in pqpool(program("leaks"), "kept", env={"PQPOOL_REPORT": ""}).stderr
    assert kept in pqpool("--fail-on-leak", program("leaks"), "kept").stderr
    assert pqpool("--fail-on-leak", program("leaks"), "kept").returncode == 0
    for said in ({"options": ["--report", "on"]}, {"env": {"PQPOOL_REPORT": "on"}}):
        done = pqpool(*said.get("options", []), program("leaks"), "kept", env=said.get("env"))
        assert (done.returncode, done.stderr) == (0, "")


def test_fail_on_leak_with_a_status_of_ones_own(pqpool, program):
    leak = (program("leaks"), "one")
    assert pqpool("--fail-on-leak", "--leak-exitcode", 7, *leak).returncode == 7
    assert pqpool("--fail-on-leak", *leak, env={"PQPOOL_LEAK_EXITCODE": "9"}).returncode == 9
    assert pqpool("--fail-on-leak", *leak, env={"PQPOOL_LEAK_EXITCODE": "0"}).returncode == 23
    assert pqpool("--fail-on-leak", "--leak-exitcode", "x", *leak).returncode == 2


def test_help_tells_of_both(pqpool):
    said = pqpool("--help").stdout
    assert "  --wait\n" in said and "  --fail-on-leak\n" in said and "PQPOOL_WITNESS" not in said
    assert "--size VALUE" in said
