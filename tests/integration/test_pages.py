# SPDX-License-Identifier: PostgreSQL
"""What the tools make of status pages: of figures, and of damaged ones, foreign ones and traps."""
import contextlib
import os
import random
import struct
import subprocess
import time

import pytest

import pages
from running import SPAWN_NAMESPACE
from tables import rows, samples

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


def put(folder, data, name="0x1.dead", ended=None):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    if ended is not None:
        os.utime(path, (ended, ended))
    return path


def sound(tool, *arguments):
    """The tool comes to its end by itself; its outcome."""
    done = tool(*arguments, errors="replace")
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def told(done, folder):
    """What it says of that folder: root may see traps of other tests' users as well."""
    return [line for line in done.stderr.splitlines() if folder in line]


# ---- figures -------------------------------------------------------------------------

SHOP, OTHER, MIXED = ("app@db.of.some.place:5432/" + name for name in ("shop", "other", "mixed"))
FIRST = dict(zip(["in_use", "idle", "waiting", "peak", "acquired", "released", "held_us", "waits",
                  "wait_us", "wait_max_us", "timeouts", "opened"], range(1, 13)))
SECOND = {**{name: 1000 * value for name, value in FIRST.items()}, "wait_max_us": 5}
REASONS = ["none", "aged", "longer_than_a_word_may_be"[:24], "never"]  # the third lacks its end
PID = 2**31 - 10  # nobody has it


BUCKETS = {"hold": range(1, 13), "wait": range(13, 25)}


def buckets_of(times):
    return {"holds": [times * n for n in BUCKETS["hold"]], "waited": [times * n for n in BUCKETS["wait"]]}


@pytest.fixture
def shown(folder):
    """Pages of two processes that live and one that ended, no two figures alike."""
    pools = [pages.made_pool(SHOP, limit=30, closed=(13, 0, 14), **FIRST, **buckets_of(1)),
             pages.made_pool(OTHER, limit=pages.NO_LIMIT, in_use=7),
             pages.made_pool(SHOP, limit=50, closed=(1000, 2000), **SECOND, **buckets_of(2)),
             pages.made_pool(SHOP, state=0, in_use=50000, limit=9),  # free
             pages.made_pool(MIXED, limit=pages.NO_LIMIT), pages.made_pool(MIXED, limit=5)]
    stacks = [pages.made_stack(5, 'frames="/m+0x1(five)"'),
              pages.made_stack(3, 'frames="/m+0x1(three)"'),
              pages.made_stack(4, 'frames="/m+0x1(four)" script=/srv/app.py:12'),
              pages.made_stack(6, 'frames="/m+0x1(six)"', length=1000)]  # half of it is missing
    sessions = [pages.made_session(9000, state=pages.IDLE),
                pages.made_session(1000, stack=3), pages.made_session(3000, stack=5),
                pages.made_session(2000, stack=3), pages.made_session(1500, pool=2, stack=6),
                pages.made_session(5000, pool=1, stack=4),
                pages.made_session(99999, generation=3),  # half written
                pages.made_session(8000, state=pages.IDLE, pool=pages.NO_POOL),
                pages.made_session(7000, pool=pages.NO_POOL), pages.made_session(state=0),
                pages.made_session(6000, pool=3), pages.made_session(6500, pool=10**6)]
    with contextlib.ExitStack() as stack:
        for number, data in enumerate([
                pages.made_page(PID, pools, sessions, stacks, reasons=REASONS),
                pages.made_page(PID - 1, [pages.made_pool(SHOP, limit=4, waiting=9)],
                                [pages.made_session(-1000)])]):
            stack.enter_context(pages.living(put(folder, data, "0x%d.page" % number)))
        put(folder, pages.made_page(PID - 2, pools, sessions, stacks))
        yield


def near(value, wanted):
    """Of something that grows with time."""
    return wanted <= value < wanted + 60


