# SPDX-License-Identifier: PostgreSQL
"""A way to a server that ends where it is told to, in the middle of what the server says."""
import socket
import threading


class Cutter(threading.Thread):
    """A way to a server that passes `budget` bytes of what it says on each new connection, and
    then closes both ends; all, if it is None. cut_next: the same for those that are open."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.budget, self.cuts, self.left = target, None, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.target))
            left = [self.budget]
            self.left.append(left)
            threading.Thread(target=self.pass_on, args=(client, there), daemon=True).start()
            threading.Thread(target=self.pass_back, args=(there, client, left),
                             daemon=True).start()

    @staticmethod
    def shut(*ends):
        for each in ends:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pass_on(self, client, there):
        try:
            while data := client.recv(65536):
                there.sendall(data)
        except OSError:
            pass
        self.shut(client, there)

    def pass_back(self, there, client, left):
        try:
            while data := there.recv(65536):
                if left[0] is not None:
                    data = data[:left[0]]
                    left[0] -= len(data)
                client.sendall(data)
                if left[0] == 0:
                    self.cuts += 1
                    break
        except OSError:
            pass
        self.shut(client, there)

    def cut_open(self, after):
        """Those that are open now end after so many more bytes."""
        for left in self.left:
            left[0] = after
