#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""Private, throwaway PostgreSQL servers for tests, demo and benchmarks.

    with Server() as server:
        subprocess.run(["psql"], env={**os.environ, **server.env()})

From the shell, with PGHOST, PGPORT, PGUSER and PGDATABASE set for the command:

    /usr/bin/python3 tests/server.py --run pgbench -i

A server lives in one temporary folder: data, log and Unix socket. It runs as user
postgres where we are root (PostgreSQL refuses to be root), else as ourselves, in a
session of its own, so that Ctrl-C reaches us and not it. It ends with us: stop()
does it properly, and the kernel sends it SIGQUIT if we die without. What a killed
owner left in /tmp is removed by the next start.

Roles: `postgres`, the superuser, and `app`, owner of the database `app`; both
are trusted on the Unix socket and use SCRAM over 127.0.0.1, password
`server.password`. The helper's own queries come from application `observer` and
are left out of every count.
"""
import argparse
import ctypes
import fcntl
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

OBSERVER = "observer"
FOLDER_PREFIX = "pqpool-server-"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "password_encryption": "scram-sha-256",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}
HBA = """\
local   all  all                trust
host    all  all  127.0.0.1/32  scram-sha-256
"""
# For those that a standby follows.
REPLICATION_HBA = HBA + "local   replication  all  trust\n"
# What a start may complain of that is over after a while, or elsewhere.
PASSING = re.compile(r"could not bind|Address already in use|pre-existing shared memory|"
                     r"lock file .* already exists")
FIELD, RECORD = "\x1f", "\x1e"
PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """The server did not do what it was told to."""


def wait_until(predicate, deadline=10.0, interval=0.01):
    """Polls until predicate() is true and returns its value; its last, false value
    after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value or time.monotonic() >= end:
            return value
        time.sleep(interval)  # sleeps because this is how everybody else need not


