# SPDX-License-Identifier: PostgreSQL
"""Which connects the shim takes for the same, compared with what libpq does.

Two calls are made by chance, the second from the first by a few changes: other arguments, a
string, a URI, a service, an environment or a passfile for the same option. A stand-in for a server
notes where libpq connects and what it sends. If the shim takes both for the same, all of that and
what libpq says of the connection must be the same; and so must be what the shim opens for a call
and what the call itself opens. What is found is made as short as it can be.

A moment of it in `make check`, always with the same seed; `make fuzz` takes another one each time.
"""
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import pytest
from conftest import built
from server import bare_environ

SECONDS = float(os.environ.get("PQPOOL_FUZZ_SECONDS") or 0)
QUICK_PAIRS = 2000
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
NULL = "\1"
LOGIN = ["host", "port", "options", "tty", "dbname", "user", "password"]


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


class StandIn:
    """Listens at Unix sockets and ports, asks for a password, and notes all that it hears."""

    READY = message(b"Z", b"I")
    WELCOME = (message(b"R", struct.pack("!I", 0)) + message(b"S", b"server_version\x0015.0\0") +
               message(b"S", b"client_encoding\0UTF8\0") +
               message(b"K", struct.pack("!II", 1, 2)) + READY)
    REFUSAL = message(b"E", b"SERROR\0C0A000\0Mno\0\0") + READY

    def __init__(self, folders):
        self.heard = []
        self.selector = selectors.DefaultSelector()
        self.ports = []
        for _ in range(2):
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports.append(str(listener.getsockname()[1]))
            self.selector.register(listener, selectors.EVENT_READ, "port %s" % self.ports[-1])
        for folder in folders:
            for port in self.ports:
                listener = socket.socket(socket.AF_UNIX)
                listener.bind("%s/.s.PGSQL.%s" % (folder, port))
                listener.listen()
                self.selector.register(listener, selectors.EVENT_READ, "%s %s" % (folder, port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if isinstance(key.data, str):
                    conn, _ = key.fileobj.accept()
                    self.selector.register(conn, selectors.EVENT_READ, [key.data, b"", True])
                else:
                    self.read(key.fileobj, key.data)

    def read(self, conn, state):
        try:
            data = conn.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(conn)
            conn.close()
            return
        state[1] += data
        head = 0 if state[2] else 1
        while len(state[1]) >= head + 4:
            size = head + struct.unpack_from("!I", state[1], head)[0]
            if len(state[1]) < size:
                return
            whole, state[1] = state[1][:size], state[1][size:]
            self.answer(conn, state, whole)
            head = 0 if state[2] else 1

    def answer(self, conn, state, whole):
        """What was heard is noted before libpq can know."""
        if whole[:1] != b"X":
            self.heard.append((state[0], whole))
        if not state[2]:
            reply = self.WELCOME if whole[:1] == b"p" else self.REFUSAL
        elif struct.unpack_from("!I", whole, 4)[0] in (SSL_REQUEST, GSS_REQUEST):
            reply = b"N"
        else:
            state[2] = False
            reply = message(b"R", struct.pack("!I", 3))
        if whole[:1] != b"X":
            conn.sendall(reply)


class Caller:
    """tests/shim/connects.c, with the stand-in it connects to."""

    def __init__(self, folder, libpq=None):
        self.folder = str(folder)
        os.makedirs(self.folder + "/a")
        os.makedirs(self.folder + "/b")
        self.stand_in = StandIn([self.folder + "/a", self.folder + "/b"])
        self.set = set()
        env = {**bare_environ(), "HOME": self.folder, "PGSYSCONFDIR": self.folder + "/none"}
        if libpq:
            env["LD_LIBRARY_PATH"] = libpq
        self.process = subprocess.Popen([built("tests/shim/connects")], env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *fields):
        self.process.stdin.write(b"".join(f.encode() + b"\0" for f in fields))

    def ask(self, *fields):
        self.tell(*fields)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "connects ended: %s" % self.process.wait()
        return line.decode().strip()

    def write(self, name, text):
        """Files are written anew only if they change: a new one is never the same."""
        path = os.path.join(self.folder, name)
        old = open(path, encoding="utf-8").read() if os.path.exists(path) else None
        if old != text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o600)

    def connect(self, how):
        del self.stand_in.heard[:]
        said, _, options = self.ask(how).partition(" options: ")
        # Of a connect that fails nothing can be lent.
        return said, options if said.startswith("status=0 ") else "", list(self.stand_in.heard)

    def make(self, call):
        """Its identity, what libpq does, what the shim does."""
        for name in self.set - set(call.environment()):
            self.tell("unset", name)
        self.set = set(call.environment())
        for name, value in call.environment().items():
            self.tell("env", "%s=%s" % (name, value))
        self.write("services", call.service_file())
        self.write("pass1", call.passfile())
        identity = int(self.ask(*call.fields()))
        bare = self.connect("bare")
        return identity, bare, self.connect("pooled") if identity else bare

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


def candidates(folder, ports):
    """Values of options, and the variables that are no option's."""
    one, two = ports
    a, b = folder + "/a", folder + "/b"
    files = [folder + "/pass1", folder + "/pass2", ""]
    return {
        "host": [a, b, "127.0.0.1", "localhost", a + "," + b, "", "127.0.0.1," + a],
        "hostaddr": ["127.0.0.1", "", "127.0.0.1,127.0.0.1"],
        "port": [one, two, "", one + "," + two, " " + one],
        "user": ["u", "v", "", "\u00fc"], "password": ["x", "y", "", "a 'b\\", "z%41"],
        "dbname": ["d", "e", "", "user=w dbname=q", "postgresql://w@/q?application_name=n", "d=e"],
        "options": ["-c geqo=off", "-c a.b=1", ""], "application_name": ["n", "m", "", "n'"],
        "fallback_application_name": ["n", "f", ""],
        "client_encoding": ["utf8", "auto", "LATIN1", ""],
        "sslmode": ["disable", "prefer", "allow", "require", ""],
        "gssencmode": ["disable", "prefer"],
        "connect_timeout": ["20", " 30", "0", "", "-1"], "keepalives": ["0", "1", ""],
        "keepalives_idle": ["5", ""], "tcp_user_timeout": ["900", ""],
        "target_session_attrs": ["any", "read-write", ""], "service": ["s", "t", "none"],
        "passfile": files, "sslcert": files, "sslrootcert": files, "sslcompression": ["0", "1"],
        "requirepeer": ["root", ""], "channel_binding": ["disable", "prefer"],
        "replication": ["false", "database", "0"], "krbsrvname": ["k", ""],
        "ssl_min_protocol_version": ["TLSv1.2", "TLSv1.1"], "sslsni": ["0", "1"],
    }


VARIABLES = {"PGDATESTYLE": ["ISO, DMY", "German"], "PGTZ": ["UTC", "Asia/Kathmandu"],
             "PGGEQO": ["off", "on"], "PGSERVICEFILE": ["/none"]}
ENVIRONMENT = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER",
    "password": "PGPASSWORD", "dbname": "PGDATABASE", "options": "PGOPTIONS",
    "application_name": "PGAPPNAME", "client_encoding": "PGCLIENTENCODING",
    "sslmode": "PGSSLMODE", "gssencmode": "PGGSSENCMODE", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "passfile": "PGPASSFILE",
    "service": "PGSERVICE", "sslcert": "PGSSLCERT", "sslrootcert": "PGSSLROOTCERT",
    "sslcompression": "PGSSLCOMPRESSION", "requirepeer": "PGREQUIREPEER",
    "channel_binding": "PGCHANNELBINDING", "krbsrvname": "PGKRBSRVNAME",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "sslsni": "PGSSLSNI",
}


