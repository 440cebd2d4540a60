# SPDX-License-Identifier: PostgreSQL
"""Programs that are run, work and end: of cron, through ODBC, in an image."""
import re
import shlex

from recipes.asking import REQUESTS, SEE, SET_UP
from server import wait_until

JOB = """import psycopg2
conn = psycopg2.connect("user=app dbname=app")
print(conn.get_backend_pid())
conn.close()
"""
ODBC = """<?php
for ($i = 0; $i < %d; $i++) {
    $c = odbc_connect('shop', 'app', '');
    echo odbc_result(odbc_exec($c, 'SELECT pg_backend_pid()'), 1), "\\n";
    odbc_close($c);
}
""" % REQUESTS


def as_cron(text):
    """What cron would run, with the environment that the file says."""
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    env = [line for line in lines if re.match(r"\w+=", line)]
    [job] = [line.split(None, 6) for line in lines if line not in env]
    return "runuser -u %s -- env -i HOME=/var/www SHELL=/bin/sh LOGNAME=%s %s /bin/sh -c %s" % (
        job[5], job[5], " ".join(map(shlex.quote, env)), shlex.quote(job[6]))


def test_cron(machine, page):
    machine.write("/srv/shop/job.py", JOB)
    cron = page("cron")
    files = {path: text for path, _, text in cron.blocks(SET_UP) if path}
    assert len({machine.run("python3 /srv/shop/job.py") for _ in range(3)}) == 3
    cron.follow(machine, SET_UP)
    for name in ("shop", "shop-hourly"):
        job = as_cron(files["/etc/cron.d/" + name])
        assert len({machine.run(job) for _ in range(3)}) == 1
    assert wait_until(lambda: " idle=1 " in cron.follow(machine, SEE))
    # The one that --share has started, and that nothing else ends at once.
    [keeper] = re.findall(r" pid=(\d+)", machine.run("runuser -u www-data -- pqpool keep show"))
    machine.run("kill " + keeper)


def test_odbc(machine, page):
    machine.write("/srv/shop/odbc.php", ODBC)
    odbc = page("odbc")
    assert len(set(odbc.follow(machine, SET_UP).split())) == 1
    assert len(set(machine.run("php /srv/shop/odbc.php").split())) == REQUESTS
    said = odbc.follow(machine, SEE).split()
    assert said[-2:] == [str(REQUESTS), "1"], said


def test_image(machine, page):
    """Its lines, followed here: there is no Docker where the tests run."""
    lines = JOB.splitlines(keepends=True)
    machine.write("/srv/shop/job.py", lines[0] + "for _ in range(3):\n" + "    ".join(["", *lines[1:]]))
    machine.run("mkdir -p /srv/shop/image/usr/local; cp -a /usr/local/lib /srv/shop/image/usr/local")
    containers = page("containers", {"/usr/local/lib/\n": "/run/image/\n",
                                     "LD_PRELOAD=/usr/local/lib": "LD_PRELOAD=/run/image"})
    [(_, _, text)] = [block for block in containers.blocks(SET_UP) if block[0]]
    env = []
    machine.run("mkdir -p /run/image")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            machine.run("cd /srv/shop; cp -r " + rest)
        elif word == "ENV":
            env.append(rest)
        elif word == "CMD":
            command = " ".join(shlex.quote(each) for each in re.findall(r'"([^"]*)"', rest))
    pids = machine.run("env %s %s" % (" ".join(env), command)).split()
    assert len(pids) == 3 and len(set(pids)) == 1, pids
    assert re.findall(r"\[(.*)\]", page("containers").follow(machine, SEE)) == ["libc.so.6"]
