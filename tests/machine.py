# SPDX-License-Identifier: PostgreSQL
"""A machine of its own, with systemd and Debian's services as they are installed (machine.sh).

    with Machine(server, build) as machine:
        machine.write("/etc/cron.d/app", "...")
        machine.run("systemctl restart cron")

pqpool is installed in it, below /usr/local, and the server is where the machine's own would be:
on the Unix socket of port 5432. What runs and is written there is seen nowhere else.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile

from server import PR_SET_PDEATHSIG, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "machine.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unavailable(Exception):
    """There can be no machine here; says why."""


class MachineError(Exception):
    """A command failed; says which and what it printed."""


class Machine:
    """A context manager."""

    def __init__(self, server, build):
        self.server, self.build = server, build
        self.work = None
        self.process = None
        self.init = None  # its process 1, as it is known outside
        self.changed = {}  # path -> what was there before, None if nothing

    def __enter__(self):
        if os.geteuid():
            raise Unavailable("a machine needs root")
        done = subprocess.run(["bash", SCRIPT, "make"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable((done.stdout or done.stderr).strip())
        self.work = tempfile.mkdtemp(prefix="pqpool-machine-", dir="/tmp")
        try:
            self._install()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.work, ignore_errors=True)

    def _install(self):
        subprocess.run(["make", "-s", "install", "BUILD=" + self.build, "PREFIX=/usr/local",
                        "DESTDIR=%s/installed" % self.work], cwd=os.path.dirname(HERE), check=True)

    def _start(self):
        libc = ctypes.CDLL(None)
        socket = os.path.join(self.server.folder.path, ".s.PGSQL.%d" % self.server.port)
        with open(os.path.join(self.work, "log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["bash", SCRIPT, "start", self.work, socket, os.path.dirname(HERE)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        parent = self.process.stdout.readline().strip()
        if not parent or not wait_until(lambda: self._is_up(parent), 60):
            with open(log.name, encoding="utf-8") as file:
                raise MachineError("no machine: " + file.read()[-2000:])

    def _is_up(self, parent):
        try:
            with open("/proc/%s/task/%s/children" % (parent, parent), encoding="ascii") as f:
                self.init = f.read().strip()
        except OSError:
            return False
        return self.init and subprocess.run(
            self._argv("systemctl is-system-running"), capture_output=True,
            check=False).stdout.strip() in (b"running", b"degraded")

    def _argv(self, script):
        return ["nsenter", "-t", self.init, "-a", "--", "env", "-i", "PATH=" + PATH,
                "LC_ALL=C.UTF-8", "HOME=/root", "bash", "-euc", "cd /root; " + script]

    def attempt(self, script, stdin="", timeout=60):
        """(status, output) of a shell's script, run by root."""
        done = subprocess.run(self._argv(script), input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout

    def run(self, script, stdin=""):
        """What it prints; it must succeed."""
        status, text = self.attempt(script, stdin)
        if status:
            raise MachineError("%s: status %d\n%s\n%s" % (script, status, text, self.journal()))
        return text

    def journal(self):
        """What services said last."""
        with open(os.path.join(self.work, "log"), encoding="utf-8") as file:
            return file.read()[-4000:]

    def stop(self):
        """Ends every service that was started, and its processes."""
        self.run("systemctl list-units --plain --no-legend --state=active,failed --type=service,socket"
                 " | awk '$1 !~ /^(systemd-|dbus)/ {print $1}' | xargs -r systemctl stop;"
                 " systemctl reset-failed")

    # -- files, which undo() puts back ------------------------------------------------------------

    def _inside(self, path):
        return "/proc/%s/root%s" % (self.init, path)

    def write(self, path, text, add=False, mode=0o644):
        """Makes a file, or adds to the one there."""
        if path not in self.changed:
            try:
                with open(self._inside(path), encoding="utf-8") as file:
                    self.changed[path] = file.read()
            except FileNotFoundError:
                self.changed[path] = None
        os.makedirs(os.path.dirname(self._inside(path)), exist_ok=True)
        with open(self._inside(path), "a" if add else "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self._inside(path), mode)

    def undo(self):
        """Every file as it was before it was written."""
        for path, text in self.changed.items():
            if text is None:
                os.unlink(self._inside(path))
            else:
                with open(self._inside(path), "w", encoding="utf-8") as file:
                    file.write(text)
        self.changed = {}