class Call:
    """A call and its surroundings. `items`: (where, keyword, value), where is "argument",
    "environment", "service", "variable" or "passfile"."""

    def __init__(self, folder, style, items):
        self.folder, self.style, self.items = folder, style, items

    def arguments(self):
        return [(k, v) for where, k, v in self.items if where == "argument"]

    def environment(self):
        env = {"PGSERVICEFILE": self.folder + "/services", "PGPASSFILE": self.folder + "/pass1"}
        env.update({k: v for where, k, v in self.items if where == "variable"})
        env.update({ENVIRONMENT[k]: v for where, k, v in self.items
                    if where == "environment" and k in ENVIRONMENT})
        return env

    def service_file(self):
        lines = ["%s=%s\n" % (k, v) for where, k, v in self.items if where == "service"]
        return "# a\n[s]\n%s[t]\nport=1\napplication_name=t\n" % "".join(lines)

    def passfile(self):
        return "".join("%s\n" % v for where, _, v in self.items if where == "passfile")

    def fields(self):
        given = self.arguments()
        if self.style == "login":
            last = dict(given)
            return ["login"] + [last.get(k, NULL) for k in LOGIN]
        if self.style in ("params", "expanded"):
            return ["params", str(int(self.style == "expanded")), str(len(given))] + [
                field for pair in given for field in pair]
        if self.style == "uri":
            return ["string", "postgresql://?" + urllib.parse.urlencode(
                dict(given), quote_via=urllib.parse.quote, safe="")]
        return ["string", " ".join("%s = '%s'" % (
            k, v.replace("\\", "\\\\").replace("'", "\\'")) for k, v in given)]

    def __repr__(self):
        return "%s %s" % (self.style, self.items)


