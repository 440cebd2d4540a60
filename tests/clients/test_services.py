# SPDX-License-Identifier: PostgreSQL
"""Services that clear their environment and overwrite their arguments before they connect: our
settings and the program's name are those of their start."""
import glob
import os
import re
import subprocess

import pytest

from conftest import built
from running import PYTHON, kill_group, read_log
from server import wait_until

LEASES = 4
PHP = """<?php
for ($i = 0; $i < %d; $i++) {
    $c = pg_connect('host=127.0.0.1 port=%s user=app password=%s dbname=app');
    echo pg_fetch_result(pg_query($c, 'SELECT pg_backend_pid()'), 0, 0), ' ';
    pg_close($c);
}
"""
WSGI = """
import psycopg2

def application(environ, start_response):
    pids = []
    for _ in range(%d):
        conn = psycopg2.connect("")
        pids.append(conn.get_backend_pid())
        conn.close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(map(str, pids)).encode()]
"""


@pytest.fixture
def open_folder(tmp_path):
    """A folder that a service's own user can write to."""
    for folder in [*tmp_path.parents, tmp_path]:
        if os.stat(folder).st_uid == os.geteuid() and str(folder) != "/":
            os.chmod(folder, os.stat(folder).st_mode | 0o755)
    tmp_path.chmod(0o777)
    return tmp_path


def is_listened_at(path):
    """Whether a Unix socket takes connections: its file is there a little earlier."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as sockets:
        rows = [line.split() for line in sockets]
    return any(row[3] == "00010000" and row[-1] == path for row in rows)  # SO_ACCEPTCON


class Fpm:
    """php-fpm with Debian's pool file, as a private instance; ask() is a request's answer."""

    def __init__(self, folder, unpacked, env, more):
        [stock] = glob.glob(unpacked + "/etc/php/*/fpm/pool.d/www.conf")
        [binary] = glob.glob(unpacked + "/usr/sbin/php-fpm[0-9]*")
        with open(stock, encoding="utf-8") as file:
            pool = re.sub(r"(?m)^listen = .*", "listen = %s/socket" % folder, file.read())
        (folder / "pool.conf").write_text(pool + more)
        (folder / "fpm.conf").write_text(
            "[global]\nerror_log = %s/error\ninclude = %s/pool.conf\n" % (folder, folder))
        self.socket = str(folder / "socket")
        self.page = str(folder / "page.php")
        self.process = subprocess.Popen(
            [binary, "--nodaemonize", "--fpm-config", str(folder / "fpm.conf")], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        assert wait_until(lambda: is_listened_at(self.socket))

    def ask(self):
        request = {"SCRIPT_FILENAME": self.page, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
        done = subprocess.run(["cgi-fcgi", "-bind", "-connect", self.socket], env={
            **os.environ, **request}, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.partition("\n\n")[2].split()


@pytest.fixture
def fpm(run, server, open_folder):
    """fpm({"PQPOOL_SKIP": ...}, pool lines): started with these variables."""
    unpacked = built("tests/php-fpm")
    [modules] = glob.glob("/etc/php/*/cli/conf.d")
    started = []

    def start(variables, more=""):
        folder = open_folder / str(len(started))
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        (folder / "page.php").write_text(
            PHP % (LEASES, server.env()["PGPORT"], server.password))
        run.before.setdefault(server, set())
        env = run._environ(True, {
            "PQPOOL_LOG": open_folder / "%n.%p.log", "PHP_INI_SCAN_DIR": modules, **variables}, False)
        started.append(Fpm(folder, unpacked, env, more))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait()
        kill_group(each.process)


def sessions(pids):
    assert len(pids) == LEASES and all(pid.isdigit() for pid in pids), pids
    return len(set(pids))


def test_php_fpm_is_pooled(fpm, open_folder):
    assert sessions(fpm({"PQPOOL_SIZE": "3"}).ask()) == 1
    [log] = glob.glob(str(open_folder / "php-fpm[0-9]*.log"))
    events = read_log(log)
    assert re.fullmatch(r"php-fpm[\d.]+", os.path.basename(log).rsplit(".", 2)[0])
    assert {e["program"] for e in events} == {os.path.basename(log).rsplit(".", 2)[0]}
    assert [e["size"] for e in events if e["event"] == "config"] == ["3"]


@pytest.mark.parametrize("variables, pooled", [
    ({"PQPOOL_DISABLE": "on"}, False),
    ({"PQPOOL_ONLY": "php-fpm*"}, True), ({"PQPOOL_ONLY": "php*cli,apache2"}, False),
    ({"PQPOOL_SKIP": "php-fpm*"}, False), ({"PQPOOL_SKIP": "*www*"}, True),
    ({"PQPOOL_SIZE": "three"}, False),
])
def test_php_fpm_obeys(fpm, variables, pooled):
    assert sessions(fpm(variables).ask()) == (1 if pooled else LEASES)


def test_pool_file_of_php_fpm_wins(fpm):
    """What the administrator puts into a worker's environment is newer than ours."""
    assert sessions(fpm({"PQPOOL_DISABLE": "on"}, "env[PQPOOL_DISABLE] = \"off\"\n").ask()) == 1
    assert sessions(fpm({}, "env[PQPOOL_DISABLE] = \"on\"\n").ask()) == LEASES


# ---- a title of its own --------------------------------------------------------------


def test_gunicorn_is_named(run, server, tmp_path):
    """Its workers have titles; they are called as it was."""
    (tmp_path / "app.py").write_text(WSGI % LEASES)
    path = str(tmp_path / "socket")
    run.before.setdefault(server, set())
    env = run._environ(True, {"PQPOOL_LOG": tmp_path / "%n.%p.log"}, server)
    process = subprocess.Popen(
        [PYTHON, "/usr/bin/gunicorn", "-b", "unix:" + path, "-n", "a long title " * 5,
         "app:application"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True,
        start_new_session=True)
    try:
        assert wait_until(lambda: is_listened_at(path))
        answer = subprocess.run(
            ["curl", "-s", "--unix-socket", path, "http://localhost/"],
            capture_output=True, text=True, timeout=30, check=True).stdout
        with open("/proc/%d/cmdline" % process.pid, encoding="utf-8") as title:
            assert title.read().startswith("gunicorn: master ["), "it has no title"
    finally:
        process.terminate()
        process.communicate(timeout=30)
        kill_group(process)
    assert sessions(answer.split()) == 1
    assert [os.path.basename(log).split(".")[0] for log in glob.glob(str(tmp_path / "*.log"))] \
        == ["python3"]
