# SPDX-License-Identifier: PostgreSQL
"""Ends while threads that nobody waits for are connecting."""
import threading

import psycopg2

connected = threading.Semaphore(0)


def work():
    while True:
        psycopg2.connect("").close()
        connected.release()


for i in range(4):
    threading.Thread(target=work, daemon=True).start()
for i in range(40):
    connected.acquire()
print("ended")
