# SPDX-License-Identifier: PostgreSQL
"""pqpool replay: what it reckons from a log, and what really happens at these sizes.

Real runs and replays agree where connects come from outside, whether or not earlier ones have been
served (each thread of programs/hammer.c connects once): the peak is the same, p99 of the waits within a
factor of 2. Where each thread connects anew as soon as it was served (hammer with many rounds), a pool that is too small has fewer
connects come, which a replay of a log of a larger pool cannot know: its waits are then longer than the
real ones. What holds there is that the replay with the recorded size gives what was recorded.
"""
import os
import re
import resource

import pytest

import made_logs

UNITS = {"us": 1, "ms": 1000, "s": 1000000}
COLUMNS = ["limit", "size", "overflow", "peak", "waited", "p50", "p99", "max", "timeouts"]
FULL = os.environ.get("PQPOOL_STRESS") == "full"


def rows(text):
    """The table's lines, a dict each, times in microseconds."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r" +(\d+|none) +(\d+|none)((?: +\d+){3})((?: +[\d.]+ (?:us|ms|s)){3}) +(\d+)"
                             r"(  as recorded)?", line)
        if match:
            waits = [round(float(number) * UNITS[unit]) for number, unit in
                     re.findall(r"([\d.]+) (us|ms|s)", match[4])]
            numbers = [0 if n == "none" else int(n) for n in [match[1], match[2], *match[3].split()]]
            found.append(dict(zip(COLUMNS, [*numbers, *waits, int(match[5])])))
            found[-1]["recorded"] = bool(match[6])
    return found


def replay(tool, *arguments):
    done = tool("replay", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return rows(done.stdout)


def measured(done):
    """Peak and p99 of the waits in line of a real run."""
    waits = sorted(int(e.get("queued_us", 0)) for e in done.events("acquire"))
    return int(done.events("totals")[0]["peak"]), waits[(99 * len(waits) + 99) // 100 - 1]


@pytest.fixture
def log(tmp_path):
    return made_logs.Log(tmp_path / "log")


# ---- against what really happens ---------------------------------------------------------


def test_foretells_what_happens(run, program, tool, tmp_path):
    path = tmp_path / "recorded.log"
    argv = [program("hammer"), "12", "1", "SELECT 42 FROM pg_sleep(0.2)"]

    def real(size, **env):
        return run(argv, env={"PQPOOL_SIZE": size, "PQPOOL_MAX_OVERFLOW": 0, **env})

    assert real(4, PQPOOL_LOG=path).stdout == "12\n"
    foretold = replay(tool, path, "--size", "3,6,12", "--max-overflow", "0")
    for row in foretold:
        peak, p99 = measured(real(row["size"]))
        assert row["peak"] == peak == row["size"]
        assert p99 / 2 <= row["p99"] <= p99 * 2, (row, p99)
    assert [row["waited"] for row in foretold] == [9, 6, 0]


def test_the_recorded_size_gives_what_was_recorded(run, program, tool, tmp_path):
    path = tmp_path / "log"
    done = run([program("hammer"), "6", "10", "SELECT 42 FROM pg_sleep(0.02)"], env={
        "PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_LOG": path})
    row, = [r for r in replay(tool, path) if r["recorded"]]
    peak, p99 = measured(done)
    assert (row["limit"], row["peak"], row["timeouts"]) == (2, peak, 0)
    assert p99 / 2 <= row["p99"] <= p99 * 2
    waits = len(done.events("wait"))
    assert waits * 0.8 <= row["waited"] <= waits * 1.2


# ---- by hand -------------------------------------------------------------------------------


def test_table(log, tool):
    """Four come at once and hold for 100 ms each."""
    log.config(4, 0)
    for session in range(1, 5):
        log.hold(1000000, 100000, session=session)
    done = tool("replay", log.path, "--size", "1,2,4", "--wait", "100ms")
    assert done.stdout.startswith("pool a@b:1/c: 4 connects of shop 7; size 4, max_overflow 0\n")
    assert rows(done.stdout) == [
        {"limit": 1, "size": 1, "overflow": 0, "peak": 1, "waited": 3, "p50": 100000, "p99": 300000,
         "max": 300000, "timeouts": 0, "recorded": False},
        {"limit": 2, "size": 2, "overflow": 0, "peak": 2, "waited": 2, "p50": 0, "p99": 100000,
         "max": 100000, "timeouts": 0, "recorded": False},
        {"limit": 4, "size": 4, "overflow": 0, "peak": 4, "waited": 0, "p50": 0, "p99": 0,
         "max": 0, "timeouts": 0, "recorded": True}]
    assert "\n  2 sessions (PQPOOL_SIZE 2 + PQPOOL_MAX_OVERFLOW 0)\n" in done.stdout
    assert "a program that waits longer\nasks later" in done.stdout


def test_six_limits_around_the_present_one(log, tool):
    log.config(6, 2)
    for session in range(1, 13):
        log.hold(1000000, 100000, session=session)
    table = replay(tool, log.path)
    assert len(table) == 6 and [r["recorded"] for r in table].count(True) == 1
    limits = [row["limit"] for row in table]
    assert limits == sorted(set(limits)) and limits[0] <= 2 and limits[-1] == 12 and 8 in limits
    assert all(row["size"] + row["overflow"] == row["limit"] for row in table)
    assert [row["peak"] for row in table] == limits
    assert [row["max"] for row in table] == sorted((row["max"] for row in table), reverse=True)
    assert {(r["size"], r["overflow"]) for r in table if r["recorded"]} == {(6, 2)}


def test_each_process_has_a_pool_of_its_own(log, tool):
    for pid, count in ((7, 1), (8, 3)):
        log.config(5, 0, pid=pid)
        for session in range(1, count + 1):
            log.hold(1000000, 100000, pid=pid, session=session)
    done = tool("replay", log.path, "--size", "1,5")
    assert [(r["peak"], r["waited"]) for r in rows(done.stdout)] == [(1, 2), (3, 0)]
    assert "4 connects of 2 processes with a pool each;" in done.stdout
    assert "the peak is that of shop 8\n" in done.stdout and " in each process\n" in done.stdout


def test_processes_that_share_have_one(log, tool):
    for pid, count in ((7, 1), (8, 3)):
        log.config(5, 0, pid=pid, share="on")
        for session in range(1, count + 1):
            log.hold(1000000, 100000, pid=pid, session=session)
    done = tool("replay", log.path, "--size", "1,5", "--max-overflow", "0")
    assert [(r["peak"], r["waited"]) for r in rows(done.stdout)] == [(1, 3), (4, 0)]
    assert "4 connects of processes that share sessions; the settings are not in the log" in done.stdout


def test_who_timed_out_asks_again(log, tool):
    log.config(1, 0, timeout_ms=50)
    log.hold(1000000, 100000)
    log.say(1060000, "timeout pool=a@b:1/c in_use=1 waiting=1 limit=1 wait_us=50000 verdict=slow")
    log.hold(1200000, 100000)
    one, two = replay(tool, log.path, "--size", "1,2")
    assert (one["timeouts"], two["timeouts"]) == (1, 0) and two["peak"] == 2
    patient, = replay(tool, log.path, "--size", "1", "--timeout", "1")
    assert (patient["timeouts"], patient["max"]) == (0, 90000)


def test_what_was_never_given_back_is_held_to_the_end(log, tool):
    log.config(2, 0)
    log.say(1000000, "acquire lease=1 session=1 backend=9 pool=a@b:1/c wait_us=10")
    log.lease = 1
    log.hold(2000000, 10, session=2)
    log.hold(3000000, 10, session=2)
    assert [r["max"] > 900000 for r in replay(tool, log.path, "--size", "1,2")] == [True, False]


def test_starts_in_several_threads(log, tool, leaks):
    """Another thread's lines come before event=config: it is the same process all the same."""
    log.say(900000, "acquire lease=1 session=1 backend=9 pool=a@b:1/c wait_us=10")
    log.say(900100, "config format=1 size=2 max_overflow=0 timeout_ms=1000 share=off")
    log.say(910000, "release lease=1 session=1 backend=9 pool=a@b:1/c hold_us=10000 kept=yes")
    assert "1 connects of shop 7; size 2" in tool("replay", log.path).stdout
    said = leaks(log.path)
    assert [(p["acquired"], p["released"]) for p in said.document["processes"]] == [(1, 1)]
    assert not said.places


