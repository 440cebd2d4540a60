# SPDX-License-Identifier: PostgreSQL
"""Web servers, whose application connects for each request, and answers with its session."""
import pytest

from recipes.applications import GREEN, WSGI, put_apache, put_php
from recipes.asking import REQUESTS, SEE, SET_UP, ask, seen
from server import wait_until

ONE_PROCESS = "StartServers 1\nMaxRequestWorkers 1\n"


@pytest.fixture
def php(machine, version):
    """A page of PHP's in nginx."""
    put_php(machine)
    machine.run("systemctl start php%s-fpm" % version)


def test_php_fpm(machine, page, php):
    pool = page("php-fpm")
    assert len(ask(machine, "/index.php")) == REQUESTS
    pool.follow(machine, SET_UP)
    assert len(ask(machine, "/index.php")) <= 2
    assert set(seen(pool.follow(machine, SEE), r"php-fpm[\d.]+")) == {(0, 1, 30)}


def test_php_fpm_of_which_the_pool_preloads(machine, version, php):
    """What the page warns of: it is only in getenv()."""
    machine.write("/etc/php/%s/fpm/pool.d/www.conf" % version,
                  "env[LD_PRELOAD] = /usr/local/lib/libpqpool.so\n", add=True)
    machine.run("systemctl restart php%s-fpm" % version)
    assert len(ask(machine, "/index.php")) == REQUESTS


def test_php_fpm_that_shares(machine, page, php):
    """Fewer sessions than workers, which are all busy."""
    pool = page("php-fpm")
    pool.follow(machine, SET_UP)
    said = pool.follow(machine, "With fewer sessions than workers")
    assert "kind=keeper" in said and " limit=8 " in said, said
    limits = "/etc/systemd/system/pqpool-keep@www-data.service.d/limits.conf"
    machine.write(limits, "[Service]\nEnvironment=PQPOOL_SIZE=1\n", add=True)
    machine.run("systemctl daemon-reload; systemctl restart pqpool-keep@www-data")
    show = "runuser -u www-data -- pqpool keep --socket /run/pqpool-www-data/keeper.socket show"
    assert wait_until(lambda: " limit=1 " in machine.attempt(show)[1])
    assert len(ask(machine, "/index.php", clients=4, requests=20)) == 1


@pytest.fixture
def apache(machine):
    """With mod_php, mod_perl and mod_cgi."""
    machine.write("/etc/apache2/conf-enabled/one.conf", ONE_PROCESS)
    put_apache(machine)
    machine.run("systemctl start apache2")
    return machine


@pytest.mark.parametrize("url", ["/php/index.php", "/perl/index.pl"], ids=["mod_php", "mod_perl"])
def test_apache(apache, page, url):
    recipe = page("apache")
    assert len(ask(apache, url)) == REQUESTS
    recipe.follow(apache, SET_UP)
    sessions = ask(apache, "/php/index.php") | ask(apache, "/perl/index.pl")
    assert len(sessions) == 1, "the languages do not share"
    assert seen(recipe.follow(apache, SEE), "apache2") == [(0, 1, 30)]
    apache.run("systemctl reload apache2")
    # A process of before may answer for a moment.
    assert wait_until(lambda: not ask(apache, url) & sessions), "it did not reload"
    assert len(ask(apache, url)) == 1, "not pooled after a reload"


def test_apache_with_cgi(apache, page):
    """What the page says of it: it is preloaded, and each connects once."""
    page("apache").follow(apache, SET_UP)
    assert len(ask(apache, "/cgi/index.pl")) == REQUESTS


@pytest.fixture
def shop(machine, page):
    """shop("gunicorn", {"--workers 2": "--workers 2 --threads 8"}, SET_UP): the page's service, with
    these words exchanged, and its application as it is before and after SET_UP."""

    def start(name, exchanged, *sections, green=False):
        machine.write("/srv/shop/app.py", (GREEN if green else "") + WSGI)
        recipe = page(name, exchanged)
        for section in sections:
            recipe.follow(machine, section)
        return recipe

    return start


GUNICORN = {"sync": {}, "threads": {"--workers 2": "--workers 2 --threads 8"},
            "gevent": {"--workers 2": "--workers 2 --worker-class gevent"}}


@pytest.mark.parametrize("kind", GUNICORN)
def test_gunicorn(server, machine, shop, kind):
    shop("gunicorn", GUNICORN[kind], "", green=kind == "gevent")
    machine.run("systemctl start shop")
    assert len(ask(machine, ":8000/")) == REQUESTS
    recipe = shop("gunicorn", GUNICORN[kind], SET_UP, green=kind == "gevent")
    marker = server.marker()
    ask(machine, ":8000/", clients=12, requests=24)
    assert server.most_at_once(marker) <= (2 if kind == "sync" else 8)
    # One of the two workers may have answered all.
    assert {limit for _, _, limit in seen(recipe.follow(machine, SEE), "python3")} == {4}


def test_gunicorn_with_gevent_alone(machine, shop):
    """What the page warns of: no greenlet can give back what another one waits for."""
    exchanged = {**GUNICORN["gevent"], "PQPOOL_SIZE=4": "PQPOOL_SIZE=1"}
    shop("gunicorn", exchanged, "", SET_UP)
    assert len(ask(machine, ":8000/", clients=6)) <= 2


UWSGI = {"threads": {}, "processes": {"threads = 4\n": ""},
         "gevent": {"threads = 4": "gevent = 4", "plugin = python3": "plugins = python3,gevent_python3"}}


@pytest.mark.parametrize("kind", UWSGI)
def test_uwsgi(server, machine, shop, kind):
    shop("uwsgi", {**UWSGI[kind], "LD_PRELOAD=": "NO_PRELOAD="}, SET_UP, green=kind == "gevent")
    assert len(ask(machine, ":8000/")) == REQUESTS
    recipe = shop("uwsgi", UWSGI[kind], SET_UP, green=kind == "gevent")
    marker = server.marker()
    ask(machine, ":8000/", clients=8, requests=24)
    assert server.most_at_once(marker) <= (2 if kind == "processes" else 4)
    assert {limit for _, _, limit in seen(recipe.follow(machine, SEE), "uwsgi")} == {2}


def test_uwsgi_with_an_application_that_preloads(machine, shop):
    """What the page warns of: `env =` is too late."""
    exchanged = {"LD_PRELOAD=": "NO_PRELOAD=",
                 "env = PQPOOL_SIZE=2": "env = LD_PRELOAD=/usr/local/lib/libpqpool.so"}
    shop("uwsgi", exchanged, SET_UP)
    assert len(ask(machine, ":8000/")) == REQUESTS
