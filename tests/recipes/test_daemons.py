# SPDX-License-Identifier: PostgreSQL
"""Services that keep their connections: that they are preloaded, and work as before."""
import pytest

from recipes.asking import SEE, SET_UP, seen
from server import wait_until

MAP = """hosts = /var/run/postgresql
user = app
dbname = app
query = SELECT 'root' WHERE '%s' LIKE 'known%%'
"""
SMTP = """import smtplib
with smtplib.SMTP("localhost") as smtp:
    smtp.ehlo()
    smtp.mail("somebody@localhost")
    print([smtp.rcpt(name + "@localhost")[0] for name in ("known1", "unknown")])
"""
PASSDB = """passdb {
  driver = sql
  args = /etc/dovecot/shop-sql.conf
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/tmp/%u
}
"""
PASSWORDS = """driver = pgsql
connect = host=/var/run/postgresql dbname=app user=app
default_pass_scheme = PLAIN
password_query = SELECT '%u' AS user, 'secret' AS password
"""


def works(machine, script, said):
    assert wait_until(lambda: said in machine.attempt(script)[1], 20), machine.attempt(script)


def test_postfix(machine, page):
    machine.write("/etc/postfix/shop.cf", MAP)
    machine.write("/srv/shop/smtp.py", SMTP)
    machine.write("/etc/postfix/main.cf", "\nalias_maps = proxy:pgsql:/etc/postfix/shop.cf\n"
                  "local_recipient_maps = $alias_maps\nproxy_read_maps = $alias_maps\n", add=True)
    machine.run("systemctl start postfix")
    ask = "python3 /srv/shop/smtp.py"
    works(machine, ask, "[250, 550]")
    mail = page("mail")
    assert not seen(mail.follow(machine, SEE), "proxymap")
    mail.follow(machine, SET_UP)
    works(machine, ask, "[250, 550]")
    assert seen(mail.follow(machine, SEE), "proxymap") == [(1, 0, 30)]


def test_dovecot(machine, page):
    machine.write("/etc/dovecot/conf.d/50-shop.conf", PASSDB)
    machine.write("/etc/dovecot/shop-sql.conf", PASSWORDS)
    machine.run("systemctl start dovecot")
    ask = "doveadm auth test ann secret"
    works(machine, ask, "auth succeeded")
    mail = page("mail")
    assert not seen(mail.follow(machine, SEE), "auth")
    mail.follow(machine, SET_UP)
    works(machine, ask, "auth succeeded")
    assert (2, 0, 30) in seen(mail.follow(machine, SEE), "auth")


@pytest.fixture
def radius(machine, server):
    """FreeRADIUS with a user ann."""
    folder = "/etc/freeradius/3.0/"
    with_sql = "sed -e 's/^.dialect = .*/dialect = \"postgresql\"/' " \
        "-e 's/^.driver = .*/driver = \"rlm_sql_postgresql\"/' " \
        "-e 's/^.radius_db = .*/radius_db = \"dbname=app user=app\"/' %smods-available/sql" % folder
    machine.write(folder + "mods-enabled/sql", machine.run(with_sql))
    schema = machine.run("cat %smods-config/sql/main/postgresql/schema.sql" % folder)
    server.sql("CREATE SCHEMA radius; SET search_path = radius; " + schema + "INSERT INTO radcheck "
               "(username, attribute, op, value) VALUES ('ann', 'Cleartext-Password', ':=', 'secret');"
               "ALTER ROLE app IN DATABASE app SET search_path = radius", database="app", user="app")
    yield
    server.sql("ALTER ROLE app IN DATABASE app RESET search_path; DROP SCHEMA radius CASCADE",
               database="app", user="app")


def test_freeradius(machine, page, radius):
    machine.run("systemctl start freeradius")
    ask = "radtest ann secret localhost 0 testing123"
    works(machine, ask, "Access-Accept")
    recipe = page("freeradius")
    recipe.follow(machine, SET_UP)
    works(machine, ask, "Access-Accept")
    [(in_use, _, _)] = seen(recipe.follow(machine, SEE), "freeradius")
    assert in_use >= 5
