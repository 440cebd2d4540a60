# SPDX-License-Identifier: PostgreSQL
"""A TCP proxy in a process of its own, which cuts or delays what goes through it.

    with Proxy(server.port) as proxy:
        proxy.port              # leads to the server
        proxy.cut(), proxy.delay()  # how many connections it did that to
"""
import random
import selectors
import socket
import struct
import subprocess
import sys
import time

DELAY_SECONDS = 0.3
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Proxy:
    def __init__(self, to_port):
        self.to_port, self.process, self.port = to_port, None, None

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, __file__, str(self.to_port)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def _tell(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def cut(self):
        """Resets a third of all connections, at both ends."""
        return self._tell("cut")

    def delay(self):
        """Holds back what comes on any of them for a moment."""
        return self._tell("delay")


class Relay:
    """The process itself."""

    def __init__(self, to_port):
        self.to_port = to_port
        self.poll = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.poll.register(self.listener, selectors.EVENT_READ)
        self.poll.register(sys.stdin, selectors.EVENT_READ)
        self.other = {}

    def accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.to_port))
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.other[one] = other
            self.poll.register(one, selectors.EVENT_READ)

    def close(self, one):
        other = self.other.pop(one)
        del self.other[other]
        for each in (one, other):
            self.poll.unregister(each)
            each.close()

    def pass_on(self, one):
        try:
            data = one.recv(65536)
            if data:
                self.other[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self.close(one)

    def obey(self, what):
        """False: nobody tells us any more."""
        if what == "delay":
            print(len(self.other) // 2, flush=True)
            time.sleep(DELAY_SECONDS)  # sleeps because that is the delay
        elif what == "cut":
            ends = list(self.other)
            victims = {min(end, self.other[end], key=id)
                       for end in random.sample(ends, (len(ends) + 5) // 6)}
            for one in victims:
                for end in (one, self.other[one]):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.close(one)
            print(len(victims), flush=True)
        return bool(what)

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while True:
            for key, _ in self.poll.select():
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj is sys.stdin:
                    if not self.obey(sys.stdin.readline().strip()):
                        return
                elif key.fileobj in self.other:
                    self.pass_on(key.fileobj)


if __name__ == "__main__":
    Relay(int(sys.argv[1])).run()
