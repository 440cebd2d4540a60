# SPDX-License-Identifier: PostgreSQL
"""The web servers of tools/recipes, as their pages set them up, in a machine of their own: requests
a second, and the connections that the server saw."""
import contextlib
import re

from machine import Machine
from measure import Table, fail, say
from recipes.applications import WSGI, put_apache, put_php
from recipes.page import Page
from server import wait_until

REQUESTS, CLIENTS = 400, 8
SET_UP = "Set up"
BARE = {"LD_PRELOAD=": "NO_PRELOAD="}


def _application(machine):
    machine.write("/srv/shop/app.py", WSGI.replace(" FROM pg_sleep(0.02)", ""))


# name -> (page, words to exchange in it, what is done before, sections, url)
SERVICES = {
    "nginx, php-fpm": ("php-fpm", {}, put_php, [SET_UP], "/index.php"),
    "Apache, mod_php": ("apache", {}, put_apache, [SET_UP], "/php/index.php"),
    "Apache, mod_perl": ("apache", {}, put_apache, [SET_UP], "/perl/index.pl"),
    "gunicorn, sync": ("gunicorn", {}, _application, ["", SET_UP], ":8000/"),
    "gunicorn, threads": ("gunicorn", {"--workers 2": "--workers 2 --threads 4"}, _application,
                          ["", SET_UP], ":8000/"),
    "uWSGI": ("uwsgi", {}, _application, [SET_UP], ":8000/"),
}


@contextlib.contextmanager
def counted(server):
    """The server says in its log who comes and goes."""
    for value in ("on", "off"):
        server.sql("ALTER SYSTEM SET log_connections = %s" % value)
        server.sql("ALTER SYSTEM SET log_disconnections = %s" % value)
        server.sql("SELECT pg_reload_conf()")
        if value == "on":
            wait_until(lambda: server.sql("SHOW log_disconnections") == [["on"]])
            yield


def _load(machine, server, name, exchanged):
    """(requests a second, sessions opened, the most at one time), warming up included."""
    page, words, prepare, sections, url = SERVICES[name]
    machine.stop()
    machine.undo()
    marker = server.marker()
    prepare(machine)
    recipe = Page(page, {"8.2": machine.run("ls /etc/php").strip(), **words, **exchanged})
    for section in sections:
        recipe.follow(machine, section)
    url = "http://localhost" + url
    wait_until(lambda: machine.attempt("curl -sf " + url)[0] == 0, 20)
    ab = "ab -q -s 60 -n %d -c %d '%s'"
    machine.run(ab % (REQUESTS // 10, CLIENTS, url))
    said = machine.run(ab % (REQUESTS, CLIENTS, url))
    if not re.search(r"Complete requests: +%d\n" % REQUESTS, said) or "Non-2xx" in said:
        fail("%s: %s" % (name, said))
    rate = float(re.search(r"Requests per second: +([\d.]+)", said)[1])
    machine.stop()
    return rate, server.connections_since(marker), server.most_at_once(marker)


def recipes(bench):
    rates = Table("recipes", "Web servers of tools/recipes that connect for each request",
                  "requests/s", reference="bare")
    opened = Table("recipes-opened", "The same: sessions that the server opened for %d requests"
                   % (REQUESTS + REQUESTS // 10), "sessions")
    at_once = Table("recipes-at-once", "The same: the most sessions at one time", "sessions")
    found = {}
    with counted(bench.server), Machine(bench.server, bench.build) as machine:
        for number in range(bench.rounds.rounds):
            for name in SERVICES:
                for how, exchanged in (("bare", BARE), ("pqpool", {})):
                    say("round %d: %s, %s" % (number + 1, name, how))
                    found.setdefault((how, name), []).append(
                        _load(machine, bench.server, name, exchanged))
    for (how, name), results in found.items():
        for table, column in ((rates, 0), (opened, 1), (at_once, 2)):
            table.add(how, name, [result[column] for result in results])
    return [rates, opened, at_once]
