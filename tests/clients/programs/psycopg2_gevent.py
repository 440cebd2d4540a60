# SPDX-License-Identifier: PostgreSQL
"""gevent's greenlets.

psycopg2_gevent.py plain|green|leak: connections that wait in libpq; that wait in gevent, by
psycopg2's wait callback; that are never finished.
"""
import sys

import gevent
import psycopg2
import psycopg2.extensions
from gevent.socket import wait_read, wait_write

WAY = sys.argv[1]


def wait(conn, timeout=None):
    """What psycogreen does."""
    while (state := conn.poll()) != psycopg2.extensions.POLL_OK:
        if state == psycopg2.extensions.POLL_READ:
            wait_read(conn.fileno(), timeout=timeout)
        else:
            wait_write(conn.fileno(), timeout=timeout)


def work(number):
    answers = []
    for turn in range(4):
        conn = psycopg2.connect("")
        gevent.sleep(0)  # sleeps because that lets the others run
        cursor = conn.cursor()
        cursor.execute("SELECT %s FROM pg_sleep(0.002)", (number * 10 + turn,))
        gevent.sleep(0.001 * (number % 3))  # sleeps because that lets the others run
        answers.append(cursor.fetchone()[0])
        conn.close()
    return answers


def forget():
    conn = psycopg2.connect("")  # here
    gevent.sleep(0)  # sleeps because that lets the others run
    return conn


if WAY != "plain":
    psycopg2.extensions.set_wait_callback(wait)
if WAY == "leak":
    kept = gevent.joinall([gevent.spawn(forget) for _ in range(3)])
else:
    jobs = [gevent.spawn(work, number) for number in range(6)]
    gevent.joinall(jobs, raise_error=True)
    for job in jobs:
        print(job.value)