def bindir():
    """The folder of the machine's own programs: pg_config's, else the newest installed."""
    dirs = []
    if shutil.which("pg_config"):
        dirs.append(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    newest = sorted(
        glob.glob("/usr/lib/postgresql/*/bin"),
        key=lambda d: [int(n) for n in re.findall(r"\d+", d)],
        reverse=True,
    )
    for folder in dirs + newest:
        if os.access(os.path.join(folder, "initdb"), os.X_OK):
            return folder
    raise ServerError("no PostgreSQL server programs found; run tests/setup.sh")


def major_version(folder):
    """The major version of the server program in a folder."""
    said = subprocess.check_output([os.path.join(folder, "postgres"), "--version"], text=True,
                                   env=own_environ())
    return int(re.search(r"\d+", said).group())


def bare_environ():
    """Our environment without anything that speaks to libpq or to the shim."""
    mine = ("PG", "PQPOOL_", "LD_PRELOAD")
    return {k: v for k, v in os.environ.items() if not k.startswith(mine)}


def own_environ():
    """The same for the server's programs and psql, which run with their own libraries."""
    return {k: v for k, v in bare_environ().items() if k != "LD_LIBRARY_PATH"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Account:
    """The system user that the server runs as."""

    def __init__(self):
        entry = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.popen = {}
        if os.geteuid() == 0:
            self.popen = {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path):
        os.chown(path, self.uid, self.gid)


class Folder:
    """A temporary folder that says, by a locked file in it, that its owner lives."""

    OWNER = ".owner"

    def __init__(self, account):
        base = tempfile.gettempdir()
        if len(base) > 60:  # a Unix socket's path has 107 bytes
            base = "/tmp"
        self.sweep(base, account)
        self.path = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base)
        self.lock = open(os.path.join(self.path, ".new"), "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.rename(self.lock.name, os.path.join(self.path, self.OWNER))
        account.own(self.path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()

    @classmethod
    def sweep(cls, base, account):
        """Removes what owners that were killed left behind."""
        for path in glob.glob(os.path.join(base, FOLDER_PREFIX + "*")):
            try:
                if os.lstat(path).st_uid != account.uid:
                    continue
                with open(os.path.join(path, cls.OWNER), encoding="ascii") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            except OSError:
                continue  # being made, in use, or not ours


class Server:
    """One private server. A context manager; start() and stop() otherwise, from a
    thread that lives on: the server ends with the thread that started it.

    programs: the folder of its initdb and postgres, if not the machine's own, for example
    versions.server_of("15.8"). psql and the other clients are always the machine's.
    environ: variables of the server process."""

    # What `programs` is where nothing is said; the matrix sets it for a whole run.
    default_programs = None

    def __init__(self, settings=None, hba=HBA, programs=None, environ=None):
        self.settings = {**SETTINGS, **(settings or {})}
        self.environ = environ or {}
        self.hba = hba
        self.password = secrets.token_hex(8)
        self.bindir = bindir()
        self.programs = programs or Server.default_programs or self.bindir
        self.major = major_version(self.programs)  # of the server
        self.account = Account()
        self.folder = None
        self.process = None
        self.port = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # -- life ---------------------------------------------------------------

    def start(self):
        """Makes a cluster and starts it; returns when it takes connections."""
        self.folder = Folder(self.account)
        try:
            self._init()
            self._launch()
            self.sql("CREATE ROLE app LOGIN PASSWORD '%s'" % self.password)
            self.sql("CREATE DATABASE app OWNER app")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Ends the server, by force if it must be, and removes its folder."""
        self.halt("fast")
        if self.folder:
            self.folder.remove()
            self.folder = None

    def restart(self, mode="fast"):
        """Ends every session and comes back on the same port. mode: fast,
        immediate (as after a crash) or kill (a crash)."""
        self.halt(mode)
        self._launch(same_port=True)

    def halt(self, mode="fast"):
        """Ends the server and keeps its folder; launch() brings it back."""
        if not self.process:
            return
        first = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}
        for sig, seconds in ((first[mode], 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            self.process.send_signal(sig)
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def launch(self):
        """Starts a halted server again, on the same port."""
        self._launch(same_port=True)

    def _init(self):
        pwfile = os.path.join(self.folder.path, "pw")
        with open(pwfile, "w", encoding="ascii") as f:
            f.write(self.password)
        self.account.own(pwfile)
        argv = [os.path.join(self.programs, "initdb"), "-D", self.data, "-U", "postgres"]
        argv += ["--pwfile", pwfile, "--no-sync", "--auth=trust", "--no-locale", "-E", "UTF8"]
        self._tool(argv)
        os.unlink(pwfile)
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="ascii") as f:
            f.write(self.hba)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.write("\nunix_socket_directories = '%s'\n" % self.folder.path)
            for name, value in self.settings.items():
                f.write("%s = '%s'\n" % (name, str(value).replace("'", "''")))

    def _tool(self, argv):
        """Runs a program as the server's user; it must succeed."""
        done = subprocess.run(
            argv, env=own_environ(), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, check=False,
            **self.account.popen)
        if done.returncode:
            raise ServerError("%s failed:\n%s" % (argv[0], done.stdout))

    def _launch(self, same_port=False):
        if not wait_until(lambda: self._attempt(same_port), 60, 0.05):
            raise ServerError("the server does not start:\n" + self.log_text()[-4000:])

    def _attempt(self, same_port):
        """One try to start; false if another may do better."""
        if not same_port:
            self.port = free_port()
        begin = self.marker()
        self._spawn()
        if wait_until(lambda: self._is_ready() or self.process.poll() is not None, 60) and (
                self.process.poll() is None):
            return True
        self.halt("immediate")
        if not PASSING.search(self.log_text(begin)):
            raise ServerError("the server does not start:\n" + self.log_text(begin)[-4000:])
        return False

    def _spawn(self):
        libc = ctypes.CDLL(None)
        with open(self.logfile, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.programs, "postgres"), "-D", self.data, "-p", str(self.port)],
                env={**own_environ(), **self.environ}, cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT),
                **self.account.popen)

    def _is_ready(self):
        """What pg_ctl looks at: the last line of postmaster.pid, once it is this one's."""
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as f:
                lines = f.read().split("\n")
        except OSError:
            return False
        return lines[0] == str(self.process.pid) and len(lines) > 7 and "ready" in lines[7]

    @property
    def data(self):
        return os.path.join(self.folder.path, "data")

    @property
    def logfile(self):
        return os.path.join(self.folder.path, "log")

    # -- the way in ---------------------------------------------------------

    def env(self, user="app", database=None, tcp=False):
        """The PG* variables that lead here, over the Unix socket or over TCP."""
        env = {
            "PGHOST": "127.0.0.1" if tcp else self.folder.path,
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGDATABASE": database or user,
        }
        if tcp:
            env["PGPASSWORD"] = self.password
        return env

    def dsn(self, user="app", database=None, tcp=False, **more):
        """The same as a conninfo string; more=key words to add."""
        env = self.env(user, database, tcp)
        words = {"host": env["PGHOST"], "port": env["PGPORT"], "user": env["PGUSER"],
                 "dbname": env["PGDATABASE"]}
        if tcp:
            words["password"] = self.password
        words.update(more)
        return " ".join("%s='%s'" % (k, str(v).replace("\\", r"\\").replace("'", r"\'"))
                        for k, v in words.items())

    # -- looking at it from outside -----------------------------------------

    def sql(self, query, database="postgres", user="postgres"):
        """Rows, as lists of strings, of a query on a connection of its own."""
        env = {**own_environ(), **self.env(user, database), "PGAPPNAME": OBSERVER}
        done = subprocess.run(
            [os.path.join(self.bindir, "psql"), "-XAtq", "-F", FIELD, "-R", RECORD, "-c", query],
            env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False)
        if done.returncode:
            raise ServerError(done.stderr.strip())
        rows = done.stdout.removesuffix("\n").split(RECORD) if done.stdout else []
        return [row.split(FIELD) for row in rows]

    def sessions(self, where="true"):
        """The clients' sessions now, the observer's left out, as dicts of strings."""
        columns = ["pid", "usename", "datname", "application_name", "state", "query"]
        rows = self.sql(
            "SELECT %s FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender')"
            " AND application_name <> '%s' AND (%s) ORDER BY backend_start"
            % (", ".join(columns), OBSERVER, where))
        return [dict(zip(columns, row)) for row in rows]

    def terminate(self, where="true"):
        """Ends the clients' sessions for which `where` holds; returns how many, once their
        processes are gone."""
        rows = self.sql(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> '%s' AND (%s)"
            % (OBSERVER, where))
        pids = {row[0] for row in rows}
        if not wait_until(lambda: not any(os.path.exists("/proc/" + p) for p in pids)):
            raise ServerError("these sessions do not end: %s" % pids)
        return len(pids)

    def marker(self):
        """A point in the server's log, for the two below."""
        return os.path.getsize(self.logfile) if os.path.exists(self.logfile) else 0

    def log_text(self, since=0):
        with open(self.logfile, "rb") as f:
            f.seek(since)
            return f.read().decode("utf-8", "replace")

    def connections_since(self, marker=0):
        """How many sessions began after `marker`, the observer's left out. Servers before
        12 do not say whose they were."""
        assert self.major >= 12
        begun = re.findall(r"connection authorized: .*", self.log_text(marker))
        own = "application_name=" + OBSERVER
        return sum(own not in line.split() for line in begun)

    def most_at_once(self, marker=0):
        """The most sessions there were at one time since `marker`, the observer's left out. By
        the log: pg_stat_activity is read row by row, and while a reader is interrupted a row that
        it counted may end and a later one begin (seen with 18: 15 rows, of 10 sessions)."""
        here, most = set(), 0
        for pid, event, rest in re.findall(
                r"(?m)\[(\d+)\] LOG:  (connection authorized|disconnection): (.*)",
                self.log_text(marker)):
            if event == "disconnection":
                here.discard(pid)
            elif "application_name=" + OBSERVER not in rest.split():
                here.add(pid)
            most = max(most, len(here))
        return most