class Pairs:
    """Makes pairs of calls."""

    STYLES = ["string", "params", "expanded", "uri", "login"]
    PASSWORDS = ["*:*:*:*:x", "*:*:*:u:y", "localhost:*:d:*:z", "*:*:*:*:x\n*:*:*:u:w", "# a"]

    def __init__(self, chance, folder, ports):
        self.chance, self.folder = chance, folder
        self.values = candidates(folder, ports)

    def item(self):
        where = self.chance.choice(["argument"] * 4 + ["environment"] * 3 + ["service"] * 2 +
                                   ["variable", "passfile"])
        if where == "variable":
            name = self.chance.choice(list(VARIABLES))
            return where, name, self.chance.choice(VARIABLES[name])
        if where == "passfile":
            return where, "", self.chance.choice(self.PASSWORDS)
        keyword = self.chance.choice(list(self.values))
        return where, keyword, self.chance.choice(self.values[keyword])

    def changed(self, items):
        items = list(items)
        for _ in range(self.chance.randrange(3)):
            at = self.chance.randrange(len(items))
            way = self.chance.randrange(4)
            where, keyword, value = items[at]
            if way == 0 and keyword in self.values:
                where = self.chance.choice(["argument", "environment", "service"])
                items[at] = (where, keyword, value)
            elif way == 1 and keyword in self.values:
                items[at] = (where, keyword, self.chance.choice(self.values[keyword]))
            elif way == 2:
                items[at] = self.item()
            else:
                items.insert(at, self.item())
        return items

    def pair(self):
        items = [(share, (where, keyword, self.values[keyword][0])) for share, where, keyword in (
            (0.9, "argument", "host"), (0.9, "environment", "port"), (0.5, "argument", "password"),
            (0.3, "argument", "service"), (0.3, "environment", "service"))]
        items = [i for share, i in items if self.chance.random() < share]
        items += [self.item() for _ in range(self.chance.randrange(1, 6))]
        style = self.chance.choice(self.STYLES)
        other = style if self.chance.random() < 0.5 else self.chance.choice(self.STYLES)
        return Call(self.folder, style, items), Call(self.folder, other, self.changed(items))


class Comparison:
    def __init__(self, caller):
        self.caller = caller
        self.counts = {"not pooled": 0, "different": 0, "same": 0}

    def wrong(self, one, two):
        """What is wrong about the two, or None."""
        made = [self.caller.make(one), self.caller.make(two)]
        for call, (_, bare, pooled) in zip((one, two), made):
            if bare != pooled:
                return "bare %s, pooled %s: %s" % (bare, pooled, call)
        identities = [each[0] for each in made]
        kind = ("not pooled" if 0 in identities else
                "same" if identities[0] == identities[1] else "different")
        self.counts[kind] += 1
        if kind == "same" and made[0][1] != made[1][1]:
            return "%s: %s; %s: %s" % (made[0][1], one, made[1][1], two)
        return None

    def shortened(self, one, two):
        """The same with fewer items, as long as something is wrong."""
        for item in {*one.items, *two.items}:
            fewer = [Call(c.folder, c.style, [i for i in c.items if i != item]) for c in (one, two)]
            if self.wrong(*fewer):
                return self.shortened(*fewer)
        return self.wrong(one, two)


@pytest.mark.limit(max(120, 2 * int(SECONDS) + 60))
@pytest.mark.parametrize("version", ["", "13", "17", "18"] if SECONDS else [""])
def test_same_connects_are_the_same(memory, version, request):
    folder = os.path.join(str(memory), "connects")
    libpq = request.getfixturevalue("libpq_of")(version) if version else None
    caller = Caller(folder, libpq)
    seed = random.randrange(1 << 32) if SECONDS else 1
    pairs = Pairs(random.Random(seed), folder, caller.stand_in.ports)
    compared = Comparison(caller)
    end = time.monotonic() + SECONDS / 4
    while time.monotonic() < end if SECONDS else sum(compared.counts.values()) < QUICK_PAIRS:
        one, two = pairs.pair()
        if compared.wrong(one, two):
            pytest.fail("seed %d: %s" % (seed, compared.shortened(one, two)))
    caller.close()
    shutil.rmtree(folder)
    print("seed %d:" % seed, compared.counts)
    assert min(compared.counts.values()) >= sum(compared.counts.values()) // 40
