# SPDX-License-Identifier: PostgreSQL
"""Threads, forked children, coroutines and connects in steps, of six identities, look for what
others left in their sessions, dirty them and misbehave, while faults arrive at random: no wrong
answer, no foreign state, no foreign cancel, no session beyond the limit, no growth.

For as long as SOAK_SECONDS says (`make soak`), with SOAK_SEED, SOAK_KEEPER=on, SOAK_TLS=on,
SOAK_LIBPQ=13,18 (programs with each of them) and any PQPOOL_ variable.
"""
import itertools
import os
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import built
from keeper import Keeper
from running import process_state
from server import bare_environ, wait_until
from soak.proxy import Proxy
from soak.soaking import Growth, Record, most
from tls import TlsServer

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
LIMIT = 6  # 5 and 1
TIMEOUT = 60
WAYS = ("threads", "steps", "forks", "coroutines")
# What a heap with threads varies by, and descriptors: sessions that come and go.
GROWTH_KB, GROWTH_DESCRIPTORS = 1024, 8
# Each with how often it comes, and what the server's log says of it.
FAULTS = {
    "terminate": (12, "terminating connection due to administrator command"),
    "cut": (5, "Connection reset by peer"),
    "delay": (2, None),  # proxy and
    "stop": (2, None),   # kernel tell of these
    "reload": (2, "received SIGHUP, reloading configuration files"),
    "password": (2, "statement: ALTER ROLE other"),
    "kill": (1, "was terminated by signal 9"),
    "fast": (1, "received fast shutdown request"),
    "immediate": (1, "received immediate shutdown request"),
}
PREPARE = """CREATE ROLE other LOGIN PASSWORD '%(password)s'; CREATE ROLE common;
    GRANT common TO app, other; ALTER ROLE postgres SET log_statement = 'ddl';
    GRANT ALL ON SCHEMA public TO public"""
SETTINGS = {"max_connections": "250", "log_min_messages": "log", "log_min_error_statement": "panic",
            "synchronous_commit": "on"}  # a crash must not undo a change of password
NOTICE = re.compile(r"(?:FATAL|WARNING):  terminating connection|(?:DETAIL|HINT):  |\n")


class Faults:
    """Brings them about, in an order and of a kind that the seed says."""

    def __init__(self, server, proxy, rng):
        self.server, self.proxy, self.rng = server, proxy, rng
        self.counts = dict.fromkeys(FAULTS, 0)
        self.stopped = []  # (backend, ms)
        self.reloads = 0
        self.waiting = []

    def next(self):
        """Each kind as often as it is to come before any comes once more."""
        if not self.waiting:
            self.waiting = [kind for kind, (often, _) in FAULTS.items() for _ in range(often)]
            self.rng.shuffle(self.waiting)
        missing = sorted(self.missing())
        return self.rng.choice(missing) if missing else self.waiting.pop()

    def missing(self):
        return [kind for kind, n in self.counts.items() if n == 0]

    def bring(self):
        """Counts it if the server tells of it; of more sessions at once, those it tells of."""
        kind = self.next()
        mark, said = self.server.marker(), FAULTS[kind][1]
        number = getattr(self, kind)()
        if said:
            wait_until(lambda: self.server.log_text(mark).count(said) >= number, 5)
            number = min(number, self.server.log_text(mark).count(said))
        self.counts[kind] += number

    def backend(self):
        rows = self.server.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'soak%'"
            " ORDER BY random() LIMIT 1")
        return int(rows[0][0]) if rows else None

    def terminate(self):
        return len(self.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
            " LIKE 'soak%%' ORDER BY random() LIMIT %d" % self.rng.randint(1, 4)))

    def cut(self):
        return min(1, self.proxy.cut())

    def delay(self):
        return min(1, self.proxy.delay())

    def stop(self):
        pid = self.backend()
        if pid is None:
            return 0
        self.stopped.append((pid, int(time.time() * 1000)))
        try:
            os.kill(pid, signal.SIGSTOP)
            stopped = wait_until(lambda: process_state(pid) == "T", 2)
            time.sleep(0.2)  # sleeps because for so long it stands still
            os.kill(pid, signal.SIGCONT)
            return int(stopped)
        except (ProcessLookupError, FileNotFoundError):
            return 0

    def reload(self):
        self.reloads += 1
        self.server.sql("ALTER SYSTEM SET random_page_cost = %d" % (2 + self.reloads % 5))
        self.server.sql("SELECT pg_reload_conf()")
        return 1

    def password(self):
        alter = "ALTER ROLE other PASSWORD '%s'"
        self.server.sql(alter % "another")
        self.server.sql(alter % self.server.password)
        return 1

    def kill(self):
        pid = self.backend()
        if pid is None:
            return 0
        mark = self.server.marker()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return 0
        died = wait_until(lambda: "was terminated by signal 9" in self.server.log_text(mark), 5)
        if died:
            assert wait_until(
                lambda: "database system is ready" in self.server.log_text(mark), TIMEOUT)
        return int(died)

    def fast(self):
        self.server.restart("fast")
        return 1

    def immediate(self):
        self.server.restart("immediate")
        return 1


