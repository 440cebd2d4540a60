# SPDX-License-Identifier: PostgreSQL
"""Waiting with select, as in psycopg2's manual."""
import psycopg2
import psycopg2.extensions as ext
import select

def wait(conn):
    while True:
        state = conn.poll()
        if state == ext.POLL_OK:
            return
        sets = ([conn], [], []) if state == ext.POLL_READ else ([], [conn], [])
        select.select(*sets)
for i in range(30):
    conn = psycopg2.connect("", async_=True)
    wait(conn)
    cursor = conn.cursor()
    cursor.execute("SELECT %s", (i,))
    wait(conn)
    print(cursor.fetchall())
    conn.close()
