# SPDX-License-Identifier: PostgreSQL
"""eventlet's green threads, with its own wait callback for psycopg2."""
import eventlet
from eventlet.support import psycopg2_patcher

import psycopg2

psycopg2_patcher.make_psycopg_green()


def work(number):
    answers = []
    for turn in range(4):
        conn = psycopg2.connect("")
        eventlet.sleep(0)  # sleeps because that lets the others run
        cursor = conn.cursor()
        cursor.execute("SELECT %s FROM pg_sleep(0.002)", (number * 10 + turn,))
        eventlet.sleep(0.001 * (number % 3))  # sleeps because that lets the others run
        answers.append(cursor.fetchone()[0])
        conn.close()
    return answers


for result in eventlet.GreenPool(6).imap(work, range(6)):
    print(result)