class Programs:
    """One for each of the ways, with each of the libpqs."""

    def __init__(self, server, proxy, folder, seed, env, shared, libpqs):
        """`shared`: those with the same way to the server and the same libpq have names in common,
        and so a limit: libpqs of other versions have other options, so it is another pool."""
        self.stderr = open(folder / "stderr", "a+", encoding="utf-8")
        self.all = {}
        for i, (libpq, way) in enumerate(itertools.product(libpqs, WAYS)):
            where = server.env() if way in ("threads", "forks") else server.env(tcp=True)
            where |= {"LD_LIBRARY_PATH": libpqs[libpq]} if libpq else {}
            if way == "steps":
                where["PGPORT"] = str(proxy.port)
            name = ["soak." + {"steps": "proxy", "coroutines": "tcp"}.get(way, "local") + libpq]
            self.all[way + libpq] = subprocess.Popen(
                [built("tests/programs/soak"), way, str(seed * 16 + i), *(name if shared else [])],
                env={**bare_environ(), **where, **env}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=self.stderr, text=True)

    def end(self):
        """The sums of what they counted, and what they said of what should not be."""
        for each in self.all.values():
            each.send_signal(signal.SIGTERM)
        sums = {}
        for way, each in self.all.items():
            said, _ = each.communicate(timeout=TIMEOUT * 2)
            assert each.returncode == 0, (way, each.returncode)
            for pair in said.split():
                key, number = pair.split("=")
                sums[key] = sums.get(key, 0) + int(number)
        return sums, self.said()

    def said(self):
        """What should not be. What libpq prints of a session that the server ends is left out."""
        self.stderr.seek(0)
        return [line for line in self.stderr if not NOTICE.match(line)]

    def count(self, what):
        return sum(line.startswith("soak: %s:" % what) for line in self.said())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.all.values():
            if each.poll() is None:
                each.kill()
                each.communicate()
        self.stderr.close()


def prepare(server):
    server.sql(PREPARE % {"password": server.password})
    server.sql("CREATE DATABASE second OWNER other")
    server.sql("GRANT ALL ON SCHEMA public TO public", database="second")


