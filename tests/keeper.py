# SPDX-License-Identifier: PostgreSQL
"""The keeper, and what programs say to it, without a library (shim/share/keeper_protocol.h).

    with Keeper(folder, {"PQPOOL_SIZE": "2"}) as keeper:
        member = Member(keeper.path)
        ask = member.ask(word=0)
        assert ask.answer().type == ROOM
        member.opened(0, Session(server))
        member.change(0, IDLE)

Session is one session with a server, of which all bytes are our own.
"""
import base64
import hashlib
import hmac
import mmap
import multiprocessing
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import time
import traceback

from server import bare_environ, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HELLO, WELCOME, OPENED, NUDGE, ASK, WAIT, LEND, ROOM_, REFUSE, COMMAND, ANSWER, BELL = range(1, 13)
FREE, ROOM, OFFERED, LEASED, IDLE, CLAIMED, GONE = range(7)
PROTOCOL = 2
WORDS = 256
HEAD = struct.Struct("=III")
RECORD = struct.Struct("=QiBBBB40sIII4x")
ATTENTION, WORD0 = 8, 76
PLACES, PLACE_BYTES, PLACE0 = 7, 256, WORD0 + 8 * WORDS
SECONDS = 20


class Keeper:
    """A keeper process of its own."""

    def __init__(self, tool, folder, env=None, args=(), user=None, supervised=False):
        self.tool, self.folder, self.args = tool, str(folder), list(args)
        self.path = os.path.join(self.folder, "keeper.socket")
        self.log = os.path.join(self.folder, "log")
        self.env = {**bare_environ(), "PQPOOL_LOG": self.log, "PQPOOL_LOG_LEVEL": "debug",
                    **(env or {})}
        self.user = user or {}
        self.process = None
        os.chmod(self.folder, 0o700)
        self.listener = self._listen() if supervised else None

    def _listen(self):
        """A socket that each keeper gets, as from a service manager: it outlives them."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        listener.listen(4096)
        return listener

    def start(self):
        argv = [self.tool, "keep", "--socket", self.path, *self.args]
        if self.listener:
            argv = ["bash", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&%d' %
                    self.listener.fileno(), "bash", *argv]
        self.process = subprocess.Popen(
            argv, env=self.env, stdin=subprocess.DEVNULL,
            pass_fds=[self.listener.fileno()] if self.listener else (), **self.user)
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, self.process.pid, -10)  # as its unit does
        assert wait_until(self.serves), "the keeper does not serve"
        return self

    def serves(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(self.path) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        if self.listener:
            self.listener.close()

    def say(self, *words, check=True):
        done = subprocess.run([self.tool, "keep", "--socket", self.path, *words], env=self.env,
                              text=True, capture_output=True, timeout=SECONDS, check=False)
        assert not check or done.returncode == 0, done
        return done

    def drain(self):
        """Closes all sessions, and waits until they have ended."""
        self.say("drain", "all")
        self.say("wait")

    def show(self, kind):
        """The pairs of each line of this kind."""
        found = []
        for line in self.say("show").stdout.splitlines():
            pairs = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line))
            if pairs["kind"] == kind:
                found.append({k: v.strip('"') for k, v in pairs.items()})
        return found

    def count(self, what):
        return sum(int(pool[what]) for pool in self.show("pool"))

    def events(self, name):
        with open(self.log, encoding="utf-8") as log:
            return [line for line in log if " event=%s" % name in line]

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


class Message:
    def __init__(self, data, fds):
        self.protocol, self.type, self.length = HEAD.unpack_from(data)
        self.body, self.fds = data[HEAD.size:], fds
        assert self.protocol == PROTOCOL and self.length == len(data)

    @property
    def text(self):
        return self.body[4:].decode()


class Connection:
    def __init__(self, path, seconds=SECONDS):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(seconds)
        self.socket.connect(path)

    def send(self, kind, body=b"", fds=(), protocol=PROTOCOL, length=None):
        whole = HEAD.size + len(body) if length is None else length
        socket.send_fds(self.socket, [HEAD.pack(protocol, kind, whole) + body], list(fds))

    def receive(self):
        """The next message; None: the keeper has closed the connection."""
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 1 << 17, 4)
        except ConnectionResetError:
            return None
        return Message(data, fds) if data else None

    def is_closed(self):
        return self.receive() is None

    def close(self):
        self.socket.close()


class AskConnection(Connection):
    def answer(self):
        """The first answer but WAIT."""
        while True:
            message = self.receive()
            if message is None or message.type != WAIT:
                return message

    def silent(self, seconds=0.3):
        """True if nothing but WAIT comes for this time."""
        self.socket.settimeout(seconds)
        try:
            return self.answer() is not None and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(SECONDS)


class Member:
    """A process that shares; `pid` is this one's, or that of a child that says HELLO itself."""

    def __init__(self, path, program="test"):
        self.path = path
        self.connection = Connection(path)
        self.connection.send(HELLO, struct.pack("=I", len(program)) + program.encode())
        welcome = self.connection.receive()
        assert welcome and welcome.type == WELCOME
        self.id, self.secret, self.size, self.total, self.timeout_ms = struct.unpack_from(
            "=Q32sIII", welcome.body)
        self.page = mmap.mmap(welcome.fds[0], 4096)
        self.page.madvise(mmap.MADV_DONTFORK)
        os.close(welcome.fds[0])

    # -- the page: only tests of one thread change it, so there is no need to compare

    def word(self, i):
        return struct.unpack_from("=I", self.page, WORD0 + 4 * i)[0]

    def state(self, i):
        return self.word(i) & 15

    def change(self, i, state, answers=0):
        word = (((self.word(i) >> 8) + 1) << 8 | answers << 4 | state) & 0xffffffff
        struct.pack_into("=I", self.page, WORD0 + 4 * i, word)

    def tell_place(self, i, text):
        """In the page, of a word for which it asked with place=""."""
        at = PLACE0 + PLACE_BYTES * i
        self.page[at:at + len(text)] = text

    @property
    def attention(self):
        return struct.unpack_from("=I", self.page, ATTENTION)[0]

    # -- messages

    def nudge(self):
        self.connection.send(NUDGE)

    def ask(self, word, digest=b"", timeout=10.0, ping=False, label="u@h:1/d", place="here.py:1"):
        connection = AskConnection(self.path)
        connection.member = self  # which lives as long as its page is mapped
        connection.send(ASK, struct.pack(
            "=QI32sIB3xII4x", self.id, word, digest.ljust(32, b"\1"), int(timeout * 1000), ping,
            len(label), len(place)) + label.encode() + place.encode())
        return connection

    def opened(self, word, session, digest=b"", label="u@h:1/d", state=LEASED, age=0.0):
        if self.state(word) != state:
            self.change(word, state)
        record = session.record(age)
        self.connection.send(OPENED, struct.pack(
            "=I32sI", word, digest.ljust(32, b"\1"), len(label)) + record + label.encode(),
            [session.socket.fileno()])

    def give_back(self, word, session=None, answers=0):
        """As a release does: reset sent, word idle, a nudge if the keeper wants one."""
        if session:
            session.send_query("DISCARD ALL")
            answers = 1
        self.change(word, IDLE, answers)
        if self.attention:
            self.nudge()

    def take(self, word, ask, digest=b""):
        """A LEND, as a session of ours."""
        lent = ask.answer()
        assert lent is not None and lent.type == LEND, lent and lent.type
        assert self.state(word) == OFFERED
        self.change(word, LEASED)
        ask.close()
        return Session.lent(lent)

    def lease(self, server, word, digest=b"", **more):
        """Asks, and opens a session if there is room for one."""
        ask = self.ask(word, digest, **more)
        message = ask.answer()
        assert message.type == ROOM_, message.type
        ask.close()
        session = Session(server)
        self.opened(word, session, digest)
        return session

    def close(self):
        """As the end of a process."""
        self.page.close()
        self.connection.close()


