# SPDX-License-Identifier: PostgreSQL
"""signalled.py WHAT: a signal comes while the main thread waits for the only session.

exit   the handler ends the program, by an exception
other  the handler raises one that the program catches
count  a timer rings a hundred times a second; when it has done so 20 times the session is
       given back
"""
import os
import signal
import sys
import threading
import time

import psycopg2

WHAT = sys.argv[1]
held = []
given = threading.Event()
release = threading.Event()
rung = 0


def hold():
    held.append(psycopg2.connect(""))
    given.set()
    release.wait(20)
    held.pop().close()


def send():
    """Once the main thread sleeps in poll(2), number 7 or 271."""
    deadline = time.monotonic() + 10
    path = "/proc/self/task/%d/syscall" % os.getpid()
    while time.monotonic() < deadline:
        with open(path, encoding="ascii") as file:
            if file.read().split()[0] in ("7", "271"):
                os.kill(os.getpid(), signal.SIGTERM)
                return


def end(number, frame):
    print("handler")
    sys.exit(7)


def other(number, frame):
    print("handler")
    raise KeyError("handler")


def ring(number, frame):
    global rung
    rung += 1
    if rung == 20:
        release.set()


begin = time.monotonic()
signal.signal(signal.SIGTERM, end if WHAT == "exit" else other)
signal.signal(signal.SIGALRM, ring)
holder = threading.Thread(target=hold)
holder.start()
given.wait(10)
if WHAT == "count":
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
else:
    threading.Thread(target=send).start()
try:
    try:
        conn = psycopg2.connect("")
        print("connected")
        conn.close()
    except psycopg2.Error:
        print("refused")
except KeyError as error:
    print("raised", error)
finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("at once" if time.monotonic() - begin < 5 else "late")
    release.set()
    holder.join()