# ---- what is given to it ---------------------------------------------------------------------


def test_rotated_and_torn(log, tool, tmp_path):
    log.config(2, 0)
    log.hold(1000000, 500000)
    (tmp_path / "log.1").write_text(log.text + "time=2026 torn\n")
    log.text = "what another program says\n"
    log.hold(1100000, 500000, session=2)
    done = tool("replay", log.path, "--size", "2")
    assert [r["peak"] for r in rows(done.stdout)] == [2]
    assert done.stderr == "pqpool: 2 of 7 lines skipped: torn, or not of a log\n"


def test_name_of_a_pool_is_made_safe(log, tool):
    log.hold(1000000, 10, pool='"evil\\x1b[31m"')
    assert "pool evil\\x1b[31m:" in tool("replay", log.path).stdout


@pytest.mark.parametrize("arguments, said", [
    ([], "no log given"),
    (["x", "--size", "5,,6"], '--size "5,,6": allowed:'),
    (["x", "--size", "-1"], '--size "-1": allowed:'),
    (["x", "--max-overflow", "-2"], '--max-overflow "-2": allowed:'),
    (["x", "--wait", "soon"], '--wait "soon": allowed:'),
    (["x", "--timeout", "-5"], '--timeout "-5": allowed:'),
    (["x", "--large"], "unrecognized option"),
])
def test_bad_usage(tool, arguments, said):
    done = tool("replay", *arguments)
    assert done.returncode == 2 and said in done.stderr and not done.stdout


def test_nothing_to_replay(tool, tmp_path):
    missing = tool("replay", tmp_path / "none.log")
    assert missing.returncode == 125 and "none.log: No such file" in missing.stderr
    (tmp_path / "log").write_text("")
    empty = tool("replay", tmp_path / "log")
    assert empty.returncode == 125 and empty.stderr.startswith("pqpool: no pooled connect in the log")


# ---- long logs -------------------------------------------------------------------------------


def test_long_log(tool, tmp_path):
    """With PQPOOL_STRESS=full a million lines, in 20 s of the processor and 500 MB."""
    leases = 500000 if FULL else 5000
    lines = made_logs.write(tmp_path / "log", leases)
    table = replay(tool, tmp_path / "log")
    assert lines > 2 * leases and len(table) == 6
    assert all(row["peak"] == row["limit"] for row in table[:4])
    if FULL:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print("%d lines: %.1f s, %d MB" % (lines, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024))
        assert used.ru_utime + used.ru_stime < 20 and used.ru_maxrss < 500000
