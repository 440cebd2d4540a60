# SPDX-License-Identifier: PostgreSQL
"""gunicorn with gevent's workers under load: gunicorn_load.py SOCKET REQUESTS [SECONDS].

The service is gunicorn_app.py. Prints what it answered, and how gunicorn ended.
"""
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

SOCKET, REQUESTS = sys.argv[1], int(sys.argv[2])
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 0
THREADS = 8
START_SECONDS = 30
FOLDER = os.path.dirname(os.path.abspath(__file__))


class Connection(http.client.HTTPConnection):
    """By a Unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def get(path):
    connection = Connection("localhost")
    connection.request("GET", path)
    response = connection.getresponse()
    text = "%d %s" % (response.status, response.read().decode())
    connection.close()
    return text


def wait_for(process):
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            return get("/start")
        except OSError:
            time.sleep(0.05)  # sleeps because nothing tells when a socket is listened at
    return "does not answer"


def load(number, answers):
    until = time.monotonic() + SECONDS
    turn = 0
    while turn < REQUESTS or time.monotonic() < until:
        path = "/%d/%d" % (number, turn % REQUESTS)
        answers.add(get(path))
        turn += 1


with subprocess.Popen(["/usr/bin/gunicorn", "--worker-class", "gevent", "--workers", "2",
                       "--bind", "unix:" + SOCKET, "--chdir", FOLDER,
                       "--log-level", "critical", "gunicorn_app:application"]) as server:
    print(wait_for(server))
    said = set()
    threads = [threading.Thread(target=load, args=(n, said)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(sorted(said)))
    server.send_signal(signal.SIGTERM)
    print("ended with", server.wait())
