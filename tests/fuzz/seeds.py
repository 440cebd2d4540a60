# SPDX-License-Identifier: PostgreSQL
"""The corpus that the fuzz targets begin with: seeds.py FOLDER writes FOLDER/TARGET/NAME.

Each seed is made of named parts, so that one can read what it is; the heads of the targets say in
which order they take their input. Messages: "Message Formats" in PostgreSQL's manual, protocol 3.0
and 3.2.
"""
import os
import struct
import sys


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def parameter(name, value):
    return message(b"S", name + b"\0" + value + b"\0")


def number(n):
    return struct.pack("!H", n)


# ---- PostgreSQL's protocol

def startup(version):
    body = b"user\0app\0database\0app\0application_name\0psql\0\0"
    return struct.pack("!II", len(body) + 8, version) + body


V30, V32 = 3 << 16, 3 << 16 | 2
SSL, GSS = struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104)
READY = message(b"Z", b"I")
OK = message(b"R", struct.pack("!I", 0))
SETTINGS = parameter(b"server_version", b"18.4") + parameter(b"TimeZone", b"Europe/Berlin")
KEY30 = message(b"K", struct.pack("!II", 4711, 12345))
KEY32 = message(b"K", struct.pack("!I", 4711) + bytes(range(32)))
NEGOTIATE = message(b"v", struct.pack("!II", V30, 1) + b"_pq_.x\0")
SCRAM = [message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"),
         message(b"R", struct.pack("!I", 11) + b"r=nonce,s=c2FsdA==,i=4096"),
         message(b"R", struct.pack("!I", 12) + b"v=c2lnbmVk")]
PROOF = message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", 8) + b"n,,n=,r=") + message(b"p", b"c=biws")
MD5 = message(b"R", struct.pack("!I", 5) + b"salt")
CLEARTEXT = message(b"R", struct.pack("!I", 3))
RESET = message(b"C", b"DISCARD ALL\0") + READY
ROLLBACK = message(b"C", b"ROLLBACK\0") + READY
PIPELINED = message(b"1") + message(b"2") + message(b"n") + RESET
PONG = message(b"I") + READY
ERROR = message(b"E", b"SFATAL\0C57P01\0Mterminating connection\0\0")
NOTICE = message(b"N", b"SNOTICE\0C00000\0Mhello\0\0")
NOTIFY = message(b"A", struct.pack("!I", 1) + b"c\0x\0")


