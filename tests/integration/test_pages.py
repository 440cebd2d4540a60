# SPDX-License-Identifier: PostgreSQL
"""What the tools make of status pages that are damaged, foreign, or traps."""
import fcntl
import os
import random
import struct

import pytest

import pages

F_OFD_SETLK = 37
COMMANDS = [["top"], ["metrics"]]
AREAS = [(0, 4096), (pages.POOLS_AT, 2048), (pages.SESSIONS_AT, 1024), (pages.STACKS_AT, 2048)]


@pytest.fixture
def folder(run):
    path = os.path.join(run.folder, "pqpool")
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


@pytest.fixture
def good(script, folder):
    """The bytes of a page with leases and idle sessions on it."""
    program = script()
    for name in "abcd":
        program.connect(name)
    program.finish("c")
    [path] = pages.in_folder(os.path.dirname(folder))
    with open(path, "rb") as f:
        data = f.read()
    program.kill()
    os.unlink(path)
    return data


def put(folder, data, name="0x1.dead"):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def sound(tool, *arguments):
    """The tool comes to its end by itself; its outcome."""
    done = tool(*arguments, errors="replace")
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def test_told_in_a_line(tool, folder, good):
    for data, what in [(b"", "is not a status page"),
                       (b"x" * 5000, "is not a status page"),
                       (good[:1000], "is not a status page"),
                       (good[:8] + struct.pack("<I", 77) + good[12:],
                        "is a status page of another version of pqpool")]:
        path = put(folder, data)
        for command in COMMANDS:
            assert sound(tool, *command).stderr == "pqpool: %s: %s\n" % (path, what)


def test_traps_are_not_followed(tool, folder, tmp_path, good):
    secret = put(tmp_path, good, "elsewhere")
    os.symlink(secret, os.path.join(folder, "0x1.dead"))
    os.mkfifo(os.path.join(folder, "0x2.dead"))
    os.mkdir(os.path.join(folder, "0x3.dead"))
    done = sound(tool, "metrics")
    assert done.stderr.count("\n") == 3 and os.path.exists(secret)


def test_a_page_of_a_directory_open_to_all_is_not_read(tool, folder, good):
    put(folder, b"garbage")
    assert sound(tool, "top").stderr
    os.chmod(folder, 0o755)
    assert not sound(tool, "top").stderr


def damage(data, rng):
    """Some bytes, words or all the rest of it made into something else."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        start, length = rng.choice(AREAS)
        # Magic, version and pid stay: past those it gets interesting.
        at = min(start + rng.randrange(16 if start == 0 else 0, length), len(data) - 8)
        kind = rng.randrange(3)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at + 4] = struct.pack("<I", rng.choice([0, 1, 2**31, 2**32 - 1, 8192, 65536]))
        else:
            data[at:at + 8] = rng.randbytes(8)
    if rng.random() < 0.2:
        del data[rng.randrange(4096, len(data)):]
    return bytes(data)


def test_damaged_pages(tool, folder, good):
    pid = struct.unpack_from("<i", good, 12)[0]
    for seed in range(60):
        # Of a process that lives: only then is all of it shown.
        path = put(folder, damage(good, random.Random(seed)), "0x1.page")
        with open(path, "rb+") as f:
            fcntl.fcntl(f, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
            for command in [*COMMANDS, ["leaks", pid]]:
                assert not sound(tool, *command).stderr.count("not a status page")
