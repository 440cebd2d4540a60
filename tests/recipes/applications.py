# SPDX-License-Identifier: PostgreSQL
"""Applications that connect for each request, and answer with their session; and what has nginx and
Apache call them, below /srv/shop."""

PHP = """<?php
$c = pg_connect('user=app dbname=app');
echo pg_fetch_result(pg_query($c, 'SELECT pg_backend_pid()'), 0, 0), "\n";
pg_close($c);
"""
NGINX = """server {
    listen 80;
    root /srv/shop;
    location / { include snippets/fastcgi-php.conf; fastcgi_pass unix:/run/php/php-fpm.sock; }
}
"""
PERL = """use strict; use DBI;
my $database = DBI->connect("dbi:Pg:dbname=app", "app", "", {RaiseError => 1});
my ($pid) = $database->selectrow_array("SELECT pg_backend_pid()");
$database->disconnect;
print "Content-Type: text/plain\\r\\n\\r\\n$pid\\n";
"""
PERL_SITE = """Alias /perl /srv/shop/perl
Alias /cgi /srv/shop/perl
<Directory /srv/shop>
    Require all granted
    Options +ExecCGI
</Directory>
<Location /perl>
    SetHandler perl-script
    PerlResponseHandler ModPerl::Registry
    PerlOptions +ParseHeaders
</Location>
<Location /cgi>
    SetHandler cgi-script
</Location>
PassEnv LD_PRELOAD
Alias /php /srv/shop/php
"""
WSGI = """
import psycopg2

def application(environ, start_response):
    conn = psycopg2.connect("user=app dbname=app")
    cursor = conn.cursor()
    cursor.execute("SELECT pg_backend_pid() FROM pg_sleep(0.02)")
    pid = cursor.fetchone()[0]
    conn.close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\\n" % pid]
"""
GREEN = "import psycogreen.gevent\npsycogreen.gevent.patch_psycopg()\n"


def put_php(machine):
    """Behind nginx, which is started; php-fpm is not."""
    machine.write("/srv/shop/index.php", PHP)
    machine.write("/etc/nginx/sites-available/default", NGINX)
    machine.run("systemctl start nginx")


def put_apache(machine):
    """With mod_php, mod_perl and mod_cgi; Apache is not started."""
    machine.write("/srv/shop/php/index.php", PHP)
    machine.write("/srv/shop/perl/index.pl", "#!/usr/bin/perl\n" + PERL, mode=0o755)
    machine.write("/etc/apache2/conf-enabled/shop.conf", PERL_SITE)
    machine.run("a2dismod -q mpm_event; a2enmod -q 'php*' perl mpm_prefork cgi")
