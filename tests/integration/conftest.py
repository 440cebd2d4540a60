# SPDX-License-Identifier: PostgreSQL
"""Driving tests/programs/script.c or stepwise.c, step by step, and building modules.

script      script(pooled=True, env={...}, server=..., name=..., user=...): starts the program
stepwise    stepwise(env={...}, server=..., tcp=...): starts stepwise, as Steps
leaks       leaks(log, ...): what `pqpool leaks` says of it
module      module("source", "name.so", flags...): builds tests/programs/modules/source.c
compiled    compiled("C text", flags...): builds that
keep        keep(SIZE=2): a keeper that serves (keeper.py)
doctor      doctor(program): what `pqpool doctor` says of it
"""
import json
import os
import select
import signal
import subprocess
import time

import pytest

from conftest import built
from keeper import Keeper
from running import Result, find_library, kill_group, read_log, session_pids
from server import bare_environ, wait_until
from stepping import Steps
from tls import TlsServer

MODULES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs", "modules")
END = "\x04\n"
ANSWER_SECONDS = 30
ANSWER_BYTES = 1 << 20


class Script:
    """One running script program. An answer is what the program printed, one string."""

    def __init__(self, argv, env):
        self.log_name = env.get("PQPOOL_LOG", "")
        self.env = env
        self.begun = time.monotonic()
        self.stderr = ""
        self.process = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)

    def tell(self, command, name="-", *words):
        """Gives a command; answer() gets what it has to say."""
        line = " ".join([command, name, *map(str, words)])
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        text = ""
        end = time.monotonic() + ANSWER_SECONDS
        fd = self.process.stdout.fileno()
        while not text.endswith(END):
            ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
            piece = os.read(fd, 65536).decode() if ready else None
            if not piece or len(text) > ANSWER_BYTES:
                kill_group(self.process)
                self.stderr += self.process.stderr.read()
                pytest.fail("script %s after %r: %s" % (
                    "ended" if piece == "" else "hangs", text[:500], self.stderr), pytrace=False)
            text += piece
        return text.removesuffix(END).removesuffix("\n")

    def answered(self):
        """True if it has begun to answer."""
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def do(self, command, name="-", *words):
        self.tell(command, name, *words)
        return self.answer()

    # -- the commands in common use -------------------------------------------------

    def connect(self, name, conninfo=""):
        """The pid of the backend."""
        answer = self.do("connect", name, conninfo)
        assert answer.isdigit(), answer
        return answer

    def refused(self, name, conninfo=""):
        """Why the connection failed."""
        answer = self.do("connect", name, conninfo)
        assert answer.startswith("BAD "), answer
        return answer.removeprefix("BAD ")

    def finish(self, *names):
        for name in names:
            self.do("finish", name)

    def lease(self, conninfo=""):
        """Connects and finishes at once; the pid."""
        pid = self.connect("-", conninfo)
        self.finish("-")
        return pid

    def exec(self, name, *statements):
        """The rows of the last of some statements that must succeed, as one string."""
        rows = ""
        for statement in statements:
            status, _, rows = self.do("exec", name, statement).partition("\n")
            assert status in ("PGRES_TUPLES_OK", "PGRES_COMMAND_OK"), status + rows
        return rows

    def state(self, name):
        return dict(line.split("=", 1) for line in self.do("state", name).splitlines()
                    if "=" in line)

    def done(self, name):
        return self.do("done", name) == "1"

    def join(self, name):
        """Seconds it took, and the pid or the error, of a connect that `begin` began."""
        seconds, _, outcome = self.do("join", name).partition(" ")
        return float(seconds), outcome

    # -- the shim's log -------------------------------------------------------------

    def events(self, name, **pairs):
        return [e for e in read_log(self.log_name)
                if e["event"] == name and all(e.get(k) == v for k, v in pairs.items())]

    def await_events(self, name, count):
        assert wait_until(lambda: len(self.events(name)) >= count), self.events(name)

    # -- its end ------------------------------------------------------------------------

    def end(self):
        """Lets it come to its end; a Result."""
        out, err = self.process.communicate(timeout=ANSWER_SECONDS)
        return Result(self.process.args, bool(self.log_name), self.process.returncode, out,
                      self.stderr + err, time.monotonic() - self.begun, read_log(self.log_name))

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        kill_group(self.process)
        self.process.communicate()


