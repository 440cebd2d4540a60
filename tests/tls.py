# SPDX-License-Identifier: PostgreSQL
"""A private server that speaks TLS and tells how each session ended."""
import os
import subprocess

from server import Server

# How the server's log tells of a session that did not end as it should.
ROUGH = r"unexpected (EOF|eof)|could not receive data|could not send data|reset by peer"
SETTINGS = {"ssl": "on", "log_min_messages": "debug1"}


class TlsServer(Server):
    """Speaks TLS over TCP, with a certificate that it signed itself. Its log tells of
    sessions that ended without Terminate, too ("unexpected EOF")."""

    def __init__(self, settings=None, **more):
        super().__init__(settings={**SETTINGS, **(settings or {})}, **more)

    def _init(self):
        super()._init()
        key, certificate = (os.path.join(self.data, n) for n in ("server.key", "server.crt"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        for path in (key, certificate):
            os.chmod(path, 0o600)
            self.account.own(path)

    def ways(self):
        """The ways in, by name: PG* variables for each."""
        return {"unix": {**self.env(), "PGSSLMODE": "disable"},
                "tcp": {**self.env(tcp=True), "PGSSLMODE": "disable"},
                "tls": {**self.env(tcp=True), "PGSSLMODE": "require"}}