def reply(due, start, sent, split=None):
    return bytes([due]) + number(len(start)) + start + number(
        len(sent) // 2 if split is None else split) + sent


START30 = OK + SETTINGS + KEY30 + READY
START32 = NEGOTIATE + OK + SETTINGS + KEY32 + READY
REPLY = {
    "reset": reply(1, START30, RESET),
    "pipelined": reply(2, START32, ROLLBACK + PIPELINED),
    "ping": reply(4, START32, PONG, 3),
    "reset-and-ping": reply(5, START30, parameter(b"TimeZone", b"UTC") + RESET + PONG),
    "new-parameter": reply(1, START32, parameter(b"search_path", b"a, b") + RESET),
    "error": reply(0, START30, ERROR), "failed-reset": reply(1, START30, ERROR),
    "notice": reply(1, START30, NOTICE + RESET), "notify": reply(1, START30, NOTIFY + RESET),
    "no-start": reply(1, b"", parameter(b"a", b"") + RESET),
    "torn": reply(1, START30, RESET[:-3]),
}


def connect(sent, received, address=b"\1\0/tmp/.s.PGSQL.5432\0"):
    return bytes([len(address)]) + address + number(len(sent)) + sent + received


START_RECORD = {
    "trust": connect(startup(V30), START30),
    "trust-3.2": connect(startup(V32), OK + SETTINGS + KEY32 + READY),
    "negotiated": connect(startup(V32), START32),
    "scram": connect(startup(V30) + PROOF, b"".join(SCRAM) + START30),
    "md5": connect(startup(V30) + message(b"p", b"md5\0"), MD5 + START30),
    "cleartext": connect(startup(V30) + message(b"p", b"secret\0"), CLEARTEXT + START30),
    "declined": connect(GSS + SSL + startup(V30), b"NN" + START30),
    "encrypted": connect(SSL + b"\x16\x03\x01", b"S\x16\x03\x01"),
    "notice": connect(startup(V30), OK + NOTICE + KEY30 + READY),
    "refused": connect(startup(V30), ERROR),
    "more": connect(startup(V30), START30 + b"Z"),
}

# ---- the keeper's

HELLO, WELCOME, OPENED, NUDGE, ASK, WAIT, LEND, ROOM, REFUSE, COMMAND, ANSWER = range(1, 12)
RECORD = struct.Struct("=QiBBBB40sIII4x")
WORD_ROOM, WORD_OFFERED, WORD_LEASED, WORD_IDLE, WORD_GONE = 1, 2, 3, 4, 6
WITH_FD, NO_HEAD = 16, 32


def record(version=V30, start=START30, address=b"\1\0/tmp/s"):
    said = startup(version)
    return RECORD.pack(1, 4711, 1, 0, 1, 0, b"", len(address), len(said), len(start)) + \
        address + said + start


def answer(kind, body=b"", flags=0):
    return bytes([kind | flags]) + number(len(body)) + body


def text(said):
    return struct.pack("=I", len(said)) + said


PLAY = bytes([63]) + startup(V30)
ASKED = {
    "lend": bytes([WORD_OFFERED]) + answer(LEND, record(), WITH_FD) + PLAY,
    "lend-3.2": bytes([WORD_OFFERED]) + answer(WAIT) + answer(LEND, record(V32, START32), WITH_FD) +
                bytes([63]) + startup(V32),
    "lend-without": bytes([WORD_OFFERED]) + answer(LEND, record()),
    "lend-long": bytes([WORD_OFFERED]) + answer(LEND, record(address=b"x")[:-1], WITH_FD) + PLAY,
    "lend-longer": bytes([WORD_OFFERED]) + answer(LEND, RECORD.pack(
        1, 2, 1, 0, 0, 0, b"", 1 << 31, 1 << 31, 9) + b"x", WITH_FD) + PLAY,
    "room": bytes([WORD_ROOM]) + answer(WAIT) + answer(ROOM),
    "refused": bytes([0]) + answer(WAIT) + answer(REFUSE, text(b"state=leased pid=1\n")),
    "refused-long": bytes([0]) + answer(REFUSE, struct.pack("=I", 1 << 31) + b"x"),
    "garbage": bytes([0]) + answer(0, b"x" * 20, NO_HEAD),
}

# fuzz_keeper.c: client, other, what; then what that takes.
COME, GO, SAY, BE_MEMBER, QUESTION, TELL_OPENED, CHANGE, NUDGES, SERVE, COMMANDS, HEAR, PASS, BELLS, TELL_PLACE, RAW = \
    range(15)


def do(client, what, *more, other=None):
    return bytes([client, client if other is None else other, what]) + b"".join(
        bytes([m]) if isinstance(m, int) else m for m in more)


def question(client, member, word, timeout=3, ping=0, digest=1):
    return do(client, QUESTION, word, timeout, ping, 4, digest, b"u@h1.", other=member)


def opened(member, word, digest=1):
    return do(member, TELL_OPENED, word, 3, digest, 1, 2, 4, len(START30), b"ad" + b"star" +
              START30 + b"u@h")


def said(server, what):
    return do(0, SERVE, server, len(what), what)


MEMBERS = do(0, BE_MEMBER) + do(1, BE_MEMBER)
LEASE = MEMBERS + question(2, 0, 0) + do(2, HEAR) + do(0, CHANGE, 0, WORD_LEASED, 0) + opened(0, 0)
GIVEN = LEASE + do(0, CHANGE, 0, WORD_IDLE, 1) + said(0, RESET)
KEEPER = {
    "member-goes": MEMBERS + do(0, GO),
    "lease": LEASE,
    "handed-over": GIVEN + question(3, 1, 0) + do(3, HEAR) + do(1, CHANGE, 0, WORD_LEASED, 0),
    "handed-over-by-ping": GIVEN + question(3, 1, 0, 3, 1) + said(0, PONG) + do(3, HEAR),
    "bad-answer": LEASE + do(0, CHANGE, 0, WORD_IDLE, 1) + question(3, 1, 0) + said(0, ERROR),
    "server-ends": GIVEN + question(3, 1, 0) + said(0, b""),
    "holder-dies": LEASE + question(3, 1, 0) + do(0, GO),
    "idle-holder-dies": GIVEN + do(0, GO) + question(3, 1, 0) + do(3, HEAR),
    "waits": LEASE + question(3, 1, 0) + question(4, 1, 1) + question(5, 1, 2) + do(4, GO) +
             do(0, CHANGE, 0, WORD_GONE, 0) + do(0, NUDGES),
    "asker-dies": LEASE + question(3, 1, 0) + question(4, 1, 1) + question(5, 1, 2) +
                  do(1, GO),
    "in-pieces": LEASE + do(0, CHANGE, 0, WORD_IDLE, 1) + said(0, RESET[:-3]) + question(3, 1, 0) +
                 said(0, RESET[-3:-1]) + said(0, RESET[-1:]) + do(3, HEAR),
    "no-such-word": LEASE + opened(0, 250) + question(3, 1, 251),
    "not-taken": GIVEN + question(3, 1, 0) + do(3, GO),
    "commands": GIVEN + b"".join(do(3, COMMANDS, i, 0) + do(3, HEAR) + do(3, COME) for i in range(9)),
    "place-in-page": MEMBERS + do(2, QUESTION, 0, 3, 0, 20, 1, b"u@h1", other=0) +
                     do(0, TELL_PLACE, 0, 0, 7, b"a.py:1\0") + do(3, COMMANDS, 0, 0),
    "paused": LEASE + do(3, COMMANDS, 2, 0) + question(4, 1, 0) + do(5, COMMANDS, 3, 0),
    "garbage": do(0, RAW, 20, b"x" * 20) + do(1, SAY, number(4), b"\0\0\0\4", OPENED, 1),
    "opened-unasked": MEMBERS + do(0, CHANGE, 2, WORD_IDLE, 0) + opened(0, 2) + question(3, 1, 0),
}


# ---- the user's: variables, logs, pages, patterns, programs

# base/config/config.def's order changes: a row may be any, so a few values meet all of them.
VALUES = [b"", b"5", b"-1", b"80%", b"1.5s", b"500ms", b"1.0000000001h", b"64kB", b"0", b"on", b"auto",
          b"discard", b"fifo", b"prod", b"debug", b"psql*, ?b[c]", b"db.example:6432", b"[fe80::1%eth0]:1",
          b"/run/x:5432", b"/tmp/%p-%n-%h.log", b"/run/keeper.socket", b"18446744073709551616"]


def variables(*pairs):
    return b"/usr/bin/psql\0" + b"".join(bytes([row]) + value + b"\0" for row, value in pairs)


CONFIG = {
    **{"value-%d" % i: variables(*[(row, value) for row in range(first, first + 16)])
       for i, value in enumerate(VALUES) for first in (0, 16)},
    "unknown": variables((255, b"PQPOOL_SIZES=1"), (255, b"PQPOOL_=1"), (255, b"PQPOOL_RESTE=1"), (255, b"")),
}

STATEMENT = {
    **{"text-%d" % i: b"\0" + text for i, text in enumerate([
        b"SELECT a.b::int, cast(x AS text) FROM t WHERE c LIKE 'x%' AND d = $1 -- end",
        b"WITH a AS (VALUES (1, 'b')) UPDATE t SET c = a.d FROM a RETURNING *", b"BEGIN ISOLATION LEVEL SERIALIZABLE",
        b"DO $$ BEGIN PERFORM set_config('a.b', '', false); END $$", b"SET LOCAL app.x TO 'y'; LOAD 'z'",
        b"SELECT \"set_config\" ('seed', U&'1', true), E'\\'' /* /* */ */", b"ALTER ROLE a SET b = c"])},
    **{"literal-%d" % n: bytes([1 + n, 0, 6, 4, 128 + n, 3]) for n in range(24)},
    "pieces": bytes([180]) + bytes(range(0, 128, 3)),
    "set": bytes([99, 36, 6, 11, 140]),
}


def line(event, **pairs):
    return b" ".join([b"time=2026-01-02T03:04:05.000006Z event=%s pid=7 program=app" % event.encode()] + [
        b"%s=%s" % (key.encode(), value.encode()) for key, value in pairs.items()]) + b"\n"


STACK = line("stack", stack="1", frames='"/usr/bin/a\\x20b+0x12(f) ?+0xff libpq.so.5+0x1"',
             build_ids='"libpq.so.5=0a1b"', script="/srv/a.py:12", script_frames='"/srv/a.py:12(load) ..."')
TAKEN = line("config", format="1") + STACK + line(
    "acquire", lease="1", session="2", backend="3", tid="4", stack="1", pool="u@h:1/d")
LOG = {
    "open": b"\0" + TAKEN,
    "released": b"\0" + TAKEN + line("release", lease="1", hold_us="5", at_exit="yes"),
    "leak": b"\0" + TAKEN + line("leak", lease="1", kind="released_by_exit", suppressed="yes") +
            line("totals", opened="1", closed="1", peak="1", reasons="aged:1"),
    "again": b"\0" + TAKEN + TAKEN + line("exec") + line("given_away", lease="1") + STACK.replace(b"0x12", b"0x13"),
    "torn": b"\0" + TAKEN[:100] + TAKEN + b"time=" * 20 + b"\n\n\0\n" + TAKEN[:-1],
    "full": b"\0" + line("config", size="1", max_overflow="0", timeout_ms="1", share="off") + TAKEN +
            line("wait", pool="p", in_use="1", limit="1") +
            line("timeout", pool="p", in_use="1", limit="1", wait_us="9", verdict="slow") +
            line("misuse", lease="1", msg="m") + line("release", lease="1", hold_us="7", kept="no", lost="3"),
    "dead": b"\0" + b"".join(line("session_open", session=s, backend=s, pool="p", took_us="5") for s in "12") +
            b"".join(line("session_close", session=s, backend=s, pool="p", reason="ping_failed") for s in "12"),
    "hex": b"\0" + STACK.replace(b"0x12", b"+0x" + b"a" * 300),
    "deep": b"\0" + STACK.replace(b"?+0xff", b"?+0xff " * 65),
    "value": b'\1a "b"\\ =\n\t\x01\x7f\xff', "empty": b"\1",
}

FRAMES = b'frames="/usr/bin/a+0x12(f)" build_ids="a=0b" script=/a.py:1 script_frames="/a.py:1(f)"'


def piece(area, row, data):
    data += bytes(-len(data) % 4)
    return bytes([area]) + number(row) + bytes([len(data) // 4]) + data


POOL = piece(0, 0, struct.pack("=8I", 2, 1, 5, 5, 1, 0, 0, 1)) + piece(0, 2, struct.pack("=II", 3, 1) + b"x" * 900)
LEASE_ROW = struct.pack("=IIQIi4QiIII", 2, 2, 1, 0, 77, 1, 2, 3, 4, 5, 1, 1, 1) + b"SELECT 1" + b"x" * 180
PAGES = {
    "empty": bytes(3),
    "lease": bytes([1, 2, 4]) + POOL + piece(1, 1, LEASE_ROW) + piece(
        2, 0, struct.pack("=II", 1 << 31 | 1, len(FRAMES)) + FRAMES),
    "no-such-pool": bytes([1, 2, 4]) + piece(1, 0, LEASE_ROW.replace(b"M", b"\xff")),
    "long-stack": bytes([1, 1, 255]) + piece(2, 0, struct.pack("=II", 1, 1 << 31)),
    "head": bytes(3) + piece(3, 0, b"pqpool\x1a\n" + struct.pack("=IiQQIII", 1, 5, 6, 7, 1 << 30, 1 << 31, 1 << 31)),
}

SUPPRESSIONS = {
    name: bytes([len(FRAME_TEXT)]) + FRAME_TEXT + text for FRAME_TEXT in [b" /srv/a\\x20b.py:12(load) ... c.rb:1"]
    for name, text in {
        "all": b"*\n", "words": b"# a\n\n function:load\r\nmodule:lib?.so*\nscript:a b.py:12\nlegacy_*\n",
        "blank": b"script:b*\n", "bad": b"nodule:a\n", "nothing": b"script: \t\n", "slash": b"script:/srv/*"}.items()
}


def elf_file():
    """A library that needs libpq.so.5, with a build id, two functions and their names."""
    names = b"\0libpq.so.5\0first\0second\0"
    notes = struct.pack("=III", 4, 4, 3) + b"GNU\0" + b"\x0a\x1b\x2c\x3d"
    symbols = bytes(24) + b"".join(struct.pack("=IBBHQQ", name, 2, 0, 1, at, 16)
                                   for name, at in ((12, 0x10), (18, 0x20)))
    dynamic = b"".join(struct.pack("=QQ", *pair) for pair in ((5, 512), (10, len(names)), (1, 1), (0, 0)))
    parts = {512: names, 640: notes, 704: symbols, 832: dynamic, 960: b"".join(
        struct.pack("=IIQQQQIIQQ", 0, kind, 0, at, at, size, link, 0, 8, entry) for kind, at, size, link, entry in (
            (0, 0, 0, 0, 0), (1, 0, 512, 0, 0), (3, 512, len(names), 0, 0), (2, 704, len(symbols), 2, 24)))}
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("=HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 960, 0, 64, 56, 3, 64, 4, 2)
    segments = b"".join(struct.pack("=IIQQQQQQ", kind, 4, at, at, at, size, size, 4)
                        for kind, at, size in ((1, 0, 960), (4, 640, len(notes)), (2, 832, len(dynamic))))
    data = bytearray(header + segments)
    for at, part in sorted(parts.items()):
        data += bytes(at - len(data)) + part
    return bytes(data)


ELF = {"library": struct.pack("=Q", 0x14) + elf_file(), "cut": struct.pack("=Q", 0x24) + elf_file()[:900],
       "none": bytes(8) + b"#!/bin/sh\n"}


SERVICES = {
    "found": b"\1s" + b"# a\n[t]\nport=1\n[s]\n host=h\r\nport=2\n\n[u]\nldap://x\n",
    "ldap": b"\1s" + b"[s]\nport=2\n\tldap://x/y?z\n", "without": b"\3abc" + b"[ab]\n[abcd]\nabc\n",
    "lines": b"\5[a\nb]" + b"[[a\nb]]\n",
    "odd": b"\2a]" + b"[a]]\n\0\nldap\n[", "long": b"\1s" + b"[s]\n" + b"a" * 300 + b"\n"}

# What elf_file() has, as a module in memory: words, an address, memory.


def elf_memory(hashed, table_at=256):
    names = b"\0first\0second\0"
    symbols = bytes(24) + b"".join(struct.pack("=IBBHQQ", name, 2, 0, 1, at, 16)
                                   for name, at in ((1, 0x10), (7, 0x20)))
    notes = struct.pack("=III", 4, 4, 3) + b"GNU\0" + b"\x0a\x1b\x2c\x3d"
    hashes = [0, 0]
    for i, name in enumerate((b"first", b"second")):
        hashes[i] = 5381
        for c in name:
            hashes[i] = (hashes[i] * 33 + c) & 0xffffffff
    # One bucket, one word of a filter that lets all pass.
    gnu = struct.pack("=IIIIQIII", 1, 1, 1, 0, (1 << 64) - 1, 1, hashes[0] & ~1, hashes[1] | 1)
    old = struct.pack("=IIIIII", 1, 3, 1, 0, 2, 0)
    table = (0x6ffffef5, 640) if hashed else (4, 704)
    dynamic = b"".join(struct.pack("=QQ", *pair) for pair in (
        (6, table_at), (5, 384), (10, len(names)), table, (0, 0)))
    data = bytearray()
    for at, part in ((128, dynamic), (256, symbols), (384, names), (512, notes), (640, gnu), (704, old)):
        data += bytes(at - len(data)) + part
    return bytes([128 // 8, len(dynamic) // 8, 512 // 8, 4, 0]) + number(0x14) + bytes(data)


ELF_IMAGES = {"hashed": elf_memory(True), "old": elf_memory(False), "empty": bytes(7),
              "odd": elf_memory(False, 257), "endless": b"\x10\4" + elf_memory(True)[2:7 + 128 + 32]}

# ---- memory of interpreters; offsets by shim/trace/script/tables/

BASE, OWN, OWN_KEY = 0x10000, 0x5e1f5e1f5e1f5e1f, 0x5e1f5e1e


def memory(kind, *parts):
    """Of (offset, format, values) or (offset, bytes)."""
    data = bytearray(0xa00)
    for at, form, *values in parts:
        part = form if isinstance(form, bytes) else struct.pack("=" + form, *values)
        data[at:at + len(part)] = part
    return bytes([kind, 8]) + bytes(data)


def python_objects(code, first, file, name, lines):
    """A code object at 0x300, with its types, texts and lines."""
    text = b"/srv/app.py"
    return [(0x308, "Q", BASE + 0x600), (0x300 + first, "I", 7), (0x300 + file, "Q", BASE + 0x700),
            (0x300 + name, "Q", BASE + 0x780), (0x300 + lines, "Q", BASE + 0x800),
            (0x618, "Q", BASE + 0x640), (0x640, b"code\0"), (0x698, "Q", BASE + 0x6c0), (0x6c0, b"str\0"),
            (0x708, "QQ", BASE + 0x680, len(text)), (0x720, "I", 1 << 2 | 1 << 5 | 1 << 6), (0x730, text),
            (0x788, "QQ", BASE + 0x680, 4), (0x7a0, "I", 1 << 2 | 1 << 5 | 1 << 6), (0x7b0, b"load"),
            (0x810, "Q", 2), (0x820, code)]


PYTHON_FRAME = [(0x260, "Q", BASE + 0x300), (0x278, "QQ", BASE + 0x3b8, 0)]
LONG_LINES = bytes([0x80 | 13 << 3 | 7, 0])
PUBLISHED = [(40, b"xdebugpy"), (48, "Q", 0x030d02f0)] + [
    (40 + at, "Q", value) for at, value in (
        (184, 72), (192, 152), (240, 32), (232, 48), (248, 56), (264, 69), (312, 72), (280, 112),
        (296, 128), (304, 136), (344, 184), (560, 48))]
PHP_TEXT = b"Zend Engine v4.2.0\0"
RUBY_SEQUENCE = [(0x300, "Q", 0x1a | 7 << 12), (0x310, "Q", BASE + 0x340), (0x344, "IQ", 4, BASE + 0x3c0),
                 (0x380, "Q", BASE + 0x400), (0x390, "Q", BASE + 0x440),
                 (0x400, "Q", 5 | 0x2000), (0x410, "QQ", 7, BASE + 0x480), (0x480, b"/srv/a b"),
                 (0x440, "Q", 5 | 0x2000), (0x450, "QQ", 4, BASE + 0x488), (0x488, b"l(a)")]
SCRIPTS = {
    "python-3.13": memory(0, (0, "Q", BASE + 0x900), (16, "I", 0x030d02f0), *PUBLISHED,
                          (0x948, "Q", BASE + 0x280), (0x998, "Q", OWN), (0x2a0, "Q", BASE + 0x300),
                          (0x2b8, "Q", BASE + 0x3b8), *python_objects(LONG_LINES, 72, 112, 128, 136)),
    "python-3.11": memory(1, (0, "Q", BASE + 0x100), (16, "I", 0x030b02f0), (0x138, "Q", BASE + 0x200),
                          (0x198, "Q", OWN), (0x208, "Q", BASE + 0x240), *PYTHON_FRAME,
                          *python_objects(LONG_LINES, 72, 112, 128, 136)),
    "python-3.9": memory(2, (0, "Q", BASE + 0x100), (0x100, b"3.9.2\0"), (0x118, "Q", BASE + 0x240),
                         (0x1b0, "Q", OWN), (0x260, "Q", BASE + 0x300),
                         *python_objects(b"\4\1", 40, 104, 112, 120)),
    "perl": memory(3, (0, "Q", BASE + 0x200), (8, "I", OWN_KEY), (16, b"\x24"), (208, "Q", BASE + 0x100),
                   (0x120, "II", 195, 12), (0x130, "Q", BASE + 0x180), (0x180, b"/srv/a.pl\0"),
                   (0x200, "I", 9), (0x210, "Q", BASE + 0x100), (0x248, "Q", BASE + 0x300),
                   (0x300, "QII", BASE + 0x340, 1, 13), (0x378, "Q", BASE + 0x3c0), (0x39c, "I", 0x8000),
                   (0x3c4, "I", 4), (0x3c8, b"load")),
    "php": memory(4, (0, "Q", BASE + 0x40), (0x40, PHP_TEXT), (24, "Q", BASE + 0x60), (0x60, b"cli\0"),
                  (8 + 488, "Q", BASE + 0x300), (0x300, "Q", BASE + 0x400), (0x318, "Q", BASE + 0x500),
                  (0x418, "I", 12), (0x500, b"\2"), (0x508, "QQ", BASE + 0x600, BASE + 0x700),
                  (0x500 + 152, "Q", BASE + 0x640), (0x610, "Q", 4), (0x618, b"load"),
                  (0x650, "Q", 10), (0x658, b"/srv/a.php"), (0x708, "Q", BASE + 0x600)),
    "ruby-3.3": memory(5, (0, "Q", BASE + 0x101), (16, "II", 3, 3), (0x121, "Q", BASE + 0x180),
                       (0x190, "Q", BASE + 0x101), (0x1b0, "Q", BASE + 0x200),
                       (0x200, "QQQ", BASE + 0x240, 14, BASE + 0x240), (0x230, "Q", BASE + 0x180),
                       (0x240, "QQQ", BASE + 0x3c8, 0, BASE + 0x300), *RUBY_SEQUENCE),
    "ruby-3.1": memory(6, (8, "Q", BASE + 0x200), (16, "II", 3, 1),
                       (0x200, "QQQ", BASE + 0x240, 16, BASE + 0x240),
                       (0x240, "QQQ", BASE + 0x3c8, 0, BASE + 0x300), *RUBY_SEQUENCE),
}

SCRAPE = (b"GET /metrics HTTP/1.1\r\nHost: localhost:9719\r\nUser-Agent: Prometheus/2.42.0\r\n"
          b"Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
          b"Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n")
REQUESTS = {
    name: number(20) + text for name, text in {
        "scrape": SCRAPE, "head": b"HEAD http://a/metrics?b=c HTTP/1.0\r\n\r\n", "other": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "body": b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "part": SCRAPE[:90],
        "folded": b"GET /metrics HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "newline": SCRAPE.replace(b"\r", b""),
        "long": SCRAPE[:-2] + b"a: b\r\n" * 2000, "later": SCRAPE.replace(b"HTTP/1.1", b"HTTP/2.0")}.items()}


def main():
    targets = {"fuzz_reply": REPLY, "fuzz_start_record": START_RECORD, "fuzz_ask": ASKED,
               "fuzz_keeper": KEEPER, "fuzz_config": CONFIG, "fuzz_statement": STATEMENT, "fuzz_log": LOG,
               "fuzz_page": PAGES, "fuzz_suppressions": SUPPRESSIONS, "fuzz_elf": ELF,
               "fuzz_elf_image": ELF_IMAGES, "fuzz_script": SCRIPTS, "fuzz_service_file": SERVICES,
               "fuzz_http_request": REQUESTS}
    for target, seeds in targets.items():
        os.makedirs(os.path.join(sys.argv[1], target), exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(sys.argv[1], target, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
