# SPDX-License-Identifier: PostgreSQL
"""psycopg 3: psycopg3.py cycles N | threads | forks"""
import multiprocessing
import sys
import threading

import psycopg


def cycle(i):
    """What one connection can do, and what was seen."""
    seen = []
    with psycopg.connect("") as conn:
        conn.add_notice_handler(lambda note: seen.append(note.message_primary))
        seen.append(conn.execute("SELECT %s::int * 2, count(*) FROM fruit", (i,)).fetchone())
        conn.execute("DO $$ BEGIN RAISE NOTICE 'note'; END $$")
        with conn.transaction():
            conn.execute("CREATE TEMP TABLE mine (a int)")
        with conn.cursor() as cursor:
            with cursor.copy("COPY mine FROM STDIN") as copy:
                copy.write_row((i,))
            cursor.executemany("INSERT INTO mine VALUES (%s)", [(1,), (2,)])
        with conn.cursor(name="mine") as cursor:
            seen.append(cursor.execute("SELECT a FROM mine ORDER BY a").fetchall())
        try:
            conn.execute("SELEC")
        except psycopg.Error as error:
            seen.append((error.sqlstate, str(error)))
    return seen


def cycles(count):
    for i in range(count):
        print(cycle(i))
    try:
        psycopg.connect("dbname=no_such_database")
    except psycopg.OperationalError as error:
        print(error)


def several(count):
    return [cycle(i) for i in range(count)]


def threads():
    answers = []
    workers = [threading.Thread(target=lambda: answers.append(several(6))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(answers)


def forks():
    several(1)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(pool.map(several, [4] * 6))
        pool.close()
        pool.join()


MODES = {"cycles": lambda: cycles(int(sys.argv[2])), "threads": threads, "forks": forks}
MODES[sys.argv[1]]()
