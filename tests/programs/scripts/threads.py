# SPDX-License-Identifier: PostgreSQL
"""Connects in four threads, each in a line of its own, while others collect garbage,
trace, and make and drop code. Each thread forgets its last connection."""
import gc
import sys
import threading

import psycopg2

kept = []
done = threading.Event()


def one():
    return psycopg2.connect("")  # thread one


def two():
    return psycopg2.connect("")  # thread two


def three():
    return psycopg2.connect("")  # thread three


def four():
    return psycopg2.connect("")  # thread four


def work(connect, times):
    for _ in range(times):
        connect().close()
    kept.append(connect())


def collect():
    while not done.is_set():
        gc.collect()


def trace():
    def tracer(_frame, _event, _arg):
        return tracer
    while not done.is_set():
        sys.settrace(tracer)
        threading.settrace(tracer)
        exec(compile("def f():\n x = [i for i in range(50)]\n return x\nf()", "<made>", "exec"))
        sys.settrace(None)
        threading.settrace(None)


def swap():
    """The same code runs in another thread, traced."""
    while not done.is_set():
        sys.settrace(lambda *_: None)
        try:
            work(lambda: 1, 1)
        except AttributeError:
            pass
        sys.settrace(None)


noise = [threading.Thread(target=f) for f in (collect, trace, swap)]
workers = [threading.Thread(target=work, args=(f, int(sys.argv[1])))
           for f in (one, two, three, four)]
for thread in noise + workers:
    thread.start()
for thread in workers:
    thread.join()
done.set()
for thread in noise:
    thread.join()
