# SPDX-License-Identifier: PostgreSQL
"""Programs that keep their connection for life end with nothing of ours on stderr."""
import glob
import os
import pty
import pwd
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import BUILD
from running import process_state, read_log, run_to_end
from server import REPLICATION_HBA, free_port, wait_until

PGCLI = "/usr/bin/pgcli"
# Where setup.sh unpacks PowerDNS, if the machine has none.
PDNS = "" if os.path.exists("/usr/share/pdns-backend-pgsql") else os.path.join(BUILD, "tests/pdns")
SCHEMA = PDNS + "/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql"
ZONE = """
INSERT INTO domains (name, type) VALUES ('example.com', 'NATIVE');
INSERT INTO records (domain_id, name, type, content, ttl) VALUES
    (1, 'example.com', 'SOA', 'ns.example.com. me.example.com. 1 1 1 1 1', 60),
    (1, 'www.example.com', 'A', '10.1.2.3', 60);
"""
# Who is www.example.com?
QUESTION = (struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
            + b"\3www\7example\3com\0" + struct.pack(">HH", 1, 1))
DEADLINE = 30


@pytest.mark.parametrize("wal", ["stream", "fetch"])
def test_pg_basebackup(run, new_server, tool, tmp_path, wal):
    """Its second connection is its child's, who has ended by then."""
    own = new_server(hba=REPLICATION_HBA)
    done = run([tool("pg_basebackup"), "-D", str(tmp_path / "copy"), "-c", "fast", "-X", wal],
               server=own, env=own.env("postgres"))
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "copy/PG_VERSION").exists()
    assert done.events("acquire") and not done.events("leak")


class Typed:
    """A program on a terminal of its own, whose stderr is a file."""

    def __init__(self, argv, env, stderr):
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.dup2(os.open(stderr, os.O_CREAT | os.O_WRONLY, 0o600), 2)
            os.execve(argv[0], argv, env)

    def wait_for(self, text):
        """Until it has been shown; answers the question where the cursor is."""
        end = time.monotonic() + DEADLINE
        while text not in self.seen:
            assert select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0], (
                "%r is not in %r" % (text, self.seen))
            piece = os.read(self.terminal, 4096)
            self.seen += piece
            if b"\x1b[6n" in piece:
                os.write(self.terminal, b"\x1b[1;1R")

    def type(self, text):
        self.seen = b""
        os.write(self.terminal, text)

    def end(self):
        """Its exit status."""
        try:
            while os.read(self.terminal, 4096):
                pass
        except OSError:
            pass  # so ends a terminal that nobody has any more
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_pgcli(run, server, tmp_path):
    """One to talk by, and another one for a moment, to learn what there is."""
    env = {**run._environ(True, {}, server), "HOME": str(tmp_path), "TERM": "xterm",
           "XDG_CONFIG_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    pgcli = Typed([PGCLI], env, tmp_path / "stderr")
    pgcli.wait_for(b"app>")
    pgcli.type(b"SELECT 6 * 7 AS answer;\r")
    pgcli.wait_for(b"42")
    pgcli.wait_for(b"app>")
    pgcli.type(b"\\q\r")
    assert pgcli.end() == 0 and (tmp_path / "stderr").read_text() == ""


def ask(port):
    """Asks it until it has answered in each of its threads, or nearly."""
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        end = time.monotonic() + DEADLINE
        while answers < 30 and time.monotonic() < end:
            s.sendto(QUESTION, ("127.0.0.1", port))
            try:
                answers += socket.inet_aton("10.1.2.3") in s.recv(512)
            except (TimeoutError, ConnectionRefusedError):
                pass
    return answers


@pytest.mark.skipif(not os.path.exists(SCHEMA), reason="no PowerDNS; see build/tests/pdns/log")
def test_powerdns(run, new_server, tmp_path):
    """A connection for each of its threads."""
    own = new_server()
    with open(SCHEMA, encoding="ascii") as f:
        own.sql(f.read() + ZONE, database="app", user="app")
    port = free_port()
    [libraries] = glob.glob(PDNS + "/usr/lib/*/pdns")
    env = run._environ(True, {"LD_LIBRARY_PATH": os.path.dirname(libraries)} if PDNS else {}, own)
    folders = ["--config-dir=%s" % tmp_path, "--socket-dir=%s" % tmp_path]
    quit_it = [PDNS + "/usr/bin/pdns_control", *folders, "quit"]
    argv = [PDNS + "/usr/sbin/pdns_server", *folders, "--module-dir=" + libraries,
            "--daemon=no", "--guardian=no", "--disable-syslog", "--launch=gpgsql",
            "--gpgsql-host=" + env["PGHOST"], "--gpgsql-port=" + env["PGPORT"],
            "--gpgsql-user=app", "--gpgsql-dbname=app", "--local-address=127.0.0.1",
            "--local-port=%d" % port, "--zone-cache-refresh-interval=0", "--cache-ttl=0",
            "--query-cache-ttl=0", "--negquery-cache-ttl=0"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            assert ask(port) == 30
            assert wait_until(lambda: process_state(process.pid) == "S")
            status, out, _ = run_to_end(quit_it, env, DEADLINE)
            assert status == 0, out
            said, _ = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 0 and "pqpool" not in said, said


# ---- a process whose interpreter ends, and which goes on -------------------------------------

APACHE, MODULES = "/usr/sbin/apache2", "/usr/lib/apache2/modules"
STARTUP = """
package Kept;
use DBI;
our $database = DBI->connect("dbi:Pg:", "", "", {RaiseError => 1});
$database->do("SELECT 1");
1;
"""
HTTPD = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
Listen 127.0.0.1:{port}
ErrorLog {folder}/error.log
User {user}
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule perl_module {modules}/mod_perl.so
StartServers 1
PerlRequire {folder}/startup.pl
"""


def test_mod_perl(run, server, tmp_path):
    """Apache makes its Perl anew at the start and at a restart, and that a connection of its own,
    which the end of the one before has finished."""
    port = free_port()
    env = run._environ(True, {"PQPOOL_LOG_LEVEL": "info"}, server)
    (tmp_path / "startup.pl").write_text(STARTUP)
    (tmp_path / "httpd.conf").write_text(HTTPD.format(
        folder=tmp_path, port=port, modules=MODULES, user=pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() else "nobody"))
    (tmp_path / "stderr").touch()
    with open(tmp_path / "stderr", "w", encoding="utf-8") as stderr, subprocess.Popen(
            [APACHE, "-f", str(tmp_path / "httpd.conf"), "-DFOREGROUND"], env=env,
            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
            start_new_session=True) as apache:
        try:
            def log(name, **pairs):
                return [e for e in read_log(env["PQPOOL_LOG"]) if e["event"] == name
                        and e["pid"] == str(apache.pid)
                        and all(e.get(k) == v for k, v in pairs.items())]

            def resumed(times):
                return (tmp_path / "error.log").exists() and (tmp_path / "error.log").read_text(
                    ).count("resuming normal operations") == times

            assert wait_until(lambda: resumed(1), DEADLINE)
            before = len(log("acquire"))
            apache.send_signal(signal.SIGUSR1)
            assert wait_until(lambda: resumed(2), DEADLINE)
            assert len(log("acquire")) == before + 1, "it did not connect again"
            apache.terminate()
            apache.wait(DEADLINE)
        finally:
            apache.kill()
    assert "pqpool" not in (tmp_path / "stderr").read_text()
    assert log("release", at_exit="yes") and not log("leak")
    assert [e["lease"] for e in log("kept")] == [log("acquire")[-1]["lease"]]
