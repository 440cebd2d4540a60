# SPDX-License-Identifier: PostgreSQL
"""A private web server: nginx before php-fpm, whose workers are all there from the start.

    with Web(unpacked, folder, account, env, page, workers=12) as web:
        done = web.load(requests=400, clients=24)   # apache2-utils' ab

`unpacked` is where setup.sh has the programs; `env` is what php-fpm starts with.
"""
import glob
import os
import re
import socket
import subprocess
from dataclasses import dataclass

from server import bare_environ, free_port, wait_until

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass unix:{folder}/fpm;
            fastcgi_param SCRIPT_FILENAME {folder}/page.php;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
        }}
    }}
}}
"""
FPM = """
[global]
error_log = {folder}/fpm.log
[www]
listen = {folder}/fpm
listen.backlog = 511
pm = static
pm.max_children = {workers}
"""
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class Load:
    """What ab has counted."""

    answered: int
    failed: int  # other answers than the first one, and errors
    per_second: float


class Web:
    """A context manager."""

    def __init__(self, unpacked, folder, account, env, page, workers=12):
        self.folder, self.account, self.workers = str(folder), account, workers
        [self.fpm] = glob.glob(unpacked + "/php-fpm/usr/sbin/php-fpm[0-9]*")
        self.nginx = unpacked + "/nginx/usr/sbin/nginx"
        [modules] = glob.glob("/etc/php/*/cli/conf.d")
        self.env = {**env, "PHP_INI_SCAN_DIR": modules}
        self.page = page
        self.port = free_port()
        self.started = []

    def __enter__(self):
        self.account.own(self.folder)
        for name, text in {"nginx.conf": NGINX, "fpm.conf": FPM}.items():
            self._write(name, text.format(folder=self.folder, port=self.port, workers=self.workers))
        self._write("page.php", self.page)
        try:
            self._start([self.fpm, "--nodaemonize", "--fpm-config", self.folder + "/fpm.conf"],
                        self.env)
            self._start([self.nginx, "-p", self.folder, "-c", self.folder + "/nginx.conf",
                         "-e", self.folder + "/nginx.log"], bare_environ())
            assert wait_until(self._serves), self.log()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.terminate()
            process.wait(30)

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        self.account.own(path)

    def _start(self, argv, env):
        self.started.append(subprocess.Popen(argv, env=env, **QUIET, **self.account.popen))

    def _serves(self):
        with socket.socket() as s:
            return (os.path.exists(self.folder + "/fpm")
                    and s.connect_ex(("127.0.0.1", self.port)) == 0)

    def log(self):
        text = ""
        for name in ("fpm.log", "nginx.log"):
            if os.path.exists(os.path.join(self.folder, name)):
                with open(os.path.join(self.folder, name), encoding="utf-8") as f:
                    text += f.read()
        return text

    def get(self):
        """The answer to one request."""
        return subprocess.run(["curl", "-s", "http://127.0.0.1:%d/" % self.port], text=True,
                              capture_output=True, check=True, timeout=60).stdout

    def load(self, requests, clients):
        """So many requests from so many clients at once."""
        said = subprocess.run(
            ["ab", "-q", "-r", "-s", "60", "-n", str(requests), "-c", str(clients),
             "http://127.0.0.1:%d/" % self.port], text=True, capture_output=True, check=True).stdout
        found = {name: re.search(r"(?m)^%s: +([\d.]+)" % re.escape(name), said)
                 for name in ("Complete requests", "Failed requests", "Non-2xx responses",
                              "Requests per second")}
        count = {name: float(match.group(1)) if match else 0 for name, match in found.items()}
        return Load(int(count["Complete requests"]),
                    int(count["Failed requests"] + count["Non-2xx responses"]),
                    count["Requests per second"])