def test_metrics_to_the_number(tool, shown):
    text = tool("metrics").stdout
    assert {str(PID), str(PID - 1)} <= set(samples(text)) and str(PID - 2) not in samples(text)
    found = samples(text, SHOP)[str(PID)]
    for name, sum_, count in (("hold", 0.007007, 3 * 78), ("wait", 0.009009, 3 * 222)):
        buckets = [found.pop(key) for key in list(found)
                   if key[0] == "pqpool_%s_duration_seconds_bucket" % name]
        # Those of both pools, and all that are shorter.
        assert buckets == [3 * sum(BUCKETS[name][:i + 1]) for i in range(12)]
        assert found.pop(("pqpool_%s_duration_seconds_count" % name, None)) == count == buckets[-1]
        assert found.pop(("pqpool_%s_duration_seconds_sum" % name, None)) == sum_
    assert near(found.pop(("pqpool_oldest_lease_seconds", None)), 3000)
    assert {(name.removeprefix("pqpool_"), reason): value
            for (name, reason), value in found.items()} == {
        ("sessions_in_use", None): 1001, ("sessions_idle", None): 2002,
        ("sessions_limit", None): 80, ("sessions_in_use_peak", None): 4004,
        ("waiting", None): 3003, ("leases_total", None): 5005,
        ("leases_ended_total", None): 6006, ("lease_seconds_total", None): 0.007007,
        ("waits_total", None): 8008, ("wait_seconds_total", None): 0.009009,
        ("wait_longest_seconds", None): 0.00001, ("timeouts_total", None): 11011,
        ("sessions_opened_total", None): 12012, ("sessions_closed_total", "none"): 1013,
        ("sessions_closed_total", "aged"): 2000,
        ("sessions_closed_total", REASONS[2][:23]): 14}
    for pool in (OTHER, MIXED):
        assert ("pqpool_sessions_limit", None) not in samples(text, pool)[str(PID)]
    assert near(samples(text, OTHER)[str(PID)]["pqpool_oldest_lease_seconds", None], 5000)
    assert samples(text, MIXED)[str(PID)]["pqpool_oldest_lease_seconds", None] == 0


def test_top_to_the_number(tool, shown):
    done = tool("top", PID, PID - 1)
    assert "  2 programs, 7 pools, 1011 in use, 3012 waiting\n" in done.stdout
    found = rows(done.stdout)
    assert [row.pop("PID") for row in found] == [str(PID - 1)] + [str(PID)] * 6
    assert {row.pop("PROGRAM") for row in found} == {"made"}
    ages = [row.pop("OLDEST") for row in found]
    assert ages[0] == "0 us"  # the clock was set back
    assert ages[4:6] == ["-", "-"]
    for age, wanted in zip(ages[1:4] + ages[6:], (3000, 5000, 1500, 7000)):
        assert age.endswith(" s") and near(float(age.split()[0]), wanted)
    assert [tuple(row.values()) for row in found] == [
        ("0", "0", "9", "4", "0", "0", SHOP, "?"),
        ("1", "2", "3", "30", "8", "11", SHOP, "five"),
        ("7", "0", "0", "none", "0", "0", OTHER, "/srv/app.py:12"),
        ("1000", "2000", "3000", "50", "8000", "11000", SHOP, "?"),
        ("0", "0", "0", "none", "0", "0", MIXED, ""),
        ("0", "0", "0", "5", "0", "0", MIXED, ""),
        ("3", "-", "-", "-", "-", "-", "not pooled", "?")]
    done = tool("top", PID - 1, PID - 2)
    assert [row["PID"] for row in rows(done.stdout)] == [str(PID - 1)]
    assert done.returncode == 1  # the other one has ended
    assert done.stderr == "pqpool: top: process %d has no pools; pqpool doctor --live %d tells why\n" % (
        (PID - 2,) * 2)