@pytest.fixture(scope="session")
def libpq():
    return os.path.realpath(find_library("libpq.so.5"))


@pytest.fixture(scope="module")
def tls_server():
    with TlsServer() as server:
        yield server


@pytest.fixture
def module(tmp_path):
    """module(source, name, flags...): builds a shared library, its path."""
    include = subprocess.run(["pg_config", "--includedir"], capture_output=True, text=True,
                             check=True).stdout.strip()

    def build_module(source="module", name="module.so", *flags):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I" + include,
                        "-o", str(path), os.path.join(MODULES, source + ".c"), *flags],
                       check=True)
        return str(path)

    return build_module


@pytest.fixture
def compiled(tmp_path):
    """compiled(source, *flags, name=...): a program or library made of it."""
    def make(source, *flags, name="program"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-w", "-x", "c", "-", "-x", "none", "-o", path, *flags],
                       input=source, text=True, check=True)
        return path

    return make


@pytest.fixture
def doctor(memory):
    """doctor(program, env={...}): status, and lines without their indentation."""
    def ask(program, env=None, cwd=None, before=()):
        done = subprocess.run(
            [*before, built("pqpool"), "doctor", str(program)], text=True, cwd=cwd,
            capture_output=True, check=False,
            env={**bare_environ(), "XDG_RUNTIME_DIR": str(memory), **(env or {})})
        complaints = [line for line in done.stderr.splitlines() if "from LD_PRELOAD" not in line]
        assert not complaints or done.returncode > 2, done
        return done.returncode, [line.strip() for line in done.stdout.splitlines()]

    return ask


@pytest.fixture
def keep(memory):
    """keep(SIZE=..., args=[...]): a keeper that serves, with these PQPOOL_ settings."""
    started = []

    def start(args=(), **env):
        started.append(Keeper(built("pqpool"), memory,
                              {"PQPOOL_" + name: str(value) for name, value in env.items()}, args))
        return started[-1].start()

    yield start
    for each in started:
        each.__exit__()


@pytest.fixture
def tool(run):
    """tool("top", ...): runs the pqpool command, which sees the test's status pages; the
    CompletedProcess."""
    def start(*arguments, **options):
        env = {**bare_environ(), "XDG_RUNTIME_DIR": run.folder, **options.pop("env", {})}
        return subprocess.run([*options.pop("before", ()), built("pqpool"), *map(str, arguments)],
                              env=env, text=True,
                              capture_output=True, check=False, timeout=60, **options)

    return start


class Leaks:
    """What `pqpool leaks` said."""

    def __init__(self, done, as_json):
        self.returncode, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.document = json.loads(done.stdout.decode("utf-8")) if as_json else None

    @property
    def places(self):
        return self.document["places"]

    @property
    def backends(self):
        return {lease["backend"] for place in self.places for lease in place["leases"]}

    def lines(self, place):
        """The source lines of a place, the innermost first."""
        return [(os.path.basename(f.get("file", "")), f.get("line"), f.get("function"),
                 f["inlined"]) for f in place["frames"]]


@pytest.fixture
def leaks():
    def run_tool(*argv, as_json=True, env=None, timeout=60):
        whole = {**os.environ, **(env or {})}
        done = subprocess.run([built("pqpool"), "leaks", *(["--json"] if as_json else []),
                               *map(str, argv)], env=whole, capture_output=True,
                              timeout=timeout, check=False)
        return Leaks(done, as_json and done.returncode in (0, 1))

    return run_tool


@pytest.fixture
def script(run, program, request):
    """The programs end with the test, and are held to what every program is."""
    started = []

    def start(pooled=True, env=None, server=None, name="script", before=(), **where):
        server = server or request.getfixturevalue("server")
        if server not in run.before:
            run.before[server] = session_pids(server)  # of a test that failed, maybe
        whole = run._environ(pooled, {**server.env(**where), **(env or {})}, server)
        started.append(Script([*before, program(name)], whole))
        return started[-1]

    yield start
    for each in started:
        if each.process.returncode is None and each.process.poll() is None:
            run.checked.append(each.end())
        each.kill()


@pytest.fixture
def stepwise(script):
    return lambda env=None, **more: Steps(script(env=env, name="stepwise", **more))