def soak(server, folder, seconds, seed, env, keeper, pause, libpqs):
    """Returns what the programs counted, what they said, and figures as text and as a dict."""
    rng = random.Random(seed)
    env = {"LD_PRELOAD": built("libpqpool.so"), "PQPOOL_LOG": str(folder / "log"),
           "PQPOOL_SIZE": str(LIMIT - 1), "PQPOOL_MAX_OVERFLOW": "1", "PQPOOL_REPORT": "off",
           "PQPOOL_TIMEOUT": str(TIMEOUT), "PQPOOL_STACK_DEPTH": "4",
           "XDG_RUNTIME_DIR": str(folder), **env}
    if keeper:
        env["PQPOOL_SHARE"] = keeper.path
    # Sessions over TLS are not shared, so the limit of each process is its own.
    shared = keeper is not None and "PGSSLMODE" not in env
    with Record(env["PQPOOL_LOG"]) as record, Proxy(server.port) as proxy, \
            Programs(server, proxy, folder, seed, env, shared, libpqs) as programs:
        faults = Faults(server, proxy, rng)
        growths = {way: Growth(each.pid) for way, each in programs.all.items()}
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < seconds or faults.missing():
            assert passed < seconds + TIMEOUT * 2, faults.missing()
            for growth in growths.values():
                growth.sample(passed / seconds)
            faults.bring()
            time.sleep(rng.uniform(0.5, 1.5) * pause)  # sleeps because faults come at random
        for growth in growths.values():
            growth.sample(1)
        sums, said = programs.end()
    for event in keeper.events("session_close") if keeper else ():
        record.note(event.rstrip("\n").encode())
    most_at_once, vain = most(server.log_text(), record, faults.stopped)
    grown = {way: growth.grown() for way, growth in growths.items()}
    figures = {
        "beyond": {each: n for each, n in most_at_once.items()
                   if each.startswith("soak.") and n > LIMIT},
        "without_end": len(record.without_end), "lost": record.lost, "grown": grown,
        "acquired": record.acquired,
        "opened": sum(len(times) for times in record.opened.values()),
        "faults": sum(faults.counts.values())}
    print("\nseed %d: %s" % (seed, " ".join("%s=%d" % each for each in sums.items())))
    print("faults %d: %s"
          % (figures["faults"], " ".join("%s=%d" % each for each in faults.counts.items())))
    print("sessions at once: %d of %d; connects in vain %d; beyond the limit %s"
          % (max(most_at_once.values()), LIMIT, vain, figures["beyond"]))
    print("record: %d acquired, %d released, %d without end, %d lines lost; sessions opened: %d"
          % (record.acquired, record.released, figures["without_end"], record.lost,
             figures["opened"]))
    print("growth (kB, descriptors): %s" % grown)
    print("".join(said[:50]))
    return sums, said, figures


@pytest.mark.limit(int(SECONDS) + 300)
def test_soak(new_server, libpq_of, memory):
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(1 << 30)
    env = {k: v for k, v in os.environ.items() if k.startswith("PQPOOL_") and k != "PQPOOL_BUILD"}
    versions = os.environ.get("SOAK_LIBPQ", "")
    libpqs = {each: libpq_of(each) if each else None for each in versions.split(",")}
    settings = {**SETTINGS, "max_connections": str(250 * len(libpqs))}
    if os.environ.get("SOAK_TLS") == "on":
        server = TlsServer(settings)
        server.start()
        env["PGSSLMODE"] = "prefer"
    else:
        server = new_server(settings=settings)
    keeper = None
    try:
        prepare(server)
        if os.environ.get("SOAK_KEEPER") == "on":
            (memory / "keeper").mkdir()
            keeper = Keeper(built("pqpool"), memory / "keeper", supervised=True,
                            env={"PQPOOL_SIZE": str(LIMIT - 1), "PQPOOL_MAX_OVERFLOW": "1",
                                 "PQPOOL_LOG_LEVEL": "info", "PQPOOL_TIMEOUT": str(TIMEOUT)})
            keeper.start()
        sums, said, figures = soak(server, memory, SECONDS, seed, env, keeper, 1.2, libpqs)
    finally:
        if keeper:
            keeper.__exit__()
        server.stop()
    assert sums["leases"] > 100
    # Most leases had a session that others had had.
    assert figures["opened"] * 4 < sums["leases"]
    assert [sums[k] for k in ("wrong", "foreign", "cancelled", "refused")] == [0] * 4, said[:50]
    assert not said, said[:50]
    assert not figures["beyond"]
    # On a busy machine a line may be lost, as nobody waits for long until it is his turn to write.
    assert figures["without_end"] <= figures["lost"]
    assert 0 <= sums["leases"] - figures["acquired"] <= figures["lost"]
    for kilobytes, descriptors in figures["grown"].values():
        assert kilobytes <= GROWTH_KB and descriptors <= GROWTH_DESCRIPTORS


def test_what_a_session_without_reset_has_is_found(new_server, memory):
    server = new_server(settings=SETTINGS)
    prepare(server)
    env = {"LD_PRELOAD": built("libpqpool.so"), "PQPOOL_RESET": "off", "PQPOOL_REPORT": "off",
           "PQPOOL_LOG_LEVEL": "off", "XDG_RUNTIME_DIR": str(memory)}
    with Proxy(server.port) as proxy, Programs(server, proxy, memory, 1, env, False,
                                                    {"": None}) as programs:
        assert wait_until(lambda: programs.count("foreign") > 100, TIMEOUT)
        sums, said = programs.end()
    assert sums["foreign"] > 100 and "soak: foreign: secret" in "".join(said)