def test_leaks_to_the_number(leaks, run, folder):
    """The last of three processes that had one number, and were found dead an hour ago."""
    ended = int(time.time()) - 3600
    sessions = [
        pages.made_session(4600, number=21, lease=31, backend=41, tid=51, stack=1, transaction=3,
                           statement="SELECT ..."),
        pages.made_session(5600, number=22, lease=32, backend=42, tid=52, stack=1, transaction=2,
                           pool=pages.NO_POOL, spoken=0, statement="of the lease before"),
        pages.made_session(state=pages.IDLE), pages.made_session(generation=3)]
    stacks = [pages.made_stack(1, 'frames="/m+0x1(f)" script=/a.py:2 script_frames="/a.py:2(g)"',
                               given_back=True)]
    for number, created in enumerate([10**15, 3 * 10**15, 2 * 10**15]):
        put(folder, pages.made_page(
            PID, [pages.made_pool(SHOP)], sessions if number == 1 else [], stacks, acquired=9,
            released=5, untold=2, created_us=created), "0x%d.dead" % number, ended)
    put(folder, pages.made_page(PID - 1, [pages.made_pool(SHOP)], sessions, stacks), "0x7.dead")
    said = leaks(PID, env={"XDG_RUNTIME_DIR": run.folder})
    assert said.returncode == 1 and (said.document["leaked"], said.document["held"]) == (2, 0)
    process, = said.document["processes"]
    assert (process["pid"], process["acquired"], process["released"]) == (PID, 9, 5)
    assert not process["running"] and process["first"].startswith("2065-01-24T05:20:00")
    assert process["last"] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ended)) + ".000000Z"
    place, = said.places
    assert place["script"] == "/a.py:2" and place["script_frames"][0]["function"] == "g"
    second, first = place["leases"]
    assert abs(first.pop("hold_us") - 1000 * 10**6) < 60 * 10**6
    assert abs(second.pop("hold_us") - 2000 * 10**6) < 60 * 10**6
    del first["taken"], second["taken"]
    assert first == {"lease": 31, "pid": PID, "program": "made", "session": 21, "backend": 41,
                     "thread": 51, "pooled": True, "pool": SHOP, "transaction": "in_transaction",
                     "statement": "SELECT ..."}
    assert second == {"lease": 32, "pid": PID, "program": "made", "session": 22, "backend": 42,
                      "thread": 52, "pooled": False, "pool": "not pooled", "transaction": "active"}
    told = said.stderr.decode()
    assert "2 leases of process %d had no room on its status page" % PID in told
    assert "1 leases of process %d were just being written to its status page" % PID in told


# ---- which are read, and what becomes of them ------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_what_ended_processes_left_is_cleared_out(tool, folder, command):
    put(folder, pages.made_page(PID, acquired=2, released=1), "0x1.page")
    put(folder, pages.made_page(PID, acquired=2, released=2), "0x2.page")
    for number, released in ((3, 1), (4, 2)):
        pool = pages.made_pool(SHOP, acquired=2, released=released)
        put(folder, pages.made_page(PID, [pool]), "0x%d.page" % number)
    tool(*command)
    assert sorted(os.listdir(folder)) == ["0x1.dead", "0x3.dead"]


RUN_USER = ('mount -t tmpfs tmpfs /run && mkdir -p /run/user/$(id -u) && '
            'mount --bind "$PLACE" /run/user/$(id -u) && exec "$0" "$@"')


@pytest.mark.parametrize("variable", ["", "/run/user/%d" % os.geteuid()])
def test_folder_of_the_session_is_read_once(tool, run, shown, variable):
    """Whether it is named by the variable or, in a job of cron's, is not."""
    if subprocess.run([*SPAWN_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user")
    done = tool("top", PID, PID - 1, before=[*SPAWN_NAMESPACE, "sh", "-c", RUN_USER],
                env={"XDG_RUNTIME_DIR": variable, "PLACE": run.folder})
    assert "  2 programs, " in done.stdout


@pytest.mark.parametrize("version, acquired, released", [(1, 9, 5), (2, 16, 11)])
def test_leases_are_counted_by_pool(leaks, run, folder, version, acquired, released):
    """In version 1 the head counted those of pools, too."""
    pool = pages.made_pool(SHOP, acquired=7, released=6)
    put(folder, pages.made_page(PID, [pool], acquired=9, released=5, version=version))
    process, = leaks(PID, env={"XDG_RUNTIME_DIR": run.folder}).document["processes"]
    assert (process["acquired"], process["released"]) == (acquired, released)


# ---- damaged, foreign, traps -----------------------------------------------------------


def test_told_in_a_line(tool, folder, good):
    for data, what in [(b"", "is not a status page"),
                       (b"x" * 5000, "is not a status page"),
                       (good[:1000], "is not a status page"),
                       (pages.made_page(0), "is not a status page"),
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
    assert len(told(done, folder)) == 3 and os.path.exists(secret)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_file_is_not_read(tool, folder):
    path = put(folder, pages.made_page(PID))
    os.chown(path, 65534, 65534)
    assert told(sound(tool, "top"), folder) == ["pqpool: %s: is not a file of this user's" % path]


def test_a_page_of_a_directory_open_to_all_is_not_read(tool, folder, good):
    put(folder, b"garbage")
    assert told(sound(tool, "top"), folder)
    os.chmod(folder, 0o755)
    assert not told(sound(tool, "top"), folder)


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
        with pages.living(path):
            for command in [*COMMANDS, ["leaks", pid]]:
                assert not any("not a status page" in line
                               for line in told(sound(tool, *command), folder))
