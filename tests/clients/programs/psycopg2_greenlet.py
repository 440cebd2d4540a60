# SPDX-License-Identifier: PostgreSQL
"""Greenlets: their stacks are copied to and fro, at the same addresses.

psycopg2_greenlet.py [leak]: with leak, two keep what they have taken, at two lines.
"""
import sys

import greenlet
import psycopg2

LEAKING = sys.argv[1:] == ["leak"]
kept = []


def ask(conn, number):
    with conn.cursor() as cursor:
        cursor.execute("SELECT %s", (number,))
        return cursor.fetchone()[0]


def switch():
    """To whoever has let this one run."""
    greenlet.getcurrent().parent.switch()


def deeper(depth, call):
    """The call, from within so many frames of C and Python."""
    if depth == 0:
        return call()
    return sorted([depth], key=lambda _: deeper(depth - 1, call) and 0)


def work(number):
    for turn in range(5):
        conn = psycopg2.connect("")
        switch()
        print(number, turn, ask(conn, number * 10 + turn))
        deeper((number + turn) % 4, lambda: switch() or True)
        conn.close()
        switch()


def leak_first():
    for _ in range(3):
        kept.append(psycopg2.connect(""))  # first
        switch()


def leak_second():
    for _ in range(3):
        kept.append(psycopg2.connect(""))  # second
        switch()


def hub(works):
    """Lets each run in turn, from another depth of its own stack every time."""
    workers = [greenlet.greenlet(each) for each in works]
    depth = 0
    while workers:
        for worker in list(workers):
            deeper(depth % 7, lambda w=worker: w.switch() or True)
            depth += 1
            if worker.dead:
                workers.remove(worker)


if LEAKING:
    WORKS = [leak_first, leak_second]
else:
    WORKS = [lambda n=n: work(n) for n in range(6)]
greenlet.greenlet(lambda: hub(WORKS)).switch()