class Standby(Server):
    """A hot standby of another server, which has REPLICATION_HBA."""

    def __init__(self, primary):
        super().__init__(primary.settings, primary.hba, primary.programs)
        self.primary = primary
        self.password = primary.password

    def start(self):
        """Copies the primary and starts to follow it."""
        self.folder = Folder(self.account)
        try:
            where = self.primary.dsn("postgres", application_name=OBSERVER)
            self._tool([os.path.join(self.bindir, "pg_basebackup"), "-D", self.data, "-d", where,
                        "-R", "-c", "fast", "--no-sync"])
            with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
                f.write("unix_socket_directories = '%s'\n" % self.folder.path)
            self._launch()
        except BaseException:
            self.stop()
            raise

    def promote(self):
        """Makes it a primary; returns when it is one."""
        self.sql("SELECT pg_promote(true, 60)")


# -- for the shell ------------------------------------------------------------


class Interrupted(BaseException):
    """A signal asked us to end."""

    def __init__(self, signum):
        super().__init__(signum)
        self.signum = signum


def interrupt_on_signals():
    """Makes SIGINT, SIGTERM and SIGHUP raise Interrupted, once."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def handler(signum, _frame):
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signum)

    for each in signals:
        signal.signal(each, handler)


def end_child(child):
    """Ends a command that did not end by itself with the signal we got."""
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def run_command(argv, **options):
    """Runs argv with a server of its own; returns its exit status as a shell's."""
    child = None
    try:
        with Server(**options) as server:
            try:
                env = {**os.environ, **server.env()}
                child = subprocess.Popen(argv, env=env)
                status = child.wait()
                return status if status >= 0 else 128 - status
            finally:
                end_child(child)
    except Interrupted as stop:
        return 128 + stop.signum


def main():
    parser = argparse.ArgumentParser(description="Run a command with a private PostgreSQL server.")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a server setting")
    parser.add_argument("--run", nargs=argparse.REMAINDER, required=True, metavar="COMMAND")
    args = parser.parse_args()
    if not args.run:
        parser.error("--run needs a command")
    interrupt_on_signals()
    try:
        sys.exit(run_command(args.run, settings=dict(s.split("=", 1) for s in args.set)))
    except (ServerError, OSError) as error:
        sys.exit("server.py: %s" % error)


if __name__ == "__main__":
    main()
