# SPDX-License-Identifier: PostgreSQL
"""A web service that connects for each request: gunicorn -k gevent gunicorn_app:application."""
import psycopg2
from psycogreen.gevent import patch_psycopg

patch_psycopg()


def application(environ, start_response):
    conn = psycopg2.connect("")
    with conn.cursor() as cursor:
        cursor.execute("SELECT %s FROM pg_sleep(0.002)", (environ["PATH_INFO"],))
        text = cursor.fetchone()[0]
    conn.close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
