# SPDX-License-Identifier: PostgreSQL
"""A private PgBouncer in front of a private server, tuned as its manual says."""
import os
import shutil
import socket
import subprocess
import tempfile

from server import ServerError, free_port, wait_until

CONFIG = """
[databases]
* = host={server_host} port={server_port}{server_password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = {auth}
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 1000
max_prepared_statements = 0
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
stats_period = 3600
verbose = 0
logfile = {folder}/log
{tls}
"""
TLS = """
client_tls_sslmode = require
client_tls_key_file = {folder}/server.key
client_tls_cert_file = {folder}/server.crt
server_tls_sslmode = require
"""


class Bouncer:
    """One PgBouncer for one way in: unix, tcp or tls; size: of its server sessions. A context
    manager."""

    def __init__(self, server, way, mode, size=30):
        self.server, self.way, self.mode, self.size = server, way, mode, size
        self.folder = None
        self.process = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="pqpool-bouncer-", dir="/tmp")
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        self.process = subprocess.Popen(
            [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "-q",
             os.path.join(self.folder, "ini")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **self.server.account.popen)
        if not wait_until(self._is_listening, 10):
            raise ServerError("PgBouncer does not start: " + self._log())

    def _is_listening(self):
        """The socket's file may be that of the one before."""
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(os.path.join(self.folder, ".s.PGSQL.%d" % self.port)) == 0

    def _stop(self):
        self.process.terminate()
        self.process.wait(10)

    def restart(self):
        """Ends all sessions of its clients, and comes back in the same place."""
        self._stop()
        self._start()

    def __exit__(self, *_):
        if self.process:
            self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self):
        self.port = free_port()
        # max_prepared_statements came with 1.21; older ones refuse to know it.
        text = CONFIG.replace("max_prepared_statements = 0\n", "").format(
            server_host=self.server.folder.path if self.way == "unix" else "127.0.0.1",
            server_port=self.server.port, port=self.port, folder=self.folder, mode=self.mode, size=self.size,
            server_password="" if self.way == "unix" else " password=" + self.server.password,
            auth="any" if self.way == "unix" else "scram-sha-256",
            tls=TLS.format(folder=self.folder) if self.way == "tls" else "")
        secret = self.server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")[0][0]
        self._write("ini", text.replace("auth_type = any", "auth_type = trust"))
        self._write("users", '"app" "%s"\n' % secret)
        for name in ("server.key", "server.crt"):
            if self.way == "tls":
                with open(os.path.join(self.server.data, name), encoding="ascii") as f:
                    self._write(name, f.read())
        self.server.account.own(self.folder)

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        self.server.account.own(path)

    def _log(self):
        try:
            with open(os.path.join(self.folder, "log"), encoding="utf-8") as f:
                return f.read()[-2000:]
        except OSError as e:
            return str(e)

    def env(self, env):
        """The PG* variables `env`, led here."""
        return {**env, "PGPORT": str(self.port),
                "PGHOST": self.folder if self.way == "unix" else "127.0.0.1"}