class Session:
    """One session with a server: the bytes of it."""

    def __init__(self, server=None, tcp=False, database="app", user="app"):
        self.rest = b""
        if server is None:
            return
        if tcp:
            self.socket = socket.create_connection(("127.0.0.1", server.port), SECONDS)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(SECONDS)
            self.socket.connect(os.path.join(server.folder.path, ".s.PGSQL.%d" % server.port))
        self.local = not tcp
        pairs = {"user": user, "database": database, "application_name": "keeping"}
        text = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in pairs.items()) + b"\0"
        self.startup = struct.pack("!II", len(text) + 8, 3 << 16) + text
        self.socket.sendall(self.startup)
        self.reply = b""
        self.backend = 0
        self.opened_ns = time.monotonic_ns()
        self._log_in(user, server.password)

    @classmethod
    def lent(cls, message):
        session = cls()
        session.socket = socket.socket(fileno=message.fds[0])
        session.socket.settimeout(SECONDS)
        (session.opened_ns, session.backend, session.local, _, _, _, _, address, startup,
         reply) = RECORD.unpack_from(message.body)
        tail = message.body[RECORD.size:]
        session.startup = tail[address:address + startup]
        session.reply = tail[address + startup:address + startup + reply]
        assert len(tail) == address + startup + reply
        return session

    def record(self, age=0.0):
        opened = self.opened_ns - int(age * 1e9)
        return RECORD.pack(opened, self.backend, self.local, 0, 0, 0, b"", 0, len(self.startup),
                           len(self.reply)) + self.startup + self.reply

    def parameters(self):
        """Of the start."""
        found, at = {}, 0
        while at < len(self.reply):
            length, = struct.unpack_from("!I", self.reply, at + 1)
            if self.reply[at:at + 1] == b"S":
                name, value, _ = self.reply[at + 5:at + 1 + length].split(b"\0")
                found[name.decode()] = value.decode()
            at += 1 + length
        return found

    def message(self):
        """Type and body of the next message; (None, b"") at the end."""
        while len(self.rest) < 5 or len(self.rest) < 1 + struct.unpack_from("!I", self.rest, 1)[0]:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None, b""
            self.rest += piece
        length, = struct.unpack_from("!I", self.rest, 1)
        whole, self.rest = self.rest[:1 + length], self.rest[1 + length:]
        self.last = whole
        return whole[:1], whole[5:]

    def _send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _log_in(self, user, password):
        while True:
            kind, body = self.message()
            assert kind and kind != b"E", body
            if kind == b"R" and body[:4] != b"\0\0\0\0":
                self._scram(struct.unpack("!I", body[:4])[0], body[4:], password)
                continue
            self.reply += self.last
            if kind == b"K":
                self.backend, = struct.unpack_from("!I", body)
            if kind == b"Z":
                return

    def _scram(self, step, body, password):
        """RFC 5802, as the server has it."""
        if step == 10:
            self.bare = "n=,r=" + secrets.token_hex(12)
            first = ("n,," + self.bare).encode()
            self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        elif step == 11:
            said = body.decode()
            fields = dict(f.split("=", 1) for f in said.split(","))
            salted = hashlib.pbkdf2_hmac("sha256", password.encode(),
                                         base64.b64decode(fields["s"]), int(fields["i"]))
            client = hmac.digest(salted, b"Client Key", "sha256")
            without = "c=biws,r=" + fields["r"]
            signed = ",".join([self.bare, said, without]).encode()
            proof = bytes(a ^ b for a, b in zip(
                client, hmac.digest(hashlib.sha256(client).digest(), signed, "sha256")))
            self._send(b"p", (without + ",p=" + base64.b64encode(proof).decode()).encode())

    def send_query(self, statement):
        self._send(b"Q", statement.encode() + b"\0")

    def query(self, statement):
        """The first field of the first row, as text; the error's text with ERROR before."""
        self.send_query(statement)
        found = None
        while True:
            kind, body = self.message()
            assert kind is not None, "the session has ended"
            if kind == b"D" and found is None:
                n, = struct.unpack_from("!i", body, 2)
                found = body[6:6 + n].decode()
            if kind == b"E":
                found = "ERROR " + body.decode(errors="replace")
            if kind == b"Z":
                return found

    def has_ended(self):
        try:
            kind, _ = self.message()
            while kind is not None:
                kind, _ = self.message()
            return True
        except TimeoutError:
            return False

    def close(self):
        """For good, as the process does that has it."""
        try:
            self._send(b"X", b"")
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class Process:
    """A process of its own that runs `work(pipe, *arguments)`, and is killed at the end."""

    def __init__(self, work, *arguments):
        self.pipe, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self.pipe.close()
                work(theirs, *arguments)
                status = 0
            except BaseException:  # a test's process tells, and does not go on as the test
                traceback.print_exc()
            finally:
                os._exit(status)
        theirs.close()
        self.status = None

    def hear(self):
        """What it sent."""
        assert self.pipe.poll(SECONDS), "the process says nothing"
        return self.pipe.recv()

    def tell(self, what=None):
        self.pipe.send(what)

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self):
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def is_on(server, session_or_pid):
    """Whether the server still has the session."""
    pid = getattr(session_or_pid, "backend", session_or_pid)
    return server.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %d" % pid) != []


def holder(pipe, path, server, state):
    """A process with a session: leased, idle, or lent to it by this answer and not taken."""
    member = Member(path, "holder")
    session = member.lease(server, 0)
    if state != LEASED:
        member.give_back(0, session)
    if state == OFFERED:
        assert member.ask(1).answer().type == LEND
    pipe.send(session.backend)
    pipe.recv()
